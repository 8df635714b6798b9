/** What stands between the reader of a chat and the others, and what that forbids. */
import type { State } from '../../core/store/state.ts';
import { nodeOf, type Room } from '../../core/types.ts';
import { t } from '../../i18n/index.ts';
import { contactOf } from '../contacts/model.ts';

export type Trouble = 'forked' | 'invalid' | 'joining' | 'blocked' | 'asked' | 'stranger' | 'hub_away' | 'succeeded';

/** The most serious thing first. Nothing is said of contacts before they are known. */
export function troubleOf(state: State, room: Room): Trouble | null {
  if (room.trouble) return room.trouble === 'forked' ? 'forked' : 'invalid';
  if (room.joining) return 'joining';
  if (room.kind === 'direct' && state.isRemote(room.peer) && state.contacts.value !== null) {
    const contact = contactOf(state, room.peer);
    if (contact?.state === 'blocked') return 'blocked';
    if (contact?.state === 'asked') return 'asked';
    if (contact?.state !== 'contact') return 'stranger';
  }
  if (room.successors?.length) return 'succeeded';
  return state.hubIsAway(room) ? 'hub_away' : null;
}

/** Why nothing new can be written, whatever the role says. */
export const stopsWriting = (trouble: Trouble | null): trouble is Exclude<Trouble, 'hub_away' | 'succeeded'> =>
  trouble !== null && trouble !== 'hub_away' && trouble !== 'succeeded';

/** The other person's node cannot be reached: then nobody knows whether they are there. */
export function awayOf(state: State, room: Room): string {
  const mark = room.nodes.find(({ node }) => node === nodeOf(room.peer));
  return mark && !state.isLinked(mark) ? t('presence.node_away', { node: state.nodeName(mark.node) }) : '';
}

/** Only the owner, and only of a group that another node orders. */
export const mayGoOn = (state: State, room: Room): boolean =>
  room.kind === 'group' && room.state === 'member' && room.role === 'owner' && room.hub !== state.home;
