/** What one frame changes: gathered, written as one transaction, then shown as one batch of signals. */
import type { Commit } from './db.ts';
import { type State, type Timeline, WINDOW_MAX } from './store/state.ts';
import type { Entry, Range, Receipt, Room } from './types.ts';

export const keyOf = (entry: Entry): string => `${entry.room}/${entry.idx}`;

/** What one frame changes, gathered before it is written. */
export class Change {
  readonly rooms = new Map<string, Room>();
  readonly entries = new Map<string, Entry>();
  readonly ranges = new Map<string, Range>();
  readonly dropped = new Set<string>();
  readonly receipts: Receipt[] = [];
  readonly settled = new Set<string>();
  readonly placed = new Set<string>(); // posts that waited for another node and are entries now
  cursor: number | undefined;
}

/** What the views see of it; call it inside a batch. */
export function show(state: State, change: Change, people: readonly { user: string; name: string }[]): void {
  if (change.rooms.size) state.rooms.value = new Map([...state.rooms.value, ...change.rooms]);
  if (people.length)
    state.people.value = new Map([...state.people.value, ...people.map(({ user, name }) => [user, name] as const)]);
  if (change.settled.size) state.outbox.value = state.outbox.value.filter((item) => !change.settled.has(item.clientId));
  if (change.placed.size)
    state.waiting.value = new Map([...state.waiting.value].filter(([id]) => !change.placed.has(id)));
  for (const line of state.timelines.values()) if (line.ready.value) showIn(line, change);
  for (const receipt of change.receipts) {
    const line = state.timelines.get(receipt.room);
    if (line)
      line.receipts.value = new Map([
        ...line.receipts.value,
        [receipt.user, grown(line.receipts.value.get(receipt.user), receipt)],
      ]);
  }
}

/** Who writes has read: the node sends no receipt for that, the entry says it. */
export const ownReceipt = ({ room, author, idx, atMs }: Entry): Receipt => ({
  room,
  user: author,
  deliveredIdx: idx,
  readIdx: idx,
  readMs: atMs,
});

/** Marks only grow, whatever order they arrive in. */
function grown(before: Receipt | undefined, next: Receipt): Receipt {
  if (!before) return next;
  return {
    ...next,
    deliveredIdx: Math.max(before.deliveredIdx, next.deliveredIdx),
    readIdx: Math.max(before.readIdx, next.readIdx),
    readMs: Math.max(before.readMs, next.readMs),
  };
}

export function asCommit(change: Change, people: readonly { user: string; name: string }[]): Commit {
  return {
    ...(change.cursor === undefined ? {} : { cursor: change.cursor }),
    rooms: change.rooms.values(),
    entries: change.entries.values(),
    ranges: change.ranges.values(),
    dropped: change.dropped,
    people,
    receipts: change.receipts,
    settled: change.settled,
  };
}

function showIn(line: Timeline, change: Change): void {
  const range = change.ranges.get(line.room);
  if (range) {
    line.lo.value = range.lo;
    line.hi.value = range.hi;
    line.start.value = range.start;
  }
  const mine = [...change.entries.values()].filter((entry) => entry.room === line.room);
  if (mine.length || change.dropped.has(line.room)) {
    if (change.dropped.has(line.room)) line.end.value = true;
    const base = change.dropped.has(line.room) ? [] : line.entries.value;
    const table = new Map(base.map((entry) => [entry.idx, entry]));
    const last = line.end.value ? Number.POSITIVE_INFINITY : (base.at(-1)?.idx ?? 0);
    const known = (idx: number) => idx <= last && (!range || (idx >= range.lo && idx <= range.hi));
    for (const entry of mine) if (table.has(entry.idx) || known(entry.idx)) table.set(entry.idx, entry);
    const all = [...table.values()].sort((a, b) => a.idx - b.idx);
    line.entries.value = grew(line, base, all);
  }
}

/** At most `WINDOW_MAX` stay: what came on top pushes out the newest, what came below pushes out the oldest. */
function grew(line: Timeline, before: readonly Entry[], all: readonly Entry[]): readonly Entry[] {
  if (all.length <= WINDOW_MAX) return all;
  const upwards = (all[0]?.idx ?? 0) < (before[0]?.idx ?? 0);
  return upwards ? cutNewest(line, all) : cutOldest(line, all);
}

export function cutNewest(line: Timeline, all: readonly Entry[]): readonly Entry[] {
  if (all.length <= WINDOW_MAX) return all;
  line.end.value = false;
  return all.slice(0, WINDOW_MAX);
}

/** `lo` and `start` follow: further up it goes on from the disk. */
export function cutOldest(line: Timeline, all: readonly Entry[]): readonly Entry[] {
  if (all.length <= WINDOW_MAX) return all;
  const kept = all.slice(-WINDOW_MAX);
  line.lo.value = kept[0]?.idx ?? line.lo.value;
  line.start.value = false;
  return kept;
}
