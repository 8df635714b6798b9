/** The line above the messages when something stands between the reader and the others: a node, a rule, a consent. */
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import * as http from '../../core/api.ts';
import type { State } from '../../core/store/state.ts';
import { nodeOf, type Room } from '../../core/types.ts';
import { t } from '../../i18n/index.ts';
import { explain } from '../../i18n/refusal.ts';
import { go } from '../../routes.ts';
import { here } from '../../session.ts';
import { Confirm } from '../../ui/Dialog/Dialog.tsx';
import { Icon } from '../../ui/Icon/Icon.tsx';
import { toast } from '../../ui/Toast/Toast.tsx';
import { add, answer, contactOf, fullAddress } from '../contacts/model.ts';
import s from './Timeline.module.css';

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

const ICONS: Readonly<Record<Trouble, string>> = {
  forked: 'triangle-alert',
  invalid: 'triangle-alert',
  joining: 'hourglass',
  blocked: 'ban',
  asked: 'hourglass',
  stranger: 'user-x',
  hub_away: 'unplug',
  succeeded: 'arrow-right-left',
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
      <Successors room={room} />
      {BROKEN.has(trouble) && mayGoOn(state, room) && (
        <GoOn room={room}>
          {(ask) => (
            <button type="button" onClick={ask}>
              {t('standing.go_on')}
            </button>
          )}
        </GoOn>
      )}
      {trouble === 'blocked' && contact && (
        <button type="button" onClick={() => void answer(contact, 'unblock')}>
          {t('contacts.unblock')}
        </button>
      )}
    </div>
  );
}

const BROKEN: ReadonlySet<Trouble> = new Set<Trouble>(['forked', 'invalid']);

/** The groups that go on with this one; two are shown side by side, people choose. */
function Successors({ room }: { room: Room }) {
  const { state } = here();
  return (room.successors ?? []).map((id) => {
    const card = state.rooms.value.get(id);
    if (!card) return null;
    return card.state === 'member' ? (
      <button key={id} type="button" onClick={() => go(`/c/${id}`)}>
        {t('standing.open_successor', { name: card.name })}
      </button>
    ) : (
      <span key={id}>{t('standing.invited_successor')}</span>
    );
  });
}

/** Only the owner, and only of a group that another node orders. */
export const mayGoOn = (state: State, room: Room): boolean =>
  room.kind === 'group' && room.state === 'member' && room.role === 'owner' && room.hub !== state.home;

/** The group goes on as a new one on the own node, once its owner has confirmed; `children` draw what they press. */
export function GoOn({ room, children }: { room: Room; children: (ask: () => void) => ComponentChildren }) {
  const [asking, setAsking] = useState(false);
  const [busy, setBusy] = useState(false);
  const make = async () => {
    setBusy(true);
    try {
      go(`/c/${(await http.succeed(room.room)).room}`);
    } catch (error) {
      toast(explain(error).text);
    }
    setBusy(false);
  };
  return (
    <>
      {children(() => setAsking(!busy))}
      {asking && (
        <Confirm
          title={t('standing.go_on')}
          text={t('standing.go_on_text', { node: here().state.nodeName(room.hub) })}
          action={t('standing.go_on')}
          onClose={() => setAsking(false)}
          onConfirm={() => void make()}
        />
      )}
    </>
  );
}
