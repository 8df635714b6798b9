/**
 * Frames of startalk.c2s.1 as bytes and back: msgpack arrays whose first element is the name (node/wire/c2s.py).
 *
 * Decoding is tolerant of elements added at the end and of unknown frames; it is strict about what it uses, so a
 * broken frame is one thrown error and never half a state.
 */
import { Decoder, Encoder } from '@msgpack/msgpack';
import { fromText, toBase32, toText } from './bytes.ts';
import { type ClientCallFrame, callFrameAsArray, decodeCallFrame, type NodeCallFrame } from './calling.ts';
import { Broken, id, list, num, type Raw, str } from './raw.ts';
import type { Body, Entry, Mark, NodeMark, Receipt, Room } from './types.ts';

export const SUBPROTOCOL = 'startalk.c2s.1';
export const VERSION = 1;

const encoder = new Encoder({ ignoreUndefined: true });
const decoder = new Decoder();

export type ClientFrame =
  | { t: 'hello'; cursor: number | null; client: string }
  | { t: 'ack'; seq: number }
  | {
      t: 'post';
      n: number;
      room: string;
      clientId: string;
      kind: string;
      body: Body;
      guests?: readonly string[];
      token?: string;
      hub?: string;
    }
  | { t: 'history'; n: number; room: string; idx: number; back: boolean; limit: number }
  | { t: 'read'; n: number; room: string; idx: number }
  | { t: 'typing'; room: string; on: boolean }
  | { t: 'presence'; state: 'online' | 'away' }
  | { t: 'ping'; at: number }
  | ClientCallFrame;

export interface PostedItem {
  readonly n: number;
  readonly room: string;
  readonly idx: number;
  readonly seq: number;
  readonly id: string;
  readonly atMs: number;
}

/** A post without a place yet; `code` is empty while it waits for the node `hub`. */
export interface WaitingItem {
  readonly room: string;
  readonly id: string;
  readonly clientId: string;
  readonly kind: string;
  readonly body: Body | null;
  readonly atMs: number;
  readonly code: string;
  readonly text: string;
  readonly hub: string;
  readonly gone: boolean;
}

export interface Person {
  readonly user: string;
  readonly name: string;
}

export type NodeFrame =
  | {
      t: 'welcome';
      version: number;
      node: string;
      domain: string;
      user: string;
      device: string;
      head: number;
      resumed: boolean;
      window: number;
      heartbeatS: number;
      nowMs: number;
      program: string;
    }
  | { t: 'rooms'; rooms: readonly Room[]; people: readonly Person[]; more: boolean }
  | { t: 'room'; room: Room; people: readonly Person[] }
  | { t: 'entries'; entries: readonly Entry[] }
  | { t: 'posted'; items: readonly PostedItem[] }
  | { t: 'refused'; n: number; code: string; text: string; detail: Record<string, string | number | boolean | null> }
  | { t: 'page'; n: number; room: string; entries: readonly Entry[]; people: readonly Person[]; more: boolean }
  | { t: 'done'; n: number }
  | { t: 'receipts'; seq: number; receipts: readonly Receipt[] }
  | { t: 'people'; people: readonly Person[] }
  | { t: 'waiting'; items: readonly WaitingItem[] }
  | { t: 'nodes'; room: string; nodes: readonly NodeMark[]; stableIdx: number }
  | { t: 'contacts' }
  | { t: 'typing'; room: string; user: string; on: boolean }
  | { t: 'presence'; user: string; state: string }
  | { t: 'pong'; at: number }
  | { t: 'error'; code: string; text: string; retryAfterMs: number }
  | { t: 'unknown'; name: string }
  | NodeCallFrame;

// --- device -> node ------------------------------------------------------------------------------------

export function encodeFrame(frame: ClientFrame): Uint8Array<ArrayBuffer> {
  return encoder.encode(asArray(frame));
}

