/**
 * What marks in the outbox will do: a message is shown as it will be once the node has them. Pure.
 *
 * A mark that was refused for good changes nothing any more; it stays until somebody has read why.
 */
import { evolve, MARKS } from './fold.ts';
import type { Entry, Pending } from './types.ts';

export type Marks = ReadonlyMap<string, readonly Pending[]>;

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
