/** What may be done with a message, and how far it has come. */
import { signal } from '@preact/signals';
import { evolve, shownText } from '../../core/fold.ts';
import { can, outranks } from '../../core/roles.ts';
import type { Timeline } from '../../core/store/state.ts';
import type { Entry, Room } from '../../core/types.ts';
import { t } from '../../i18n/index.ts';
import { explain } from '../../i18n/refusal.ts';
import { here } from '../../session.ts';
import { toast } from '../../ui/Toast/Toast.tsx';
import { startEdit } from '../composer/model.ts';

export const QUICK = ['👍', '❤️', '😂', '😮', '😢', '🙏'] as const;
const REEDIT_MS = 5 * 60_000;

export interface Allowed {
  reply: boolean;
  react: boolean;
  edit: boolean;
  recall: boolean;
  redact: boolean;
}

export function allowed(entry: Entry, room: Room, me: string, roleOfAuthor: string, nowMs: number): Allowed {
  const alive = !entry.mark?.erased;
  const mine = entry.author === me;
  const age = nowMs - entry.atMs;
  const rankOver = mine || !roleOfAuthor || outranks(room.role, roleOfAuthor);
  return {
    reply: alive && can(room, 'post', nowMs),
    react: alive && can(room, 'react', nowMs),
    edit: alive && mine && entry.kind === 'text' && can(room, 'edit_own', nowMs) && age <= room.editWindowS * 1000,
    recall: alive && mine && can(room, 'recall_own', nowMs) && age <= room.recallWindowS * 1000,
    redact: alive && can(room, 'redact', nowMs) && rankOver,
  };
}

/** Own messages taken back: their text stays on this page for five minutes, to be written anew. */
export const recalled = signal<ReadonlyMap<string, { text: string; untilMs: number }>>(new Map());

const report = (error: unknown) => toast(explain(error).text);

export async function recall(entry: Entry): Promise<void> {
  const text = shownText(entry);
  try {
    await here().act(entry.room, 'recall', { target: entry.id });
    recalled.value = new Map([...recalled.value, [entry.id, { text, untilMs: Date.now() + REEDIT_MS }]]);
    setTimeout(() => {
      recalled.value = new Map([...recalled.value].filter(([id]) => id !== entry.id));
    }, REEDIT_MS);
  } catch (error) {
    report(error);
  }
}

export const redact = (entry: Entry, reason: string): Promise<unknown> =>
  here()
    .act(entry.room, 'redact', reason ? { target: entry.id, reason } : { target: entry.id })
    .catch(report);

export async function react(entry: Entry, value: string): Promise<void> {
  const { state } = here();
  const on = !(entry.mark?.reactions[value] ?? []).includes(state.me);
  const body = { target: entry.id, value, on };
  const line = state.timeline(entry.room);
  const before = line.entries.value;
  line.entries.value = before.map((other) =>
    other.id === entry.id ? evolve(other, state.me, 'reaction', body) : other,
  ); // shown at once
  try {
    await here().act(entry.room, 'reaction', body);
  } catch (error) {
    line.entries.value = line.entries.value.map((other) =>
      other.id === entry.id ? evolve(other, state.me, 'reaction', { ...body, on: !on }) : other,
    );
    report(error);
  }
}

/** The last own message that can still be edited: ↑ in an empty composer. */
export function editLast(room: Room): boolean {
  const { state } = here();
  const mine = state
    .timeline(room.room)
    .entries.value.findLast((entry) => allowed(entry, room, state.me, '', Date.now()).edit);
  if (mine) startEdit(mine);
  return mine !== undefined;
}

export type Progress = 'sent' | 'delivered' | 'read';

export interface Reach {
  progress: Progress;
  readers: readonly { user: string; readMs: number }[];
  delivered: readonly string[];
}

export function reachOf(line: Timeline, entry: Entry, me: string): Reach {
  const others = [...line.receipts.value.values()].filter((receipt) => receipt.user !== me);
  const readers = others
    .filter((receipt) => receipt.readIdx >= entry.idx)
    .map(({ user, readMs }) => ({ user, readMs }));
  const delivered = others
    .filter((receipt) => receipt.deliveredIdx >= entry.idx && receipt.readIdx < entry.idx)
    .map(({ user }) => user);
  return { progress: readers.length ? 'read' : delivered.length ? 'delivered' : 'sent', readers, delivered };
}

export const progressText = (room: Room, reach: Reach): string =>
  room.kind === 'group' && reach.progress === 'read'
    ? t('receipt.read_by', { n: reach.readers.length })
    : t(`receipt.${reach.progress}`);