function asArray(frame: ClientFrame): unknown[] {
  switch (frame.t) {
    case 'hello':
      return ['hello', VERSION, frame.cursor, frame.client];
    case 'ack':
      return ['ack', frame.seq];
    case 'post':
      return [
        'post',
        frame.n,
        fromText(frame.room),
        fromText(frame.clientId),
        frame.kind,
        encodeBody(frame.body),
        frame.guests ?? [],
        fromText(frame.token ?? ''),
        fromText(frame.hub ?? ''),
      ];
    case 'history':
      return ['history', frame.n, fromText(frame.room), frame.idx, frame.back, frame.limit];
    case 'read':
      return ['read', frame.n, fromText(frame.room), frame.idx];
    case 'typing':
      return ['typing', fromText(frame.room), frame.on];
    case 'presence':
      return ['presence', frame.state];
    case 'ping':
      return ['ping', frame.at];
    default:
      return callFrameAsArray(frame);
  }
}

/** Bytes of a body; `target` and `reply_to.event` are ids and travel as bytes. */
export function encodeBody(body: Body): Uint8Array {
  const out: Record<string, unknown> = { ...body };
  if (typeof out.target === 'string') out.target = fromText(out.target);
  const reply = out.reply_to as { event: string } | null | undefined;
  if (reply) out.reply_to = { ...reply, event: fromText(reply.event) };
  return encoder.encode(out);
}

// --- node -> device ------------------------------------------------------------------------------------

/** A node is written in base32 everywhere, as in user ids; empty bytes are no node. */
const nodeId = (value: unknown): string => (value instanceof Uint8Array ? toBase32(value) : '');

export function decodeFrame(data: Uint8Array): NodeFrame {
  const raw = list(decoder.decode(data));
  const [name, a, b, c, d, e, f, g, h, i, j, k] = raw;
  switch (name) {
    case 'welcome':
      return {
        t: 'welcome',
        version: num(a),
        node: nodeId(b),
        domain: str(c),
        user: str(d),
        device: id(e),
        head: num(f),
        resumed: g === true,
        window: num(h),
        heartbeatS: num(i),
        nowMs: num(j),
        program: typeof k === 'string' ? k : '',
      };
    case 'rooms':
      return { t: 'rooms', rooms: list(a).map(card), people: people(b), more: c === true };
    case 'room':
      return { t: 'room', room: card(a), people: people(b ?? []) };
    case 'entries':
      return { t: 'entries', entries: list(a).map((item) => entry(list(item), null)) };
    case 'posted':
      return { t: 'posted', items: list(a).map(postedItem) };
    case 'refused':
      return {
        t: 'refused',
        n: num(a),
        code: str(b),
        text: str(c),
        detail: (d ?? {}) as Record<string, string | number | boolean | null>,
      };
    case 'page':
      return page(num(a), id(b), list(c), list(d), people(e), f === true);
    case 'done':
      return { t: 'done', n: num(a) };
    case 'receipts':
      return { t: 'receipts', seq: num(a), receipts: list(b).map(receipt) };
    case 'people':
      return { t: 'people', people: people(a) };
    case 'waiting':
      return { t: 'waiting', items: list(a).map(waitingItem) };
    case 'nodes':
      return { t: 'nodes', room: id(a), nodes: list(b).map(nodeMark), stableIdx: num(c) };
    case 'contacts':
      return { t: 'contacts' };
    case 'typing':
      return { t: 'typing', room: id(a), user: str(b), on: c !== false };
    case 'presence':
      return { t: 'presence', user: str(a), state: str(b) };
    case 'pong':
      return { t: 'pong', at: num(a) };
    case 'error':
      return { t: 'error', code: str(a), text: str(b), retryAfterMs: typeof c === 'number' ? c : 0 };
    default:
      return decodeCallFrame(raw) ?? { t: 'unknown', name: String(name) };
  }
}

function people(value: unknown): Person[] {
  return list(value).map((item) => {
    const [user, name] = list(item);
    return { user: str(user), name: str(name) };
  });
}

function postedItem(value: unknown): PostedItem {
  const [n, room, idx, seq, event, at] = list(value);
  return { n: num(n), room: id(room), idx: num(idx), seq: num(seq), id: id(event), atMs: num(at) };
}

function waitingItem(value: unknown): WaitingItem {
  const [room, event, client, kind, body, at, code, text, hub, gone] = list(value);
  return {
    room: id(room),
    id: id(event),
    clientId: id(client),
    kind: str(kind),
    body: body instanceof Uint8Array && body.length ? decodeBody(body) : null,
    atMs: num(at),
    code: str(code),
    text: str(text),
    hub: nodeId(hub),
    gone: gone === true,
  };
}

