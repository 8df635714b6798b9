/**
 * The device of a signed-in user: what views call, and the only place where store, socket, outbox and tabs meet.
 */
import { batch, effect, signal } from '@preact/signals';
import * as http from './api.ts';
import { newClientId } from './bytes.ts';
import type { NodeCallFrame } from './calling.ts';
import { Calls } from './calls.ts';
import { cardOf } from './card.ts';
import { Store } from './db.ts';
import { History } from './history.ts';
import { Outbox } from './outbox.ts';
import { type Answer, type Link, type Request, type Signalled, Socket } from './socket.ts';
import { State } from './store/state.ts';
import { Sync } from './sync.ts';
import { Follower, type TabMessage, Tabs } from './tabs.ts';
import { type Body, type Entry, type Pending, Refusal, type Status } from './types.ts';
import { Typing } from './typing.ts';
import { Waiting } from './waiting.ts';
import { decodeFrame, type NodeFrame } from './wire.ts';

export interface ClientOptions {
  me: http.api.Me;
  program: string;
  open: () => WebSocket;
  now?: () => number;
}

const SILENT_MS = 3_000; // a loss that heals within this time is not worth a word
const READ_EACH_MS = 1_000;
const NAMES_AFTER_MS = 150;
const CALLING: ReadonlySet<string> = new Set<NodeCallFrame['t']>([
  'ring',
  'call_roster',
  'call_over',
  'call_offer',
  'call_speakers',
  'call_quality',
]);

export class Client {
  readonly state: State;
  readonly status = signal<Status>('connecting');
  readonly away = signal(false); // the own node cannot be reached, and not only for a moment
  readonly leads = signal(false);
  readonly heard = signal<Entry | null>(null); // the last entry that arrived
  readonly forgotten = signal<Pending | null>(null); // the last post that was refused and is not kept
  readonly outbox: Outbox;
  readonly sync: Sync;
  readonly calls: Calls;
  readonly history: History;
  readonly typing: Typing;
  readonly waiting: Waiting;
  readonly #db: Store;
  readonly #tabs: Tabs;
  readonly #tab: string;
  readonly #now: () => number;
  readonly #options: ClientOptions;
  readonly #reads = new Map<string, number>();
  readonly #naming = new Set<string>();
  #readTimer: ReturnType<typeof setTimeout> | undefined;
  #awayTimer: ReturnType<typeof setTimeout> | undefined;
  #link: Link;
  #follower: Follower | null = null;
  #unwatch: () => void = () => undefined;
  #early: NodeFrame[] | null = []; // frames of the leader that came before the cache was read
  #closed = false;

  private constructor(options: ClientOptions, db: Store) {
    this.#options = options;
    this.#db = db;
    this.#now = options.now ?? Date.now;
    this.state = new State(options.me.user, options.me.device);
    this.sync = new Sync(db, this.state);
    this.calls = new Calls(options.me.user);
    this.#tab = newClientId(this.#now());
    this.#tabs = new Tabs(`startalk:${options.me.user}:${options.me.device}`, (message) => this.#hear(message));
    this.#follower = new Follower(this.#tabs, this.#tab);
    this.#link = this.#follower;
    this.outbox = new Outbox({
      db,
      items: this.state.outbox,
      now: this.#now,
      request: (request) => this.#link.request(request),
      leads: () => this.leads.value && this.status.value === 'online',
      changed: () => this.#tabs.say({ t: 'outbox' }),
      forgotten: (item) => {
        this.forgotten.value = item;
      },
      hubOf: (room) => this.state.rooms.value.get(room)?.hub ?? '',
      stored: (seq) => this.sync.cursor !== null && seq <= this.sync.cursor,
    });
    const ask = (request: Request) => this.#link.request(request);
    this.history = new History(db, this.state, this.sync, ask);
    this.typing = new Typing(this.state, this.#now, (room) => this.#link.signal({ t: 'typing', room, on: true }));
    this.waiting = new Waiting({
      state: this.state,
      sync: this.sync,
      outbox: this.outbox,
      ask,
      now: this.#now,
      forgotten: (item) => {
        this.forgotten.value = item;
      },
    });
  }

  static async start(options: ClientOptions): Promise<Client> {
    const client = new Client(options, await Store.open(`startalk:${options.me.user}:${options.me.device}`));
    await client.#start();
    return client;
  }

  async #start(): Promise<void> {
    this.sync.durable = false;
    await this.sync.load();
    const early = this.#early ?? [];
    this.#early = null;
    for (const frame of early) await this.#apply(frame);
    this.sync.onEntry = (entry) => {
      this.typing.stop(entry.room, entry.author);
      this.heard.value = entry;
      this.#learnNames(entry);
      if (entry.kind === 'ban_node') this.learnMembers(entry.room).catch(() => undefined); // how many went is not said
      if (!this.state.rooms.value.has(entry.room)) void this.#fetchRoom(entry.room);
    };
    this.sync.onGone = (events) => void this.outbox.settle(({ id }) => events.has(id));
    this.#watch();
    await this.#tabs.elect(() => void this.#lead());
  }

