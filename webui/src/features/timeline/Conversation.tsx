/** One chat: its head, its timeline and its composer. */
import type { Room } from '../../core/types.ts';
import { t } from '../../i18n/index.ts';
import { go, route } from '../../routes.ts';
import { here } from '../../session.ts';
import { Avatar } from '../../ui/Avatar/Avatar.tsx';
import { IconButton } from '../../ui/Button/Button.tsx';
import { Icon } from '../../ui/Icon/Icon.tsx';
import { CallButtons, CallLine } from '../call/Head.tsx';
import { faceOf, presenceText, roomName, typingText } from '../chats/model.ts';
import { Composer } from '../composer/Composer.tsx';
import { Domain } from '../contacts/Domain.tsx';
import shell from '../shell/Shell.module.css';
import { Standing } from './Standing.tsx';
import s from './Timeline.module.css';
import { Timeline } from './Timeline.tsx';
import { awayOf } from './trouble.ts';

export default function Conversation({ room, target }: { room: Room; target: string | undefined }) {
  return (
    <main class={s.main}>
      <Head room={room} />
      {room.kind === 'group' && room.topic && (
        <a class={s.topic} href={`/c/${room.room}/info`}>
          <Icon name="megaphone" size={16} />
          <span>{room.topic}</span>
        </a>
      )}
      <Standing room={room} />
      <CallLine room={room} />
      <Timeline room={room} target={target} />
      <Composer room={room} />
    </main>
  );
}

function Head({ room }: { room: Room }) {
  const { state } = here();
  const name = roomName(state, room);
  const typing = typingText(state, room.room, room.kind === 'group');
  const presence = room.peer ? state.presence.value.get(room.peer) : undefined;
  const sub =
    room.kind === 'group'
      ? room.state === 'member'
        ? t('group.members_count', { n: room.members })
        : ''
      : room.peer
        ? awayOf(state, room) || presenceText(presence)
        : '';
  const open = route.value.panel !== undefined && route.value.panel !== 'reads';
  return (
    <header class={s.head}>
      <IconButton class={shell.backs ?? ''} icon="arrow-left" label={t('common.back')} onClick={() => go('/')} />
      <Avatar id={faceOf(room)} name={name} size={42} group={room.kind === 'group'} presence={presence} />
      <a class={s.title} href={`/c/${room.room}/info`}>
        <h1>
          <span>{name}</span>
          {room.kind === 'direct' && <Domain user={room.peer} />}
        </h1>
        <p class={typing ? `${s.sub} ${s.live}` : s.sub}>{typing || sub}</p>
      </a>
      <CallButtons room={room} />
      {room.kind === 'group' && room.state === 'member' && (
        <IconButton
          class={shell.wide ?? ''}
          icon="user-plus"
          label={t('group.invite')}
          onClick={() => go(`/c/${room.room}/invite`)}
        />
      )}
      <IconButton
        icon="info"
        label={t('group.details')}
        aria-expanded={open}
        onClick={() => go(open ? `/c/${room.room}` : `/c/${room.room}/info`)}
      />
    </header>
  );
}
