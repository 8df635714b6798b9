/** A call in the log of a chat, in one line of words. */
import type { State } from '../../core/store/state.ts';
import type { Entry } from '../../core/types.ts';
import { type Key, t } from '../../i18n/index.ts';

export interface CallText {
  text: string;
  icon: string;
  missed: boolean; // by the reader, who may want to call back
}

const MINE: ReadonlySet<string> = new Set(['missed', 'declined', 'busy', 'cancelled', 'unreachable', 'failed']);

export function callText(state: State, { author, body }: Entry): CallText {
  const video = body?.media === 'video';
  const icon = video ? 'video' : 'phone';
  const kind = video ? 'video' : 'audio';
  const result = typeof body?.result === 'string' ? body.result : '';
  if (body?.state === 'start')
    return { text: t('calls.started', { name: nameOf(state, author) }), icon, missed: false };
  if (Array.isArray(body?.missed) && body.missed.includes(state.me))
    return { text: t(`calls.missed.${kind}`), icon: 'phone-missed', missed: true };
  const ms = typeof body?.ms === 'number' ? body.ms : 0;
  if (ms > 0 || !MINE.has(result))
    return { text: t(`calls.over.${kind}`, { time: lengthOf(ms) }), icon, missed: false };
  const words =
    author === state.me ? `calls.mine.${result}` : result === 'declined' ? 'calls.declined' : 'calls.not_taken';
  return { text: t(words as Key), icon: 'phone-missed', missed: false };
}

/** Whether the log of its chat says that this call is over, as far as this page has it. */
export function endIsNoted(state: State, room: string, call: string): boolean {
  const known = [...(state.timelines.get(room)?.entries.peek() ?? []), state.rooms.peek().get(room)?.last];
  return known.some((one) => one?.kind === 'call' && one.body?.state === 'end' && one.body.call === call);
}

const nameOf = (state: State, user: string): string => (user === state.me ? t('chats.you') : state.nameOf(user));

/** How long people talked: as exact as one remembers. */
export function lengthOf(ms: number): string {
  const seconds = Math.max(1, Math.round(ms / 1000));
  if (seconds < 60) return t('calls.seconds', { n: seconds });
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return t('calls.minutes', { n: minutes });
  return t('calls.hours', { h: Math.floor(minutes / 60), n: minutes % 60 });
}
