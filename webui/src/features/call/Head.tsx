/** Calls in a chat: the buttons in its head, and the line that tells of a running call. */
import { useEffect, useState } from 'preact/hooks';
import type { Room } from '../../core/types.ts';
import { t } from '../../i18n/index.ts';
import { go } from '../../routes.ts';
import { here } from '../../session.ts';
import { Button, IconButton } from '../../ui/Button/Button.tsx';
import { Icon } from '../../ui/Icon/Icon.tsx';
import s from './Head.module.css';
import { ask, call, comeBack, mayCall, rosterOf, session } from './model.ts';
import { unfinished } from './unfinished.ts';

export function CallButtons({ room }: { room: Room }) {
  if (!mayCall(here().state, room)) return null;
  return (
    <>
      <IconButton icon="phone" label={t('calls.audio')} onClick={() => call(room, 'audio')} />
      <IconButton icon="video" label={t('calls.video')} onClick={() => call(room, 'video')} />
    </>
  );
}

/** Somebody calls in this chat, and this page is not in it. */
export function CallLine({ room }: { room: Room }) {
  const roster = rosterOf(room.room);
  const mine = session.value;
  const { state, calls } = here();
  if (!roster || (mine?.call.value === roster.call && mine.phase.value !== 'over')) return null;
  if (calls.rings.value.some(({ call: ringing }) => ringing === roster.call)) return null;
  const old = unfinished();
  const mineBefore = old?.call === roster.call ? old : null;
  const elsewhere = roster.participants.some(({ user }) => user === state.me);
  const come = () => {
    if (mineBefore) comeBack(mineBefore);
    else ask.value = { what: 'join', roster };
  };
  const names = roster.participants.map(({ user }) => state.nameOf(user));
  return (
    <div class={s.line} role="status">
      <Icon name={roster.media === 'video' ? 'video' : 'phone'} size={16} />
      <span>
        {mineBefore
          ? t('calls.was_in')
          : elsewhere
            ? t('calls.on_other_device')
            : t('calls.running', { n: names.length })}
        {roster.state === 'live' && (
          <>
            {' · '}
            <Since ms={roster.startedMs} />
          </>
        )}
        {names.length > 0 && <small>{names.slice(0, 4).join(', ')}</small>}
      </span>
      <Button small look="primary" onClick={come}>
        {t(mineBefore ? 'calls.come_back' : elsewhere ? 'calls.move_here' : 'calls.join')}
      </Button>
    </div>
  );
}

/** How long something has lasted, each second. */
export function Since({ ms }: { ms: number }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, []);
  return <time class={s.since}>{clockOf(Date.now() - ms)}</time>;
}

export function clockOf(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (value: number) => String(value).padStart(2, '0');
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${two(minutes)}:${two(seconds % 60)}`;
}

/** Goes back to the call, from wherever one reads meanwhile. */
export const toCall = (): void => go(session.value?.call.value ? `/call/${session.value.call.value}` : '/call');
