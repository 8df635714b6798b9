/** Turns entries and waiting posts into the rows of a timeline. Pure. */
import { countsFor, isContent, ROOM_KINDS } from '../../core/fold.ts';
import { foreseen, type Marks, marksOf } from '../../core/pending.ts';
import type { Entry, Pending } from '../../core/types.ts';

export type Row =
  | { key: string; type: 'start' }
  | { key: string; type: 'gap' } // what is further up is not on this device
  | { key: string; type: 'day'; atMs: number }
  | { key: string; type: 'unread' }
  | { key: string; type: 'notice'; entry: Entry }
  | { key: string; type: 'call'; entry: Entry }
  | { key: string; type: 'message'; entry: Entry; marks: readonly Pending[]; first: boolean; last: boolean }
  | { key: string; type: 'pending'; item: Pending; first: boolean; last: boolean }
  | { key: string; type: 'change'; item: Pending }; // an event of the chat that waits for another node

const NONE: readonly Pending[] = [];
const GROUP_MS = 5 * 60_000;
const dayOf = (ms: number): number => new Date(ms).setHours(0, 0, 0, 0);

interface Options {
  me: string;
  start: boolean;
  gap?: boolean;
  unreadAfter: number | null; // read mark when the chat was opened, if something was unread
}

export function rowsOf(
  entries: readonly Entry[],
  pending: readonly Pending[],
  { me, start, gap = false, unreadAfter }: Options,
): Row[] {
  const rows: Row[] = start ? [{ key: 'start', type: 'start' }] : gap ? [{ key: 'gap', type: 'gap' }] : [];
  let day = 0;
  const marks = marksOf(pending);
  let divided = unreadAfter === null;
  // one line for each call: its end says all that its start did
  const overCalls = new Set(entries.map(({ kind, body }) => (kind === 'call' ? body?.start : undefined)));
  const newDay = (atMs: number) => {
    if (dayOf(atMs) === day) return;
    day = dayOf(atMs);
    rows.push({ key: `d${day}`, type: 'day', atMs });
  };
  for (const entry of entries) {
    newDay(entry.atMs);
    if (!divided && unreadAfter !== null && entry.idx > unreadAfter && countsFor(entry, me)) {
      divided = true;
      rows.push({ key: 'unread', type: 'unread' });
    }
    if (entry.kind === 'call') {
      if (!overCalls.has(entry.id) && entry.body?.result !== 'merged')
        rows.push({ key: `e${entry.idx}`, type: 'call', entry });
    } else if (isContent(entry.kind)) rows.push(joined(rows, messageOf(entry, marks, me), me));
    else rows.push({ key: `e${entry.idx}`, type: 'notice', entry });
  }
  for (const item of pending) {
    if (ROOM_KINDS.has(item.kind)) rows.push({ key: item.clientId, type: 'change', item });
    if (item.kind !== 'text') continue;
    newDay(item.atMs);
    rows.push(joined(rows, { key: item.clientId, type: 'pending', item, first: true, last: true }, me));
  }
  return rows;
}

/** The message as it will be when the marks that wait are done. */
const messageOf = (entry: Entry, marks: Marks, me: string): Bubble => ({
  key: `e${entry.idx}`,
  type: 'message',
  entry: foreseen(entry, marks, me),
  marks: marks.get(entry.id) ?? NONE,
  first: true,
  last: true,
});

type Bubble = Extract<Row, { type: 'message' | 'pending' }>;
const authorOf = (row: Bubble, me: string): string => (row.type === 'message' ? row.entry.author : me);
const timeOf = (row: Bubble): number => (row.type === 'message' ? row.entry.atMs : row.item.atMs);
const isErased = (row: Bubble): boolean => row.type === 'message' && Boolean(row.entry.mark?.erased);

/** Messages of one author within five minutes stand together. */
function joined(rows: Row[], row: Bubble, me: string): Bubble {
  const before = rows.at(-1);
  if (!before || (before.type !== 'message' && before.type !== 'pending')) return row;
  const together =
    authorOf(before, me) === authorOf(row, me) &&
    timeOf(row) - timeOf(before) < GROUP_MS &&
    !isErased(before) &&
    !isErased(row);
  if (!together) return row;
  rows[rows.length - 1] = { ...before, last: false };
  return { ...row, first: false };
}

/** Messages by others below `idx`. */
export const newAfter = (entries: readonly Entry[], idx: number, me: string): number =>
  entries.reduce((sum, entry) => (entry.idx > idx && countsFor(entry, me) ? sum + 1 : sum), 0);
