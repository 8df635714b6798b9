/** The line above the messages when something stands between the reader and the others: a node, a rule, a consent. */
import type { State } from '../../core/store/state.ts';
import { nodeOf, type Room } from '../../core/types.ts';
import { t } from '../../i18n/index.ts';
import { here } from '../../session.ts';
import { Icon } from '../../ui/Icon/Icon.tsx';
import { add, answer, contactOf, fullAddress } from '../contacts/model.ts';
import s from './Timeline.module.css';

export type Trouble = 'forked' | 'invalid' | 'joining' | 'blocked' | 'asked' | 'stranger' | 'hub_away';

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
  return state.hubIsAway(room) ? 'hub_away' : null;
}

/** Why nothing new can be written, whatever the role says. */
export const stopsWriting = (trouble: Trouble | null): trouble is Exclude<Trouble, 'hub_away'> =>
  trouble !== null && trouble !== 'hub_away';

/** The other person's node cannot be reached: then nobody knows whether they are there. */
export function awayOf(state: State, room: Room): string {
  const mark = room.nodes.find(({ node }) => node === nodeOf(room.peer));
  return mark && (!mark.linked || state.slow.value.has(mark.node))
    ? t('presence.node_away', { node: state.nodeName(mark.node) })
    : '';
}

const ICONS: Readonly<Record<Trouble, string>> = {
  forked: 'triangle-alert',
  invalid: 'triangle-alert',
  joining: 'hourglass',
  blocked: 'ban',
  asked: 'hourglass',
  stranger: 'user-x',
  hub_away: 'unplug',
};

export function Standing({ room }: { room: Room }) {
  const { state } = here();
  const trouble = troubleOf(state, room);
  if (!trouble) return null;
  const values = { node: state.nodeName(room.hub), name: room.peer ? state.nameOf(room.peer) : '' };
  const contact = contactOf(state, room.peer);
  return (
    <div class={s.standing} data-trouble={trouble} role="status">
      <Icon name={ICONS[trouble]} size={16} />
      <span>{t(`standing.${trouble}`, values)}</span>
      {trouble === 'stranger' && (
        <button type="button" onClick={() => add(fullAddress(state, room.peer))}>
          {t('standing.ask_again')}
        </button>
      )}
      {trouble === 'blocked' && contact && (
        <button type="button" onClick={() => void answer(contact, 'unblock')}>
          {t('contacts.unblock')}
        </button>
      )}
    </div>
  );
}