function nodeMark(value: unknown): NodeMark {
  const [node, idx, linked, domain] = list(value);
  return { node: nodeId(node), idx: num(idx), linked: linked === true, domain: str(domain ?? '') };
}

function receipt(value: unknown): Receipt {
  const [room, user, delivered, read, readMs] = list(value);
  return { room: id(room), user: str(user), deliveredIdx: num(delivered), readIdx: num(read), readMs: num(readMs) };
}

function page(n: number, room: string, entries: Raw, marks: Raw, who: Person[], more: boolean): NodeFrame {
  const table = new Map(marks.map((item) => [num(list(item)[0]), mark(list(item))]));
  const decoded = entries
    .map((item) => entry(list(item), null))
    .map((item) => ({ ...item, mark: table.get(item.idx) ?? null }));
  return { t: 'page', n, room, entries: decoded, people: who, more };
}

/** One entry; author, device and kind are in the signed event. */
function entry(raw: Raw, folded: Mark | null): Entry {
  const [seq, room, , idx, at, eventId, event, , body] = raw;
  if (!(event instanceof Uint8Array)) throw new Broken('an event was expected');
  const [, , author, device, , , , kind] = list(decoder.decode(event));
  return {
    room: id(room),
    idx: num(idx),
    seq: num(seq),
    atMs: num(at),
    id: id(eventId),
    author: str(author),
    device: id(device),
    kind: str(kind),
    body: decodeBody(body),
    mark: folded,
  };
}

function decodeBody(value: unknown): Body | null {
  if (!(value instanceof Uint8Array)) return null;
  const body = decoder.decode(value);
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw new Broken('a body is a map');
  return readable(body as Record<string, unknown>);
}

/** Ids inside a body become text. */
function readable(body: Record<string, unknown>): Body {
  return Object.fromEntries(
    Object.entries(body).map(([key, value]) => {
      if (value instanceof Uint8Array) return [key, toText(value)];
      if (key === 'reply_to' && typeof value === 'object' && value !== null)
        return [key, readable(value as Record<string, unknown>)];
      return [key, value];
    }),
  );
}

function mark(raw: Raw): Mark {
  const [, edits, edited, erased, erasedBy, reason, reactions] = raw;
  return {
    edits: num(edits),
    edited: decodeBody(edited),
    erased: str(erased) as Mark['erased'],
    erasedBy: typeof erasedBy === 'string' ? erasedBy : '',
    reason: str(reason),
    reactions: (reactions ?? {}) as Record<string, string[]>,
  };
}

function card(value: unknown): Room {
  if (typeof value !== 'object' || value === null) throw new Broken('a card is a map');
  const c = value as Record<string, unknown>;
  const folded = c.last_mark ? mark(list(c.last_mark)) : null;
  return {
    room: id(c.room),
    kind: str(c.kind),
    name: str(c.name ?? ''),
    topic: str(c.topic ?? ''),
    peer: str(c.peer ?? ''),
    role: str(c.role ?? ''),
    state: str(c.state ?? 'member'),
    invitedBy: str(c.invited_by ?? ''),
    mutedAll: c.muted_all === true,
    mutedUntilMs: num(c.muted_until_ms ?? 0),
    recallWindowS: num(c.recall_window_s ?? 0),
    editWindowS: num(c.edit_window_s ?? 0),
    members: num(c.members ?? 0),
    joinedIdx: num(c.joined_idx ?? 0),
    headIdx: num(c.head_idx ?? 0),
    readIdx: num(c.read_idx ?? 0),
    unread: num(c.unread ?? 0),
    mentions: num(c.mentions ?? 0),
    last: c.last ? entry(list(c.last), folded) : null,
    hub: nodeId(c.hub),
    nodes: c.nodes === undefined ? [] : list(c.nodes).map(nodeMark),
    stableIdx: num(c.stable_idx ?? 0),
    trouble: str(c.trouble ?? ''),
    joining: c.joining === true,
    successors: list(c.successors ?? []).map(id),
    calls: str(c.calls ?? 'everybody'),
    asOf: num(c.as_of),
  };
}
