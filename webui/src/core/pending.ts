/**
 * What marks in the outbox will do: a message is shown as it will be once the node has them. Pure.
 *
 * A mark that was refused for good changes nothing any more; it stays until somebody has read why.
 */
import { evolve, MARKS } from './fold.ts';
import type { Entry, Pending } from './types.ts';
import type { WaitingItem } from './wire.ts';

export type Marks = ReadonlyMap<string, readonly Pending[]>;

/**
 * The outbox with what the node knows of it, and what waits there from other devices. A post that another node refused is
 * failed, with that node's reason.
 */
export function onTheWay(outbox: readonly Pending[], waiting: ReadonlyMap<string, WaitingItem>): readonly Pending[] {
  if (waiting.size === 0) return outbox;
  const own = new Set(outbox.map(({ id }) => id));
  const known = outbox.map((item) => {
    const news = waiting.get(item.id);
    return news ? judged(item, news) : item;
  });
  const others = [...waiting.values()].filter(({ id, body }) => !own.has(id) && body !== null).map(asPending);
  return others.length ? [...known, ...others].sort((a, b) => a.n - b.n) : known;
}

const judged = (item: Pending, { code, text, hub }: WaitingItem): Pending => ({
  ...item,
  waits: hub,
  ...(code ? { state: 'failed', code, text } : {}),
});

const asPending = (item: WaitingItem): Pending =>
  judged(
    {
      clientId: item.clientId,
      n: item.atMs,
      room: item.room,
      kind: item.kind,
      body: item.body ?? {},
      atMs: item.atMs,
      state: 'accepted',
      code: '',
      text: '',
      detail: {},
      id: item.id,
    },
    item,
  );

/** Waiting and refused marks of all chats by the message they act on, in their order. */
export function marksOf(outbox: readonly Pending[]): Marks {
  const found = new Map<string, Pending[]>();
  for (const item of outbox) {
    const target = MARKS.has(item.kind) && typeof item.body.target === 'string' ? item.body.target : '';
    if (target) found.set(target, [...(found.get(target) ?? []), item]);
  }
  return found;
}

export const foreseen = (entry: Entry, marks: Marks, me: string): Entry =>
  (marks.get(entry.id) ?? [])
    .filter(({ state }) => state !== 'failed')
    .reduce((shown, { kind, body }) => (shown.mark?.erased ? shown : evolve(shown, me, kind, body)), entry);

/** A queued reaction of the same sign: taking it out is the same as sending its opposite after it. */
export const queuedReaction = (outbox: readonly Pending[], target: string, value: string): Pending | undefined =>
  outbox.findLast(
    (item) =>
      item.kind === 'reaction' && item.state === 'queued' && item.body.target === target && item.body.value === value,
  );
