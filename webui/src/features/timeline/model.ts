/** Turns entries and waiting posts into the rows of a timeline. Pure. */
import { countsFor, isContent, ROOM_KINDS, shownText } from '../../core/fold.ts';
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
  let dayEnd = 0;
  const marks = marksOf(pending);
  let divided = unreadAfter === null;
  // one line for each call: its end says all that its start did
  const overCalls = new Set(entries.map(({ kind, body }) => (kind === 'call' ? body?.start : undefined)));
  const newDay = (atMs: number) => {
    if (atMs >= day && atMs < dayEnd) return; // nearly always, and a date costs
    day = new Date(atMs).setHours(0, 0, 0, 0);
    dayEnd = new Date(atMs).setHours(24, 0, 0, 0);
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

const ESTIMATE: Record<Row['type'], number> = {
  start: 180,
  gap: 48,
  day: 46,
  unread: 40,
  notice: 32,
  call: 40,
  message: 42,
  pending: 42,
  change: 32,
};
const LINE_PX = 23;
const LINE_SIGNS = 64; // of the widest bubble
const SIGNS_ALIKE = 8; // texts whose lengths differ by less are taken to be as high
const SIGNS_LOOKED_AT = 4_000;
const WIDE_FROM = 0x1100; // ideographs, syllables of Korean: about as wide as two letters

const lengths = new WeakMap<Entry, number>();

/** About how long a text is, in letters; a new line counts as a full one. */
function signsOf(entry: Entry): number {
  let signs = lengths.get(entry);
  if (signs !== undefined) return signs;
  signs = 0;
  const text = shownText(entry);
  const end = Math.min(text.length, SIGNS_LOOKED_AT);
  for (let i = 0; i < end; i++) {
    const code = text.charCodeAt(i);
    signs += code === 10 ? LINE_SIGNS : code >= WIDE_FROM ? 2 : 1;
  }
  lengths.set(entry, signs);
  return signs;
}

/**
 * How high rows will be before they are there. The best guess is what the last row of the kind was measured at: a guess
 * that holds is no correction, so nothing has to be drawn again or moved below the eyes of a reader who scrolls up.
 */
export class Heights {
  readonly #seen = new Map<string, number>();

  guess(row: Row): number {
    const seen = this.#seen.get(kindOf(row));
    if (seen !== undefined) return seen;
    if (row.type !== 'message') return ESTIMATE[row.type];
    const lines = Math.floor(signsOf(row.entry) / LINE_SIGNS);
    return ESTIMATE.message + (row.first ? 7 : 0) + lines * LINE_PX;
  }

  learn(row: Row, px: number): void {
    this.#seen.set(kindOf(row), px);
  }
}

/** What decides how high a row is, but for the width of the screen. */
function kindOf(row: Row): string {
  if (row.type !== 'message') return row.type;
  const { entry, first } = row;
  const mark = entry.mark;
  if (mark?.erased) return 'erased';
  const signs = Math.floor(signsOf(entry) / SIGNS_ALIKE);
  const more = mark ? `${mark.edits > 0}${Object.keys(mark.reactions).length > 0}` : '';
  return `${first ? entry.author : ''} ${signs} ${entry.body?.reply_to ? 'reply' : ''}${more}`;
}
