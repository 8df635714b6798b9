/** The directory of the node: people by name or user name, page by page. */
import { useEffect, useRef, useState } from 'preact/hooks';
import * as http from '../../core/api.ts';
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
    toast(explain(error).text);
  }
}

export const isMe = (user: string): boolean => user === me.value?.user;
