/** The panel beside a conversation: what the chat is, who is in it, and how it is run. */
import { useState } from 'preact/hooks';
import { can } from '../../core/roles.ts';
import type { Room } from '../../core/types.ts';
import { t } from '../../i18n/index.ts';
import { explain } from '../../i18n/refusal.ts';
import { go, type Route } from '../../routes.ts';
import { here } from '../../session.ts';
import { Avatar } from '../../ui/Avatar/Avatar.tsx';
import { IconButton } from '../../ui/Button/Button.tsx';
import { Confirm } from '../../ui/Dialog/Dialog.tsx';
import { Icon } from '../../ui/Icon/Icon.tsx';
import { toast } from '../../ui/Toast/Toast.tsx';
import { faceOf, roomName } from '../chats/model.ts';
import { Where } from '../contacts/Domain.tsx';
import shell from '../shell/Shell.module.css';
import { GoOn } from '../timeline/Standing.tsx';
import { mayGoOn } from '../timeline/trouble.ts';
import s from './Details.module.css';
import { Links } from './Links.tsx';
import { Manage } from './Manage.tsx';
import { Members } from './Members.tsx';

/** A page whose right is gone, or never was, gives way to the first one. */
function allowed(room: Room, panel: Panel): Panel {
  const now = Date.now();
  if (room.kind !== 'group') return 'info';
  if (panel === 'links') return can(room, 'link', now) ? panel : 'info';
  if (panel === 'manage') return can(room, 'rename', now) ? panel : 'info';
  return panel;
}

type Panel = NonNullable<Route['panel']>;

export default function Details({ room, panel: asked }: { room: Room; panel: Panel }) {
  const panel = allowed(room, asked);
  const base = `/c/${room.room}`;
  const title = t(
    panel === 'members'
      ? 'group.members'
      : panel === 'links'
        ? 'group.links'
        : panel === 'manage'
          ? 'group.manage'
          : 'group.details',
  );
  return (
    <aside
      class={s.panel}
      aria-label={title}
      onKeyDown={(event) => event.key === 'Escape' && !event.defaultPrevented && go(base)}
    >
      <header class={shell.head}>
        {panel !== 'info' && (
          <IconButton icon="arrow-left" label={t('common.back')} onClick={() => go(`${base}/info`)} />
        )}
        <h2>{title}</h2>
        <IconButton icon="x" label={t('common.close')} onClick={() => go(base)} />
      </header>
      <div class={s.content}>
        {panel === 'members' ? (
          <Members room={room} />
        ) : panel === 'links' ? (
          <Links room={room} />
        ) : panel === 'manage' ? (
          <Manage room={room} />
        ) : (
          <Info room={room} />
        )}
      </div>
    </aside>
  );
}

function Info({ room }: { room: Room }) {
  const { state } = here();
  const [leaving, setLeaving] = useState(false);
  const name = roomName(state, room);
  const base = `/c/${room.room}`;
  const now = Date.now();
  const group = room.kind === 'group';
  const leave = async () => {
    try {
      await here().act(room.room, 'leave', {});
      go('/');
    } catch (error) {
      toast(explain(error).text);
      go(`${base}/members`);
    }
  };
  return (
    <>
      <div class={s.face}>
        <Avatar
          id={faceOf(room)}
          name={name}
          size={96}
          group={group}
          presence={room.peer ? state.presence.value.get(room.peer) : undefined}
        />
        <h2>{name}</h2>
        <p>{group ? t('group.members_count', { n: room.members }) : room.peer ? <Where user={room.peer} /> : ''}</p>
      </div>
      {room.topic && (
        <section class={s.topic} aria-label={t('group.topic')}>
          <h3>{t('group.topic')}</h3>
          {room.topic}
        </section>
      )}
      {group && room.state === 'member' && (
        <nav class={s.links} aria-label={t('group.details')}>
          <a href={`${base}/members`}>
            <Icon name="users" />
            <span>{t('group.members')}</span>
            <small>{room.members}</small>
            <Icon name="chevron-right" size={18} />
          </a>
          {can(room, 'link', now) && (
            <a href={`${base}/links`}>
              <Icon name="link" />
              <span>{t('group.links')}</span>
              <Icon name="chevron-right" size={18} />
            </a>
          )}
          {can(room, 'rename', now) && (
            <a href={`${base}/manage`}>
              <Icon name="settings" />
              <span>{t('group.manage')}</span>
              <Icon name="chevron-right" size={18} />
            </a>
          )}
          <button type="button" class={s.danger} onClick={() => setLeaving(true)}>
            <Icon name="log-out" />
            <span>{t('group.leave')}</span>
          </button>
        </nav>
      )}
      {!group && state.isRemote(room.peer) && (
        <nav class={s.links} aria-label={t('group.details')}>
          <a href={`/contacts/${encodeURIComponent(room.peer)}`}>
            <Icon name="user" />
            <span>{t('contacts.card')}</span>
            <Icon name="chevron-right" size={18} />
          </a>
        </nav>
      )}
      {room.nodes.length > 0 && <Nodes room={room} />}
      {leaving && (
        <Confirm
          title={t('group.leave')}
          text={t(room.role === 'owner' && room.members > 1 ? 'group.leave_owner' : 'group.leave_text', { name })}
          action={t('group.leave')}
          danger
          onClose={() => setLeaving(false)}
          onConfirm={() => void leave()}
        />
      )}
    </>
  );
}

/** Which nodes hold the chat, and which of them gives each message its place. */
function Nodes({ room }: { room: Room }) {
  const { state } = here();
  return (
    <section aria-label={t('group.nodes')}>
      <h3 class={s.section}>{t('group.nodes')}</h3>
      <ul>
        <li class={s.member}>
          <Icon name="house" />
          <div>
            <b>{t('receipt.this_node')}</b>
            {room.hub === state.home && <small>{t('receipt.hub')}</small>}
          </div>
        </li>
        {room.nodes.map((mark) => (
          <li key={mark.node} class={s.member}>
            <Icon name={state.isLinked(mark) ? 'globe' : 'unplug'} />
            <div>
              <b>{state.nodeName(mark.node)}</b>
              <small>
                {t(state.isLinked(mark) ? 'group.node_linked' : 'group.node_away')}
                {room.hub === mark.node && ` · ${t('receipt.hub')}`}
              </small>
            </div>
          </li>
        ))}
      </ul>
      {mayGoOn(state, room) && (
        <nav class={s.links} aria-label={t('standing.go_on')}>
          <GoOn room={room}>
            {(ask) => (
              <button type="button" onClick={ask}>
                <Icon name="arrow-right-left" />
                <span>{t('standing.go_on')}</span>
              </button>
            )}
          </GoOn>
        </nav>
      )}
    </section>
  );
}