  async #lead(): Promise<void> {
    if (this.#closed) return;
    this.sync.durable = true;
    this.#follower?.close();
    this.#follower = null;
    const socket: Socket = new Socket({
      open: this.#options.open,
      client: this.#options.program,
      cursor: async () => this.sync.cursor,
      frame: async (frame, bytes) => {
        const seq = await this.#apply(frame);
        this.#tabs.say({ t: 'frame', bytes });
        if (seq !== null && seq > 0) socket.ack(seq);
      },
    });
    this.#link = socket;
    this.leads.value = true;
    this.#watch();
  }

  /** Mirrors the link's status; a new connection takes up the outbox and the open chats again. */
  #watch(): void {
    this.#unwatch();
    let before: Status | null = null;
    this.#unwatch = effect(() => {
      const status = this.#link.status.value;
      if (status === before) return;
      before = status;
      this.status.value = status;
      this.#absent(status !== 'online');
      if (this.leads.peek()) this.#tabs.say({ t: 'status', status });
      if (status === 'online') queueMicrotask(() => void this.#online());
    });
  }

  /** Who is online is hearsay of the node: while it is away nobody knows. */
  #absent(absent: boolean): void {
    if (absent) {
      this.#awayTimer ??= setTimeout(() => {
        batch(() => {
          this.away.value = true;
          this.state.presence.value = new Map();
        });
      }, SILENT_MS);
      return;
    }
    clearTimeout(this.#awayTimer);
    this.#awayTimer = undefined;
    this.away.value = false;
  }

  async #online(): Promise<void> {
    if (this.leads.value) await this.outbox.resume();
    void this.refreshContacts();
    if (this.leads.value) void this.waiting.settle();
    this.#flushReads();
    this.history.resume();
  }

  wake(): void {
    if (this.#link instanceof Socket) this.#link.wake();
  }

  sleep(): void {
    if (this.#link instanceof Socket) this.#link.sleep();
  }

  async #apply(frame: NodeFrame): Promise<number | null> {
    if (frame.t === 'typing') this.typing.hear(frame.room, frame.user, frame.on);
    if (frame.t === 'welcome') {
      this.state.presence.value = new Map(); // what follows tells who is there now, and which calls there are
      this.calls.forget();
    }
    if (CALLING.has(frame.t)) this.calls.apply(frame as NodeCallFrame, this.#now());
    if (frame.t === 'presence')
      this.state.presence.value = new Map([...this.state.presence.value, [frame.user, frame.state]]);
    if (frame.t === 'page') return null; // applied by who asked for it
    if (frame.t === 'contacts') void this.refreshContacts();
    const seq = await this.sync.apply(frame);
    if (frame.t === 'waiting' && this.leads.value) this.waiting.judge(frame.items);
    return seq;
  }

  // --- other nodes --------------------------------------------------------------------------------------

  /** People elsewhere, questions included. Keeps what it had when the node cannot be asked. */
  async refreshContacts(): Promise<void> {
    try {
      await this.sync.learnContacts((await http.contacts()).contacts);
    } catch {
      // the next `contacts` frame or the next connection asks again
    }
  }

  // --- tabs ---------------------------------------------------------------------------------------------

  #hear(message: TabMessage): void {
    this.#follower?.hear(message);
    switch (message.t) {
      case 'frame':
        if (!this.leads.value) this.#fromLeader(decodeFrame(message.bytes));
        break;
      case 'who':
        if (this.leads.value) this.#tabs.say({ t: 'status', status: this.status.value });
        break;
      case 'outbox':
        void this.outbox.reload();
        break;
      case 'draft':
        this.#showDraft(message.room, message.text);
        break;
      case 'request':
        if (this.leads.value) void this.#serve(message.tab, message.n, message.request);
        break;
      case 'signal':
        if (this.leads.value) this.#link.signal(message.frame);
        break;
      default:
        break;
    }
  }

  #fromLeader(frame: NodeFrame): void {
    if (this.#early) this.#early.push(frame);
    else void this.#apply(frame);
  }

  async #serve(tab: string, n: number, request: Request): Promise<void> {
    try {
      this.#tabs.say({ t: 'answer', tab, n, answer: await this.#link.request(request) });
    } catch (error) {
      const { code, message, detail } = error instanceof Refusal ? error : new Refusal('internal', String(error));
      this.#tabs.say({ t: 'no', tab, n, code, text: message, detail });
    }
  }

  /** A room that an HTTP answer told of, before the feed does. */
  learnRoom(room: http.api.Room): Promise<void> {
    return this.sync.learnRoom(
      cardOf(room, this.sync.cursor ?? 0),
      room.peer ? [{ user: room.peer.user, name: room.peer.name }] : [],
    );
  }

  /** Names, receipts and presence of all members: for what happened before this device was told. */
  async learnMembers(room: string): Promise<http.api.Members> {
    const answer = await http.members(room);
    await this.sync.learnPeople([...answer.members, ...answer.invited].map(({ user, name }) => ({ user, name })));
    await this.sync.learnReceipts(
      answer.members.map((one) => ({
        room,
        user: one.user,
        deliveredIdx: one.delivered_idx,
        readIdx: one.read_idx,
        readMs: one.read_ms,
      })),
    );
    await this.sync.learnCount(room, answer.members.length);
    const known = this.state.presence.value;
    const seen = answer.members.filter(
      ({ user, online }) => !this.state.isRemote(user) && online !== ((known.get(user) ?? 'offline') !== 'offline'),
    );
    if (seen.length)
      this.state.presence.value = new Map([
        ...known,
        ...seen.map(({ user, online }) => [user, online ? 'online' : 'offline'] as const),
      ]);
    return answer;
  }

  /** Somebody without a name: ask for the room's members, once for a burst of entries. */
  #learnNames(entry: Entry): void {
    const named = [entry.author, entry.body?.user].filter(
      (user): user is string => typeof user === 'string' && user.includes('@'),
    );
    if (named.every((user) => this.state.people.value.has(user)) || this.#naming.has(entry.room)) return;
    this.#naming.add(entry.room);
    setTimeout(() => {
      this.#naming.delete(entry.room);
      if (!this.#closed) this.learnMembers(entry.room).catch(() => undefined);
    }, NAMES_AFTER_MS);
  }

  /** An entry of a room without a card: somebody's first words in a direct chat. */
  async #fetchRoom(room: string): Promise<void> {
    try {
      await this.learnRoom(await http.room(room));
    } catch {
      // the card comes with the next snapshot
    }
  }

  // --- posts and marks ----------------------------------------------------------------------------------

  /** A post that waits for the network if it must. */
  send(room: string, kind: string, body: Body): Promise<void> {
    return this.outbox.post(room, kind, body);
  }

  /** A post that is done now or refused now. */
  async act(room: string, kind: string, body: Body, token?: string): Promise<{ room: string; idx: number }> {
    const clientId = newClientId(this.#now());
    const answer = await this.#link.request({ t: 'post', room, clientId, kind, body, ...(token ? { token } : {}) });
    return posted(answer);
  }

  async createGroup(name: string, topic: string, guests: readonly string[]): Promise<string> {
    const clientId = newClientId(this.#now());
    const body: Body = topic ? { name, topic } : { name };
    return posted(await this.#link.request({ t: 'post', room: '', clientId, kind: 'create', body, guests })).room;
  }

  /** Read marks go out at most once a second, the highest for each chat. */
  read(room: string, idx: number): void {
    const card = this.state.rooms.value.get(room);
    if (!card || idx <= Math.max(card.readIdx, this.#reads.get(room) ?? 0)) return;
    this.#reads.set(room, idx);
    void this.sync.read(room, idx);
    this.#readTimer ??= setTimeout(() => this.#flushReads(), READ_EACH_MS);
  }

  #flushReads(): void {
    clearTimeout(this.#readTimer);
    this.#readTimer = undefined;
    for (const [room, idx] of this.#reads) {
      this.#link.request({ t: 'read', room, idx }).then(
        () => this.#reads.get(room) === idx && this.#reads.delete(room),
        (error) => error instanceof Refusal && error.code !== 'offline' && this.#reads.delete(room),
      );
    }
  }

  // --- signals ------------------------------------------------------------------------------------------

  presence(state: 'online' | 'away'): void {
    this.#link.signal({ t: 'presence', state });
  }

  // --- calls --------------------------------------------------------------------------------------------

  /** A request of a call, over whichever tab holds the connection. */
  ask(request: Extract<Request, { t: `call_${string}` }>): Promise<Answer> {
    return this.#link.request(request);
  }

  tell(frame: Extract<Signalled, { t: `call_${string}` }>): void {
    this.#link.signal(frame);
  }

  // --- drafts -------------------------------------------------------------------------------------------

  draft(room: string, text: string): void {
    this.#showDraft(room, text);
    void this.#db.putDraft(room, text);
    this.#tabs.say({ t: 'draft', room, text });
  }

  #showDraft(room: string, text: string): void {
    const drafts = new Map(this.state.drafts.value);
    if (text) drafts.set(room, text);
    else drafts.delete(room);
    this.state.drafts.value = drafts;
  }

  close(): void {
    this.#closed = true;
    this.#unwatch();
    this.history.close();
    this.typing.close();
    this.waiting.close();
    clearTimeout(this.#readTimer);
    clearTimeout(this.#awayTimer);
    this.outbox.close();
    this.calls.close();
    this.#link.close();
    this.#tabs.close();
    this.#db.close();
  }
}

function posted(answer: Answer): { room: string; idx: number } {
  if (answer.t !== 'posted') throw new Refusal('internal', 'The node answered something else.');
  return { room: answer.item.room, idx: answer.item.idx };
}
