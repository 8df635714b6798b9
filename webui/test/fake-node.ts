/**
 * A node in memory that speaks startalk.c2s.1: one feed for all rooms, idempotent posts, history, read marks. It is
 * used instead of a mock: the client under test sees real frames on something that behaves like a WebSocket.
 */
import { Decoder, Encoder } from '@msgpack/msgpack';
import { fromText, toBase32, toText } from '../src/core/bytes.ts';

const encoder = new Encoder();
const decoder = new Decoder();
export const ALICE = `alice@${'a'.repeat(52)}`;
export const BOB = `bob@${'a'.repeat(52)}`;
export const DEVICE = toText(new Uint8Array(16).fill(1));
const HUB = new Uint8Array(32).fill(7);
export const HUB_ID = toBase32(HUB);
const OTHER_DEVICE = toText(new Uint8Array(16).fill(2));

type Raw = unknown[];

interface Stored {
  seq: number;
  raw: Raw;
  idx: number;
  room: string;
  kind: string;
  body: Record<string, unknown>;
  author: string;
}

const ROOM_BYTES = 32;
let serial = 1;
const id32 = (): Uint8Array => {
  const bytes = new Uint8Array(ROOM_BYTES);
  new DataView(bytes.buffer).setUint32(0, serial++);
  return bytes;
};

export class FakeNode {
  readonly log: Stored[] = [];
  readonly rooms = new Map<string, { name: string; head: number; read: number; invited?: boolean }>();
  readonly sockets = new Set<FakeSocket>();
  readonly acks: number[] = [];
  readonly answered = new Map<string, Raw>();
  readonly posts: string[] = [];
  seq = 0;
  refuse: ((kind: string) => [code: string, detail: Record<string, unknown>] | null) | null = null;
  forgetCursors = false;
  readonly elsewhere = new Set<string>(); // rooms that another node orders: posts wait until `order`
  readonly waiting = new Map<string, { raw: Raw }>(); // by client id
  away = false; // takes no connection
  calls: ((frame: Raw, answer: (frame: Raw) => void) => void) | null = null; // what a node does with frames of calls
  silent = false; // takes posts and answers nothing: the connection dies in between

  addRoom(name: string, invited = false): string {
    const room = toText(id32());
    this.rooms.set(room, { name, head: 0, read: 0, invited });
    return room;
  }

  /** Somebody posts; every connected device hears it. */
  append(
    room: string,
    author: string,
    kind: string,
    body: Record<string, unknown>,
    device = OTHER_DEVICE,
    eventId = id32(),
  ): Stored {
    const state = this.rooms.get(room);
    if (!state) throw new Error('no such room');
    state.head += 1;
    this.seq += 1;
    if (author === ALICE) state.read = state.head;
    const event = encoder.encode([
      1,
      fromText(room),
      author,
      fromText(device),
      new Uint8Array(32),
      1,
      1,
      kind,
      new Uint8Array(32),
      null,
    ]);
    const raw: Raw = [
      this.seq,
      fromText(room),
      1,
      state.head,
      1_764_000_000_000 + this.seq * 1000,
      eventId,
      event,
      new Uint8Array(16),
      encoder.encode(body),
    ];
    const stored = { seq: this.seq, raw, idx: state.head, room, kind, body, author };
    this.log.push(stored);
    for (const socket of this.sockets) if (socket.ready) socket.deliver(['entries', [raw]]);
    return stored;
  }

  /** The hub of a room elsewhere takes a post that waits. */
  order(clientId: string): Stored {
    const item = this.waiting.get(clientId);
    if (!item) throw new Error('nothing waits');
    this.waiting.delete(clientId);
    const [room, , , kind, body] = item.raw as [Uint8Array, Uint8Array, Uint8Array, string, Uint8Array];
    const fields = decoder.decode(body) as Record<string, unknown>;
    const stored = this.append(toText(room), ALICE, kind, fields, DEVICE, item.raw[1] as Uint8Array);
    this.answered.set(clientId, [room, stored.idx, stored.seq, stored.raw[5], stored.raw[4]]);
    return stored;
  }

  /** The hub refuses it. */
  reject(clientId: string, code: string): void {
    const item = this.waiting.get(clientId);
    if (!item) throw new Error('nothing waits');
    item.raw[6] = code;
    item.raw[7] = 'no';
    this.signal(['waiting', [item.raw]]);
  }

  /** Its author dismissed a refused post. */
  dismiss(clientId: string, tell = true): void {
    const item = this.waiting.get(clientId);
    this.waiting.delete(clientId);
    if (item && tell) this.signal(['waiting', [[...item.raw.slice(0, 9), true]]]);
  }

  idOf = (stored: Stored): string => toText(stored.raw[5] as Uint8Array);

  open = (): WebSocket => new FakeSocket(this) as unknown as WebSocket;

  /** A signal to everybody: not stored, not answered. */
  signal(raw: Raw): void {
    for (const socket of this.sockets) if (socket.ready) socket.deliver(raw);
  }

  drop(): void {
    for (const socket of [...this.sockets]) socket.shut(1006);
  }

