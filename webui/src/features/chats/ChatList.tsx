/** The list of chats, open invitations above it. */
import { useState } from 'preact/hooks';
import { type Pending, Refusal, type Room } from '../../core/types.ts';
import { briefOf, t } from '../../i18n/index.ts';
import { explain } from '../../i18n/refusal.ts';
import { go, route } from '../../routes.ts';
import { here } from '../../session.ts';
import { Avatar } from '../../ui/Avatar/Avatar.tsx';
import { Button, IconButton } from '../../ui/Button/Button.tsx';
import { Icon } from '../../ui/Icon/Icon.tsx';
import { below, Menu, type Place } from '../../ui/Menu/Menu.tsx';
import { Empty, Skeleton } from '../../ui/Parts/Parts.tsx';
import { toast } from '../../ui/Toast/Toast.tsx';
import { rosterOf } from '../call/model.ts';
import { Domain } from '../contacts/Domain.tsx';
import shell from '../shell/Shell.module.css';
import { Count } from '../shell/Shell.tsx';
import s from './Chats.module.css';
import { faceOf, filter, filtered, openWhenIn, preview, roomName, typingText } from './model.ts';

export function ChatList() {
  const { state } = here();
  const [menu, setMenu] = useState<Place | null>(null);
  const rooms = filtered.value;
  const some = state.list.value.length > 0;
  const joins = state.pending.value.filter(
    ({ kind, room }) => kind === 'join' && state.rooms.value.get(room)?.state !== 'member',
  );
  const asked = new Set(joins.filter((item) => item.state !== 'failed').map(({ room }) => room));
  const invitations = state.invitations.value.filter(({ joining, room }) => !joining && !asked.has(room));
  return (
    <aside class={shell.list} aria-label={t('nav.chats')}>
      <header class={shell.head}>
        <h2>{t('nav.chats')}</h2>
        <IconButton
          icon="plus"
          label={t('chats.new')}
          aria-haspopup="menu"
          aria-expanded={menu !== null}
          onClick={(event: MouseEvent) => setMenu(below(event.currentTarget as Element))}
        />
      </header>
      {menu && (
        <Menu
          label={t('chats.new')}
          at={menu}
          onClose={() => setMenu(null)}
          items={[
            { label: t('chats.new_chat'), icon: 'message-circle-plus', run: () => go('/contacts') },
            { label: t('group.create'), icon: 'users-round', run: () => go('/new') },
          ]}
        />
      )}
      {some && (
        <search class={shell.search}>
          <Icon name="search" size={18} />
          <input
            type="search"
            aria-label={t('chats.search')}
            placeholder={t('chats.search')}
            value={filter.value}
            onInput={(event) => (filter.value = event.currentTarget.value)}
          />
        </search>
      )}
      <div class={shell.scroll}>
        {invitations.map((room) => (
          <Invitation key={room.room} room={room} />
        ))}
        {joins.map((item) => (
          <Joining key={item.clientId} item={item} />
        ))}
        {!state.loaded.value && !some && <Skeleton />}
        <nav aria-label={t('chats.list')}>
          <ul class={s.items}>
            {rooms.map((room) => (
              <li key={room.room}>
                <Row room={room} />
              </li>
            ))}
          </ul>
        </nav>
        {state.loaded.value && !some && !invitations.length && !joins.length && (
          <Empty icon="message-circle-plus" title={t('chats.empty')} text={t('chats.empty_text')}>
            <Button look="primary" icon="message-circle-plus" onClick={() => go('/contacts')}>
              {t('chats.start')}
            </Button>
          </Empty>
        )}
        {some && !rooms.length && <Empty icon="search" title={t('chats.none_found')} />}
      </div>
    </aside>
  );
}

