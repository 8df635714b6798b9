/**
 * Folds shared with the node: marks into messages (node/core/message.py), entries into cards (node/core/room.py) and
 * unread counts (node/core/unread.py). Pure. A mark may be seen twice (a history page already holds it), so each
 * rule here gives the same answer when repeated.
 */
import { type Body, type Entry, type Mark, nodeOf, type Room } from './types.ts';

export const MARKS = new Set(['edit', 'recall', 'redact', 'reaction']);
export const ROOM_KINDS = new Set([
  'create',
  'invite',
  'uninvite',
  'decline',
  'join',
  'leave',
  'kick',
  'ban',
  'unban',
  'ban_node',
  'unban_node',
  'role',
  'transfer',
  'mute',
  'unmute',
  'mute_all',
  'name',
  'topic',
  'settings',
]);
export const UNTOUCHED: Mark = { edits: 0, edited: null, erased: '', erasedBy: '', reason: '', reactions: {} };

export const isContent = (kind: string): boolean => !MARKS.has(kind) && !ROOM_KINDS.has(kind);

const text = (body: Body | null, key: string): string => (typeof body?.[key] === 'string' ? (body[key] as string) : '');

/** The message a mark acts on. */
export const targetOf = (entry: Entry): string => (MARKS.has(entry.kind) ? text(entry.body, 'target') : '');

/** The message after a mark that the hub accepted. */
export function evolve(message: Entry, actor: string, kind: string, body: Body): Entry {
  const mark = message.mark ?? UNTOUCHED;
  switch (kind) {
    case 'edit':
      return { ...message, mark: { ...mark, edits: mark.edits + 1, edited: body } };
    case 'recall':
    case 'redact': {
      const erased: Mark = {
        ...mark,
        erased: kind,
        erasedBy: actor,
        reason: kind === 'redact' ? text(body, 'reason') : '',
        edited: null,
        reactions: {},
      };
      return { ...message, body: null, mark: erased };
    }
    case 'reaction':
      return {
        ...message,
        mark: { ...mark, reactions: react(mark.reactions, actor, text(body, 'value'), body.on !== false) },
      };
    default:
      return message;
  }
}

function react(all: Mark['reactions'], actor: string, value: string, on: boolean): Mark['reactions'] {
  const others = (all[value] ?? []).filter((user) => user !== actor);
  const already = (all[value] ?? []).includes(actor);
  const users = on ? (already ? (all[value] ?? []) : [...others, actor]) : others;
  if (users.length > 0) return { ...all, [value]: users };
  return Object.fromEntries(Object.entries(all).filter(([key]) => key !== value));
}

/** The beginning of a call is only shown in the log; its end says how it went. */
const isBeginning = ({ kind, body }: Entry): boolean => kind === 'call' && text(body, 'state') === 'start';

/** Whether a message names `me`, by name or by everyone; a call names who missed it. */
export function mentionsMe(entry: Entry, me: string): boolean {
  if (entry.kind === 'call') return Array.isArray(entry.body?.missed) && entry.body.missed.includes(me);
  const mentions = entry.body?.mentions;
  return Array.isArray(mentions) && mentions.some((m: { user?: unknown }) => m?.user === me || m?.user === 'all');
}

export const countsFor = (entry: Entry, me: string): boolean =>
  isContent(entry.kind) &&
  entry.author !== me &&
  !entry.mark?.erased &&
  entry.body !== null &&
  (entry.kind !== 'call' || mentionsMe(entry, me));

/** The card after one more entry that it does not know of yet. */
export function advance(room: Room, entry: Entry, me: string): Room {
  const next = { ...room, headIdx: Math.max(room.headIdx, entry.idx), asOf: Math.max(room.asOf, entry.seq) };
  if (entry.author === me) {
    next.readIdx = Math.max(next.readIdx, entry.idx);
    next.unread = 0;
    next.mentions = 0;
  } else if (countsFor(entry, me)) {
    next.unread += 1;
    if (mentionsMe(entry, me)) next.mentions += 1;
  }
  if (isContent(entry.kind) && !isBeginning(entry)) next.last = entry;
  return { ...next, ...changeOf(room, entry, me) };
}

/** What a room event changes on the card. */
function changeOf(room: Room, entry: Entry, me: string): Partial<Room> {
  const body = entry.body ?? {};
  const user = text(body, 'user');
  const mine = user === me;
  switch (entry.kind) {
    case 'name':
      return { name: text(body, 'name') };
    case 'topic':
      return { topic: text(body, 'topic') };
    case 'mute_all':
      return { mutedAll: body.on === true };
    case 'settings':
      return {
        ...(typeof body.recall_window_s === 'number' ? { recallWindowS: body.recall_window_s } : {}),
        ...(typeof body.edit_window_s === 'number' ? { editWindowS: body.edit_window_s } : {}),
        ...(typeof body.calls === 'string' ? { calls: body.calls } : {}),
      };
    case 'join':
      return { members: room.members + 1, ...(entry.author === me ? { state: 'member', role: 'member' } : {}) };
    case 'leave':
      return { members: Math.max(0, room.members - 1), ...(entry.author === me ? { state: 'left', role: '' } : {}) };
    case 'kick':
    case 'ban':
      return { members: Math.max(0, room.members - 1), ...(mine ? { state: 'left', role: '' } : {}) };
    case 'ban_node':
      return text(body, 'node') === nodeOf(me) ? { state: 'left', role: '' } : {};
    case 'role':
      return mine ? { role: text(body, 'role'), mutedUntilMs: 0 } : {};
    case 'transfer':
      return mine ? { role: 'owner' } : entry.author === me ? { role: 'admin' } : {};
    case 'mute':
      return mine ? { role: 'muted', mutedUntilMs: typeof body.until_ms === 'number' ? body.until_ms : 0 } : {};
    case 'unmute':
      return mine ? { role: 'member', mutedUntilMs: 0 } : {};
    default:
      return {};
  }
}

/** The card after a message was taken away: nobody has to read it any more. */
export function uncount(room: Room, target: Entry, me: string): Room {
  if (target.idx <= room.readIdx || !countsFor(target, me)) return room;
  return {
    ...room,
    unread: Math.max(0, room.unread - 1),
    mentions: mentionsMe(target, me) ? Math.max(0, room.mentions - 1) : room.mentions,
  };
}

/** The text a message shows now; empty when it was taken away. */
export function shownText(entry: Entry): string {
  if (entry.mark?.erased) return '';
  const body = entry.mark?.edited ?? entry.body;
  return text(body, 'text') || text(body, 'fallback');
}