  card(room: string): Record<string, unknown> {
    const state = this.rooms.get(room);
    const content = this.log.filter((entry) => entry.room === room && entry.kind === 'text');
    const unread = content.filter((entry) => entry.author !== ALICE && entry.idx > (state?.read ?? 0)).length;
    return {
      room: fromText(room),
      kind: 'group',
      name: state?.name ?? '',
      hub: this.elsewhere.has(room) ? HUB : new Uint8Array(32),
      role: state?.invited ? '' : 'member',
      state: state?.invited ? 'invited' : 'member',
      recall_window_s: 120,
      edit_window_s: 86_400,
      members: 2,
      joined_idx: 1,
      head_idx: state?.head ?? 0,
      read_idx: state?.read ?? 0,
      unread,
      ...(content.length ? { last: content.at(-1)?.raw } : {}),
      as_of: this.seq,
    };
  }

  receive(socket: FakeSocket, raw: Raw): void {
    const [name, a, b, c, d] = raw as [string, number, Uint8Array, Uint8Array, string];
    if (name === 'hello') this.#hello(socket, b as unknown as number | null);
    else if (name === 'ack') this.acks.push(a);
    else if (name === 'post') this.#post(socket, raw, d);
    else if (name === 'history') this.#history(socket, a, toText(b), c as unknown as number);
    else if (name === 'read') {
      const state = this.rooms.get(toText(b));
      if (state) state.read = Math.max(state.read, c as unknown as number);
      socket.deliver(['done', a]);
    } else if (name.startsWith('call_')) this.calls?.(raw, (frame) => socket.deliver(frame));
    else if (name === 'ping') socket.deliver(['pong', a]);
  }

  #hello(socket: FakeSocket, cursor: number | null): void {
    const resumed = cursor !== null && !this.forgetCursors;
    socket.deliver([
      'welcome',
      1,
      new Uint8Array(32),
      '',
      ALICE,
      fromText(DEVICE),
      this.seq,
      resumed,
      1024,
      25,
      Date.now(),
      'fake',
    ]);
    const people = [
      [ALICE, 'Alice'],
      [BOB, 'Bob'],
    ];
    socket.deliver(['rooms', [...this.rooms.keys()].map((room) => this.card(room)), people, false]);
    if (this.waiting.size) socket.deliver(['waiting', [...this.waiting.values()].map(({ raw: item }) => item)]);
    socket.ready = true;
    const missed = resumed ? this.log.filter((entry) => entry.seq > cursor) : [];
    if (missed.length) socket.deliver(['entries', missed.map((entry) => entry.raw)]);
  }

  #post(socket: FakeSocket, raw: Raw, kind: string): void {
    const [, n, roomBytes, clientId, , body] = raw as [string, number, Uint8Array, Uint8Array, string, Uint8Array];
    const key = toText(clientId);
    this.posts.push(key);
    const refusal = this.refuse?.(kind);
    if (refusal) {
      socket.deliver(['refused', n, refusal[0], 'no', refusal[1]]);
      return;
    }
    if (this.elsewhere.has(toText(roomBytes)) && !this.answered.has(key)) {
      const id = this.waiting.get(key)?.raw[1] ?? id32();
      const item: Raw = [roomBytes, id, clientId, kind, body, 1_764_000_000_000, '', '', HUB, false];
      if (!this.waiting.has(key)) this.waiting.set(key, { raw: item });
      this.signal(['waiting', [item]]);
      socket.deliver(['posted', [[n, roomBytes, 0, 0, id, 1_764_000_000_000]]]);
      return;
    }
    if (!this.answered.has(key)) {
      const stored = this.append(
        toText(roomBytes),
        ALICE,
        kind,
        decoder.decode(body) as Record<string, unknown>,
        DEVICE,
      );
      this.answered.set(key, [roomBytes, stored.idx, stored.seq, stored.raw[5], stored.raw[4]]);
    }
    if (this.silent) socket.shut(1006);
    else socket.deliver(['posted', [[n, ...(this.answered.get(key) ?? [])]]]);
  }

  #history(socket: FakeSocket, n: number, room: string, before: number): void {
    const limit = 60;
    const below = this.log.filter((entry) => entry.room === room && entry.idx < before);
    const entries = below.slice(-limit);
    socket.deliver([
      'page',
      n,
      fromText(room),
      entries.map((entry) => entry.raw),
      this.#marks(entries),
      [],
      below.length > limit,
    ]);
  }

  #marks(entries: Stored[]): Raw[] {
    return entries.flatMap((entry) => {
      const edits = this.log.filter(
        (other) => other.kind === 'edit' && toText(other.body.target as Uint8Array) === this.idOf(entry),
      );
      return edits.length ? [[entry.idx, edits.length, encoder.encode(edits.at(-1)?.body), '', null, '', {}]] : [];
    });
  }
}

/** What the client sees of the node. Frames arrive in order, each in its own microtask. */
class FakeSocket {
  binaryType = '';
  readyState = 0;
  ready = false;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: ArrayBuffer }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  readonly #node: FakeNode;

  constructor(node: FakeNode) {
    this.#node = node;
    queueMicrotask(() => {
      if (node.away) return this.shut(1006);
      this.readyState = 1;
      node.sockets.add(this);
      this.onopen?.();
    });
  }

  send(data: Uint8Array): void {
    if (this.readyState === 1) this.#node.receive(this, decoder.decode(data.slice()) as Raw);
  }

  deliver(frame: Raw): void {
    const data = encoder.encode(frame);
    queueMicrotask(
      () =>
        this.readyState === 1 &&
        this.onmessage?.({
          data: data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength) as ArrayBuffer,
        }),
    );
  }

  close(): void {
    this.shut(1000);
  }

  shut(code: number): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.#node.sockets.delete(this);
    queueMicrotask(() => this.onclose?.({ code }));
  }
}