function Row({ room }: { room: Room }) {
  const { state } = here();
  const name = roomName(state, room);
  const mine = state.pending.value.filter((item) => item.room === room.room);
  const failed = mine.some((item) => item.state === 'failed');
  const waits = !failed && mine.some((item) => item.state === 'accepted' && item.waits !== undefined);
  const typing = typingText(state, room.room, room.kind === 'group');
  const draft = route.value.room === room.room ? '' : state.drafts.value.get(room.room);
  return (
    <a class={s.item} href={`/c/${room.room}`} aria-current={route.value.room === room.room ? 'page' : undefined}>
      <Avatar
        id={faceOf(room)}
        name={name}
        size={48}
        group={room.kind === 'group'}
        presence={room.peer ? state.presence.value.get(room.peer) : undefined}
      />
      <span class={s.text}>
        <span class={s.line}>
          <span class={s.name}>{name}</span>
          {room.last && (
            <time class={s.time} dateTime={new Date(room.last.atMs).toISOString()}>
              {briefOf(room.last.atMs)}
            </time>
          )}
        </span>
        <span class={s.line}>
          <span class={s.preview}>
            {typing ? <span class={s.typing}>{typing}</span> : draft ? <Draft text={draft} /> : preview(state, room)}
          </span>
          {rosterOf(room.room) && <Icon name="phone" size={16} class={s.calls} label={t('calls.sign')} />}
          {failed && <Icon name="circle-alert" size={18} class={s.failed} label={t('chats.failed')} />}
          {waits && <Icon name="clock" size={16} class={s.waits} label={t('chats.waiting')} />}
          {room.mentions > 0 && (
            <span class={s.mention} role="img" aria-label={t('chats.mentions', { n: room.mentions })}>
              <Icon name="at-sign" size={13} />
            </span>
          )}
          <Count n={room.unread} label={t('chats.unread', { n: room.unread })} />
        </span>
      </span>
    </a>
  );
}

const Draft = ({ text }: { text: string }) => (
  <>
    <span class={s.draft}>{t('chats.draft')}</span> {text}
  </>
);

function Invitation({ room }: { room: Room }) {
  const client = here();
  const [busy, setBusy] = useState(false);
  const name = room.name || t('group.unnamed');
  const answer = async (kind: 'join' | 'decline') => {
    setBusy(true);
    try {
      await client.act(room.room, kind, kind === 'join' ? { via: 'invite' } : {});
      if (kind === 'join') openWhenIn(room.room);
    } catch (error) {
      toast(explain(error).text);
      setBusy(false);
    }
  };
  return (
    <section class={s.invite} aria-label={t('chats.invitation', { room: name })}>
      <div>
        <Avatar id={room.room} name={name} size={44} group />
        <p>
          <b>{name}</b>
          {t('chats.invited_by', { name: client.state.nameOf(room.invitedBy), n: room.members })}{' '}
          <Domain user={room.invitedBy} />
        </p>
      </div>
      <div>
        <Button look="primary" small busy={busy} onClick={() => void answer('join')}>
          {t('chats.accept')}
        </Button>
        <Button small disabled={busy} onClick={() => void answer('decline')}>
          {t('chats.decline')}
        </Button>
      </div>
    </section>
  );
}

/** A chat of another node that was asked to let the reader in; it may be away, or say no. */
function Joining({ item }: { item: Pending }) {
  const client = here();
  const { state } = client;
  const card = state.rooms.value.get(item.room);
  const name = card?.name || t('group.unnamed');
  const failed = item.state === 'failed';
  const node = state.nodeName(item.waits ?? '');
  const forget = () => client.waiting.dismiss(item).catch((error) => toast(explain(error).text));
  return (
    <section class={s.invite} aria-label={t('chats.joining_label', { room: name })}>
      <div>
        <Avatar id={item.room} name={name} size={44} group />
        <p role="status">
          <b>{name}</b>
          {failed
            ? t('message.not_accepted', { reason: explain(new Refusal(item.code, item.text)).text })
            : t('chats.joining', { node })}
        </p>
      </div>
      {failed && (
        <div>
          <Button small onClick={() => void forget()}>
            {t('message.dismiss')}
          </Button>
        </div>
      )}
    </section>
  );
}
