/** One table makes the key handler and the cheat sheet. Keys of a widget are listed here and handled by the widget. */
import { useEffect, useState } from 'preact/hooks';
import type { Key } from '../../i18n/index.ts';
import { theme } from '../../look.ts';
import { go, route } from '../../routes.ts';
import { client } from '../../session.ts';

export interface Shortcut {
  keys: string;
  key: Key;
  run?: () => void;
  match?: (event: KeyboardEvent) => boolean;
}

const mod = (event: KeyboardEvent): boolean => event.ctrlKey || event.metaKey;
const listed = () => client.value?.state.list.value ?? [];

function step(by: number, unread: boolean): void {
  const rooms = listed();
  const now = rooms.findIndex(({ room }) => room === route.value.room);
  for (let i = 1; i <= rooms.length; i++) {
    const room = rooms[((((now < 0 && by < 0 ? 0 : now) + by * i) % rooms.length) + rooms.length) % rooms.length];
    if (room && (!unread || room.unread > 0)) {
      go(`/c/${room.room}`);
      return;
    }
  }
}

function find(): void {
  if (route.value.page !== 'chats') go('/');
  requestAnimationFrame(() => document.querySelector<HTMLInputElement>('aside input[type=search]')?.focus());
}

function dark(): void {
  theme.value = document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark';
}

export const SHORTCUTS: readonly Shortcut[] = [
  {
    keys: 'Ctrl K',
    key: 'keys.search',
    run: find,
    match: (event) => mod(event) && !event.shiftKey && event.key.toLowerCase() === 'k',
  },
  {
    keys: 'Alt ↓',
    key: 'keys.next_chat',
    run: () => step(1, false),
    match: (event) => event.altKey && !event.shiftKey && event.key === 'ArrowDown',
  },
  {
    keys: 'Alt ↑',
    key: 'keys.previous_chat',
    run: () => step(-1, false),
    match: (event) => event.altKey && !event.shiftKey && event.key === 'ArrowUp',
  },
  {
    keys: 'Alt Shift ↓',
    key: 'keys.next_unread',
    run: () => step(1, true),
    match: (event) => event.altKey && event.shiftKey && event.key === 'ArrowDown',
  },
  {
    keys: 'Alt Shift ↑',
    key: 'keys.previous_unread',
    run: () => step(-1, true),
    match: (event) => event.altKey && event.shiftKey && event.key === 'ArrowUp',
  },
  {
    keys: 'Ctrl Shift D',
    key: 'keys.dark',
    run: dark,
    match: (event) => mod(event) && event.shiftKey && event.key.toLowerCase() === 'd',
  },
  { keys: 'Enter', key: 'keys.send' },
  { keys: 'Shift Enter', key: 'keys.line' },
  { keys: '↑', key: 'keys.edit_last' },
  { keys: '@', key: 'keys.mention' },
  { keys: 'Esc', key: 'keys.escape' },
  { keys: 'J K', key: 'keys.roam' },
  { keys: 'R', key: 'keys.reply' },
  { keys: 'E', key: 'keys.react' },
  { keys: 'Del', key: 'keys.redact' },
  { keys: 'M V S H', key: 'keys.in_call' },
  { keys: 'Space', key: 'keys.talk' },
  { keys: 'Ctrl /', key: 'keys.sheet' },
];

const isTyping = (event: KeyboardEvent): boolean =>
  Boolean((event.target as Element | null)?.closest?.('input,textarea,select'));

export function useKeys(): [boolean, (shown: boolean) => void] {
  const [sheet, setSheet] = useState(false);
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.isComposing || event.defaultPrevented) return;
      const asks = (mod(event) && event.key === '/') || (event.key === '?' && !isTyping(event));
      const found = SHORTCUTS.find((shortcut) => shortcut.match?.(event));
      if (asks) setSheet(true);
      else if (found?.run) found.run();
      else return;
      event.preventDefault();
    };
    addEventListener('keydown', press);
    return () => removeEventListener('keydown', press);
  }, []);
  return [sheet, setSheet];
}
