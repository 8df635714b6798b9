/** Every state has a URL. Parsing, going there, and links that do not load the page anew. */
import { computed, signal } from '@preact/signals';

export interface Route {
  page: 'login' | 'invite' | 'setup' | 'chats' | 'contacts' | 'settings' | 'admin' | 'call' | 'lost';
  room?: string;
  panel?: 'info' | 'members' | 'links' | 'manage' | 'reads';
  target?: string;
  sub?: string;
  item?: string;
  call?: string;
  dialog?: 'new-group' | 'invite' | 'add' | 'my-link';
}

const ROOM = /^[A-Za-z0-9_-]{43}$/;
const PANELS = new Set(['info', 'members', 'links', 'manage']);

export function parse(path: string): Route {
  const [first = '', second = '', third = '', fourth = ''] = path.split('/').slice(1).map(decodeURIComponent);
  switch (first) {
    case '':
      return { page: 'chats' };
    case 'login':
      return { page: 'login' };
    case 'i':
      return { page: 'invite' };
    case 'setup':
      return { page: 'setup' };
    case 'new':
      return { page: 'chats', dialog: 'new-group' };
    case 'c':
      return ROOM.test(second) ? chat(second, third, fourth) : { page: 'lost' };
    case 'call':
      return second ? { page: 'call', call: second } : { page: 'call' };
    case 'add':
      return { page: 'contacts', dialog: second === 'link' ? 'my-link' : 'add' };
    case 'contacts':
      return second ? { page: 'contacts', sub: second } : { page: 'contacts' };
    case 'settings':
      return second ? { page: 'settings', sub: second } : { page: 'settings' };
    case 'admin':
      return second ? { page: 'admin', sub: second, ...(third ? { item: third } : {}) } : { page: 'admin' };
    default:
      return { page: 'lost' };
  }
}

function chat(room: string, third: string, fourth: string): Route {
  if (third === 'm' && fourth) return { page: 'chats', room, target: fourth };
  if (third === 'r' && fourth) return { page: 'chats', room, panel: 'reads', target: fourth };
  if (third === 'invite') return { page: 'chats', room, panel: 'members', dialog: 'invite' };
  if (PANELS.has(third)) return { page: 'chats', room, panel: third as NonNullable<Route['panel']> };
  return { page: 'chats', room };
}

export const path = signal(globalThis.location?.pathname ?? '/');
export const route = computed(() => parse(path.value));

export function go(to: string, replace = false): void {
  if (to === path.value) return;
  history[replace ? 'replaceState' : 'pushState'](null, '', to);
  path.value = to;
}

/** Up one level; a real step back where the browser has one of ours. */
export function back(to: string): void {
  go(to, true);
}

addEventListener?.('popstate', () => {
  path.value = location.pathname;
});

/** Plain left clicks on links of ours. */
export function follow(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
    return;
  const link = (event.target as Element | null)?.closest?.('a');
  if (!link || link.target || link.origin !== location.origin || link.hash) return;
  event.preventDefault();
  go(link.pathname);
}
