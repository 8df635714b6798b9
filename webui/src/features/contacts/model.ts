/** The directory of the node: people by name or user name, page by page. */
import { signal } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import * as http from '../../core/api.ts';
import { localOf, type State } from '../../core/store/state.ts';
import { nodeOf, Refusal } from '../../core/types.ts';
import { type Key, t } from '../../i18n/index.ts';
import { explain } from '../../i18n/refusal.ts';
import { go } from '../../routes.ts';
import { client, here, me, node } from '../../session.ts';
import { toast } from '../../ui/Toast/Toast.tsx';

const WAIT_MS = 180;

export interface Directory {
  people: readonly http.api.Person[] | null;
  error: unknown;
  more: (() => void) | undefined;
  again: () => void;
}

export function useDirectory(query: string): Directory {
  const [people, setPeople] = useState<readonly http.api.Person[] | null>(null);
  const [after, setAfter] = useState('');
  const [error, setError] = useState<unknown>(null);
  const [round, setRound] = useState(0);
  const turn = useRef(0);
  const fetchPage = (from: string, before: readonly http.api.Person[]) => {
    const mine = ++turn.current;
    http.users(query.trim(), from).then(
      (page) => {
        if (mine !== turn.current) return;
        setError(null);
        setPeople([...before, ...page.people]);
        setAfter(page.after);
        void client.value?.sync.learnPeople(page.people.map(({ user, name }) => ({ user, name })));
      },
      (problem) => mine === turn.current && setError(problem),
    );
  };
  useEffect(() => {
    const timer = setTimeout(() => fetchPage('', []), people === null ? 0 : WAIT_MS);
    return () => clearTimeout(timer);
  }, [query, round]);
  return {
    people,
    error,
    more: after ? () => fetchPage(after, people ?? []) : undefined,
    again: () => setRound(round + 1),
  };
}

/** How people read an address: the node's domain where it has one. */
export const addressOf = (local: string): string =>
  node.value?.domain ? `${local}@${node.value.domain}` : `@${local}`;

/** Somebody's address as it stands on the screen: short where no domain is verified. */
export function shortAddress(state: State, user: string): string {
  return state.isRemote(user) ? `${localOf(user)}@${state.nodeName(nodeOf(user))}` : addressOf(localOf(user));
}

/** The address that leads there from anywhere. */
export function fullAddress(state: State, user: string): string {
  const domain = state.domains.value.get(nodeOf(user));
  if (!state.isRemote(user) && node.value?.domain) return addressOf(localOf(user));
  return `${localOf(user)}@${domain || `${nodeOf(user)}.startalk.alt`}`;
}

export const contactOf = (state: State, user: string): http.api.Contact | undefined =>
  state.contacts.value?.find(({ person }) => person.user === user);

/** Contacts elsewhere that the words fit, those one can write to first. */
export function contactsLike(state: State, query: string): readonly http.api.Contact[] {
  const words = query.trim().toLowerCase();
  return (state.contacts.value ?? [])
    .filter(({ person, address }) => `${person.name} ${address}`.toLowerCase().includes(words))
    .filter(({ state: stands }) => stands !== 'asking')
    .toSorted((a, b) => RANK[a.state] - RANK[b.state] || a.person.name.localeCompare(b.person.name));
}

const RANK = { contact: 0, asked: 1, asking: 2, ignored: 3, blocked: 4 } as const;

/** What the add dialog starts with: a link that was opened, or somebody to ask again. */
export const prefill = signal('');

export function add(what: string): void {
  prefill.value = what;
  go('/add');
}

/** Whether words are an address or a link of another node, and not part of a name. */
export const looksLikeAddress = (text: string): boolean =>
  /^https?:\/\/\S+\/i#\S+$/.test(text.trim()) || /^[^\s@]{2,32}@[^\s@]+\.[^\s@]{2,}$/.test(text.trim());

/** The part of an address or link that names the node, for sentences. */
export function placeIn(text: string): string {
  const link = /^https?:\/\/([^/?#]+)/.exec(text.trim());
  const place = link?.[1] ?? text.trim().split('@').at(-1) ?? '';
  return place.endsWith('.startalk.alt') ? `${place.slice(0, 8)}…` : place;
}

const EXACT = new Set([
  'peer_unreachable',
  'peer_offline',
  'key_changed',
  'node_blocked',
  'name_invalid',
  'invite_invalid',
]);

/** Why nobody was found there, and what to do about it. */
export function explainMeeting(error: unknown, text: string): string {
  if (error instanceof Refusal && EXACT.has(error.code)) {
    const code = error.code === 'peer_offline' ? 'peer_unreachable' : error.code;
    return t(`add_error.${code}` as Key, { node: placeIn(text) });
  }
  return explain(error).text;
}

/** Changes how the reader stands with somebody; says so, with a way back where there is one. */
export async function answer(
  contact: http.api.Contact,
  what: 'accept' | 'ignore' | 'block' | 'unblock' | 'remove' | 'withdraw',
): Promise<boolean> {
  const { user, name } = contact.person;
  try {
    if (what === 'remove' || what === 'withdraw') await http.removeContact(user);
    else await http.answerContact(user, what);
    await here().refreshContacts();
  } catch (error) {
    toast(explain(error).text);
    return false;
  }
  const back = UNDO[what];
  toast(t(`contacts_did.${what}`, { name }), back && { label: t(back.key), run: () => void back.run(contact) }, true);
  return true;
}

const UNDO: Readonly<Record<string, { key: Key; run: (contact: http.api.Contact) => Promise<unknown> } | undefined>> = {
  ignore: { key: 'contacts.accept_after_all', run: (contact) => answer(contact, 'accept') },
  block: { key: 'contacts.unblock', run: (contact) => answer(contact, 'unblock') },
  withdraw: {
    key: 'common.undo',
    run: async ({ person, text }) => {
      await http.askContact({ address: person.user, text }).catch((error) => toast(explain(error).text));
      await here().refreshContacts();
    },
  },
};

export async function startChat(user: string): Promise<void> {
  const known = [...here().state.rooms.value.values()].find(
    (room) => room.kind === 'direct' && room.peer === user && room.state === 'member',
  );
  if (known) {
    go(`/c/${known.room}`);
    return;
  }
  try {
    const room = await http.openDirect(user);
    await here().learnRoom(room);
    go(`/c/${room.room}`);
  } catch (error) {
    if (error instanceof Refusal && error.code === 'consent_needed') add(fullAddress(here().state, user));
    else toast(explain(error).text);
  }
}

export const isMe = (user: string): boolean => user === me.value?.user;
