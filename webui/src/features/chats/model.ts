/** What the chat list shows of a room: its name, its last line, and which sign stands beside it. */
import { computed, effect, signal } from '@preact/signals';
import { foreseen } from '../../core/pending.ts';
import type { State } from '../../core/store/state.ts';
import type { Room } from '../../core/types.ts';
import { t } from '../../i18n/index.ts';
import { go, path } from '../../routes.ts';
import { client } from '../../session.ts';
import { callText } from '../call/entry.ts';
import { plainWords, wordsOf } from '../message/plain.ts';

export const filter = signal('');

export const roomName = (state: State, room: Room): string =>
  room.kind === 'direct' ? (room.peer ? state.nameOf(room.peer) : room.name || t('chats.saved')) : room.name;

/** What decides the picture: the person of a direct chat, else the room. */
export const faceOf = (room: Room): string => room.peer || room.room;

export const filtered = computed<readonly Room[]>(() => {
  const state = client.value?.state;
  if (!state) return [];
  const words = filter.value.trim().toLowerCase();
  const rooms = state.list.value;
  return words ? rooms.filter((room) => `${roomName(state, room)} ${room.peer}`.toLowerCase().includes(words)) : rooms;
});

/** One line about the last message. */
export function preview(state: State, room: Room): string {
  const waiting = state.pending.value.findLast((item) => item.room === room.room && item.kind === 'text');
  if (waiting) return t('chats.line', { name: t('chats.you'), text: plainWords(String(waiting.body.text ?? '')) });
  const last = room.last && foreseen(room.last, state.marks.value, state.me);
  if (!last) return room.kind === 'group' ? t('chats.no_messages') : t('chats.say_hello');
  const who = last.author === state.me ? t('chats.you') : state.nameOf(last.author);
  if (last.mark?.erased === 'recall')
    return last.author === state.me ? t('message.you_recalled') : t('message.recalled', { name: who });
  if (last.mark?.erased) return t('message.removed_short');
  if (last.kind === 'call') return callText(state, last).text;
  const text = wordsOf(last).slice(0, 160);
  return room.kind === 'group' || last.author === state.me ? t('chats.line', { name: who, text }) : text;
}

const LET_IN_MS = 15_000;

/** Opens a chat as soon as the reader is in it, unless it takes long or they have gone somewhere else. */
export function openWhenIn(room: string): void {
  const from = path.value;
  let stop: (() => void) | undefined;
  const timer = setTimeout(() => stop?.(), LET_IN_MS);
  const end = () => {
    clearTimeout(timer);
    queueMicrotask(() => stop?.());
  };
  stop = effect(() => {
    const there = client.value?.state.rooms.value.get(room)?.state === 'member';
    if (path.value !== from) end();
    else if (there) {
      end();
      queueMicrotask(() => go(`/c/${room}`));
    }
  });
}

/** Whether a person is there, as far as the own node can tell. */
export function presenceText(presence: string | undefined): string {
  if (client.value?.away.value) return t('presence.unknown');
  return t(presence === 'online' ? 'presence.online' : presence === 'away' ? 'presence.away' : 'presence.offline');
}

export function typingText(state: State, room: string, group: boolean): string {
  const users = state.typing.value.get(room) ?? [];
  if (!users.length) return '';
  if (!group) return t('chats.typing');
  return users.length === 1
    ? t('chats.typing_one', { name: state.nameOf(users[0] ?? '') })
    : t('chats.typing_many', { n: users.length });
}
