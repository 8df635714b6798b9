/** A call in the timeline: how it went, and a way to call back. */
import type { Entry, Room } from '../../core/types.ts';
import { t, timeOf } from '../../i18n/index.ts';
import { here } from '../../session.ts';
import { Icon } from '../../ui/Icon/Icon.tsx';
import { callText } from './entry.ts';
import s from './Head.module.css';
import { call, mayCall, rosterOf } from './model.ts';

export function CallRow({ entry, room }: { entry: Entry; room: Room }) {
  const { state } = here();
  const { text, icon, missed } = callText(state, entry);
  const again = entry.body?.state === 'end' && !rosterOf(room.room) && mayCall(state, room);
  return (
    <article class={s.entry} aria-label={text}>
      <span data-missed={missed ? 'yes' : 'no'}>
        <Icon name={icon} size={16} />
        {text}
        <time dateTime={new Date(entry.atMs).toISOString()}>{timeOf(entry.atMs)}</time>
        {again && (missed || room.kind === 'direct') && (
          <button type="button" onClick={() => call(room, entry.body?.media === 'video' ? 'video' : 'audio')}>
            {t(missed && room.kind === 'direct' ? 'calls.call_back' : 'calls.call_again')}
          </button>
        )}
      </span>
    </article>
  );
}
