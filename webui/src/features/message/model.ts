/** What may be done with a message, and how far it has come. */
import { signal } from '@preact/signals';
import { shownText } from '../../core/fold.ts';
import { foreseen, queuedReaction } from '../../core/pending.ts';
import { can, outranks } from '../../core/roles.ts';
import type { Timeline } from '../../core/store/state.ts';
import { type Entry, type NodeMark, nodeOf, type Room } from '../../core/types.ts';
import { t } from '../../i18n/index.ts';
import { here } from '../../session.ts';
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

/** Takes an own message back, at once or when the network is there again. */
export async function recall(entry: Entry): Promise<void> {
  const text = shownText(entry);
  recalled.value = new Map([...recalled.value, [entry.id, { text, untilMs: Date.now() + REEDIT_MS }]]);
  setTimeout(() => {
    recalled.value = new Map([...recalled.value].filter(([id]) => id !== entry.id));
  }, REEDIT_MS);
  await here().send(entry.room, 'recall', { target: entry.id });
}

export const redact = (entry: Entry, reason: string): Promise<void> =>
  here().send(entry.room, 'redact', reason ? { target: entry.id, reason } : { target: entry.id });

/** Turns a reaction on or off. One that still waits is simply taken back. */
export async function react(entry: Entry, value: string): Promise<void> {
  const client = here();
  const waiting = queuedReaction(client.state.outbox.value, entry.id, value);
  if (waiting) return client.outbox.drop(waiting.clientId);
  const on = !(entry.mark?.reactions[value] ?? []).includes(client.state.me);
  await client.send(entry.room, 'reaction', { target: entry.id, value, on });
}

/** The last own message that can still be edited: ↑ in an empty composer. */
export function editLast(room: Room): boolean {
  const { state } = here();
  const marks = state.marks.value;
  const mine = state
    .timeline(room.room)
    .entries.value.findLast((entry) => allowed(foreseen(entry, marks, state.me), room, state.me, '', Date.now()).edit);
  if (mine) startEdit(foreseen(mine, marks, state.me));
  return mine !== undefined;
}

/** sent: it has its place; node: on the nodes of the others; delivered: on a device; read. */
export type Progress = 'sent' | 'node' | 'delivered' | 'read';

export interface Reach {
  progress: Progress;
  readers: readonly { user: string; readMs: number }[];
  delivered: readonly string[];
}

/** Whether a node has an entry: the one that ordered it has it. */
export const hasIt = (room: Room, { node, idx }: NodeMark, entry: Entry): boolean =>
  node === room.hub || idx >= entry.idx;

/**
 * Whether a place cannot change any more. Of up to three nodes two are enough (node/core/hub.py): the one that ordered the
 * entry and this one, which has it as soon as it can be asked about; nothing is told of that.
 */
export const isStable = (room: Room, { idx }: Entry, home: string): boolean =>
  room.stableIdx >= idx || (room.hub !== home && room.nodes.length <= 2);

/** The nodes that matter to the author: that of the other person, or all of them. */
function onNodes(room: Room, entry: Entry): boolean {
  const marks = room.peer ? room.nodes.filter(({ node }) => node === nodeOf(room.peer)) : room.nodes;
  return marks.length > 0 && marks.every((mark) => hasIt(room, mark, entry));
}

export function reachOf(line: Timeline, entry: Entry, me: string, room: Room): Reach {
  const others = [...line.receipts.value.values()].filter((receipt) => receipt.user !== me);
  const readers = others
    .filter((receipt) => receipt.readIdx >= entry.idx)
    .map(({ user, readMs }) => ({ user, readMs }));
  const delivered = others
    .filter((receipt) => receipt.deliveredIdx >= entry.idx && receipt.readIdx < entry.idx)
    .map(({ user }) => user);
  const sent = onNodes(room, entry) ? 'node' : 'sent';
  return { progress: readers.length ? 'read' : delivered.length ? 'delivered' : sent, readers, delivered };
}

export const progressText = (room: Room, reach: Reach): string =>
  room.kind === 'group' && reach.progress === 'read'
    ? t('receipt.read_by', { n: reach.readers.length })
    : reach.progress === 'node'
      ? t(room.peer ? 'receipt.node' : 'receipt.nodes', { node: here().state.nodeName(nodeOf(room.peer)) })
      : t(`receipt.${reach.progress}`);
