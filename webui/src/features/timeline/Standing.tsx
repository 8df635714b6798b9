/** The line above the messages when something stands between the reader and the others: a node, a rule, a consent. */
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import * as http from '../../core/api.ts';
import type { Room } from '../../core/types.ts';
import { t } from '../../i18n/index.ts';
import { explain } from '../../i18n/refusal.ts';
import { go } from '../../routes.ts';
import { here } from '../../session.ts';
import { Confirm } from '../../ui/Dialog/Dialog.tsx';
import { Icon } from '../../ui/Icon/Icon.tsx';
import { toast } from '../../ui/Toast/Toast.tsx';
import { add, answer, contactOf, fullAddress } from '../contacts/model.ts';
import s from './Timeline.module.css';
import { mayGoOn, type Trouble, troubleOf } from './trouble.ts';

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
