/**
 * The device of a signed-in user: what views call, and the only place where store, socket, outbox and tabs meet.
 */
import { batch, effect, signal } from '@preact/signals';
import * as http from './api.ts';
import { newClientId } from './bytes.ts';
import type { NodeCallFrame } from './calling.ts';
import { Calls } from './calls.ts';
import { Store } from './db.ts';
import { MARKS } from './fold.ts';
import { NEEDLESS, Outbox } from './outbox.ts';
import { type Answer, type Link, type Request, type Signalled, Socket } from './socket.ts';
import { State, type Timeline } from './store/state.ts';
import { cutNewest, cutOldest, Sync } from './sync.ts';
import { Follower, type TabMessage, Tabs } from './tabs.ts';
import { type Body, type Entry, type Pending, Refusal, type Room, type Status } from './types.ts';
import { decodeFrame, type NodeFrame, type WaitingItem } from './wire.ts';

export interface ClientOptions {
  me: http.api.Me;
  program: string;
  open: () => WebSocket;
  now?: () => number;
}

const PAGE = 60;
const FROM_CACHE = 200;
const SILENT_MS = 3_000; // a loss that heals within this time is not worth a word
const TYPING_SHOWN_MS = 6_000;
const TYPING_EACH_MS = 3_000;
const READ_EACH_MS = 1_000;
const UNREAD_PAGES_MAX = 5;
const JUMP_PAGES_MAX = 40;
const NAMES_AFTER_MS = 150;
const REST_AFTER_MS = 2_000;
const SLOW_MS = 4_000; // a post that waits longer for its node tells that the node is away
const NEWEST = 2 ** 40; // above every place in a log
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
  readonly #db: Store;
  readonly #tabs: Tabs;
  readonly #tab: string;
  readonly #now: () => number;
  readonly #options: ClientOptions;
  readonly #typingTimers = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #typingSentMs = new Map<string, number>();
  readonly #reads = new Map<string, number>();
  readonly #shown = new Map<string, number>(); // views of each chat
  readonly #naming = new Set<string>();
  readonly #opening = new Map<string, Promise<void>>();
  #readTimer: ReturnType<typeof setTimeout> | undefined;
  #awayTimer: ReturnType<typeof setTimeout> | undefined;
  #link: Link;
  #follower: Follower | null = null;
  #unwatch: () => void = () => undefined;
  #early: NodeFrame[] | null = []; // frames of the leader that came before the cache was read
  #slowTimer: ReturnType<typeof setTimeout> | undefined;
  #unwait: () => void = () => undefined;
  readonly #seenMs = new Map<string, number>(); // since when each post waits
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
      this.#stopTyping(entry.room, entry.author);
      this.heard.value = entry;
      this.#learnNames(entry);
      if (entry.kind === 'ban_node') this.learnMembers(entry.room).catch(() => undefined); // how many went is not said
      if (!this.state.rooms.value.has(entry.room)) void this.#fetchRoom(entry.room);
    };
    this.sync.onGone = (events) => void this.outbox.settle(({ id }) => events.has(id));
    this.#unwait = effect(() => this.#slow(this.state.waiting.value));
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
    void this.#settleWaiting();
    this.#flushReads();
    for (const line of this.state.timelines.values())
      if (!line.ready.value) void this.open(line.room).catch(() => undefined);
  }

  wake(): void {
    if (this.#link instanceof Socket) this.#link.wake();
  }

  sleep(): void {
    if (this.#link instanceof Socket) this.#link.sleep();
  }

  async #apply(frame: NodeFrame): Promise<number | null> {
    if (frame.t === 'typing') this.#typing(frame.room, frame.user, frame.on);
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
    if (frame.t === 'waiting' && this.leads.value) this.#judge(frame.items);
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

  /**
   * What waited for another node when the connection was lost may have its place now, or was dismissed on another
   * device: the node tells of all that still wait before it answers the first request.
   */
  async #settleWaiting(): Promise<void> {
    const room = this.state.outbox.value.find((item) => item.state === 'accepted' && item.waits !== undefined)?.room;
    if (!room || !this.leads.value) return;
    try {
      await this.#link.request({ t: 'history', room, idx: NEWEST, back: true, limit: 1 });
    } catch (error) {
      if (!(error instanceof Refusal) || error.code === 'offline') return;
    }
    await this.sync.run(() => this.outbox.settle(({ id }) => !this.state.waiting.value.has(id)));
  }

  #slow(waiting: ReadonlyMap<string, WaitingItem>): void {
    clearTimeout(this.#slowTimer);
    const now = this.#now();
    for (const id of this.#seenMs.keys()) if (!waiting.has(id)) this.#seenMs.delete(id);
    const open = [...waiting.values()].filter(({ code }) => !code);
    for (const { id } of open) if (!this.#seenMs.has(id)) this.#seenMs.set(id, now);
    const ages = open.map(({ id, hub }) => ({ hub, age: now - (this.#seenMs.get(id) ?? now) }));
    const slow = new Set(ages.filter(({ age }) => age >= SLOW_MS).map(({ hub }) => hub));
    const before = this.state.slow.peek();
    if (slow.size !== before.size || [...slow].some((hub) => !before.has(hub))) this.state.slow.value = slow;
    const next = Math.min(...ages.filter(({ age }) => age < SLOW_MS).map(({ age }) => SLOW_MS - age));
    if (Number.isFinite(next)) this.#slowTimer = setTimeout(() => this.#slow(this.state.waiting.peek()), next);
  }

  /** A refused reaction is told of and forgotten; a mark that somebody else made needless is only forgotten. */
  #judge(items: readonly WaitingItem[]): void {
    for (const item of items) {
      const needless = MARKS.has(item.kind) && NEEDLESS.has(item.code);
      if (!item.code || !(needless || item.kind === 'reaction')) continue;
      const pending = this.state.pending.value.find(({ id }) => id === item.id);
      if (!needless && pending) this.forgotten.value = pending;
      http.dismiss(item.id).catch(() => undefined);
    }
  }

  /** A post that another node refused, once more: as a new post. */
  async sendAgain(item: Pending): Promise<void> {
    if (item.waits === undefined) return this.outbox.retry(item.clientId);
    await this.dismiss(item);
    await this.outbox.post(item.room, item.kind, item.body);
  }

  /** The author has read why a post was refused, or wants it no more. */
  async dismiss(item: Pending): Promise<void> {
    if (item.waits === undefined) return this.outbox.drop(item.clientId);
    await http.dismiss(item.id).catch((error) => {
      if (!(error instanceof Refusal && error.code === 'not_found')) throw error;
    });
    await this.outbox.settle(({ id }) => id === item.id);
    this.state.waiting.value = new Map([...this.state.waiting.value].filter(([id]) => id !== item.id));
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

  // --- timelines ----------------------------------------------------------------------------------------

  /** The chat's known entries, and at least everything unread. */
  open(room: string): Promise<void> {
    const running = this.#opening.get(room);
    if (running) return running;
    const task = this.#open(room).finally(() => this.#opening.delete(room));
    this.#opening.set(room, task);
    return task;
  }

  async #open(room: string): Promise<void> {
    const line = this.state.timeline(room);
    if (line.ready.value) return;
    await this.sync.run(() => this.#fromCache(line));
    if (line.hi.value < line.lo.value || line.hi.value === 0) await this.#page(room, NEWEST);
    const card = this.state.rooms.value.get(room);
    for (
      let i = 0;
      i < UNREAD_PAGES_MAX && card && card.unread > 0 && !line.start.value && line.lo.value > card.readIdx + 1;
      i++
    ) {
      await this.older(room);
    }
    line.ready.value = true;
  }

  async #fromCache(line: Timeline): Promise<void> {
    const range = await this.#db.range(line.room);
    const receipts = await this.#db.receipts(line.room);
    const entries = range ? await this.#db.entries(line.room, range.lo, range.hi + 1, FROM_CACHE) : [];
    const whole = entries.length < FROM_CACHE;
    batch(() => {
      line.receipts.value = new Map(receipts.map((receipt) => [receipt.user, receipt]));
      if (!range) return;
      line.entries.value = entries.filter((entry) => !MARKS.has(entry.kind));
      line.lo.value = whole ? range.lo : (entries[0]?.idx ?? range.lo);
      line.hi.value = range.hi;
      line.start.value = whole && range.start;
      line.end.value = true;
      if (entries.length > 0) line.ready.value = true;
    });
  }

  /** One page further up: from the cache if it goes on there, else from the node. */
  async older(room: string): Promise<void> {
    const line = this.state.timeline(room);
    if (line.start.value) return;
    const lo = line.lo.value;
    const range = await this.#db.range(room);
    if (range && range.lo < lo) {
      const entries = await this.#db.entries(room, range.lo, lo, FROM_CACHE);
      batch(() => {
        line.entries.value = cutNewest(line, [...entries, ...line.entries.value]);
        line.lo.value = entries.length < FROM_CACHE ? range.lo : (entries[0]?.idx ?? range.lo);
        line.start.value = entries.length < FROM_CACHE && range.start;
      });
    } else await this.#page(room, lo);
  }

  /** One page further down, from the disk: the window had slid up. */
  async newer(room: string): Promise<void> {
    const line = this.state.timeline(room);
    await this.sync.run(async () => {
      const last = line.entries.value.at(-1)?.idx ?? 0;
      const entries = await this.#db.entriesAfter(room, last, FROM_CACHE);
      batch(() => {
        line.entries.value = cutOldest(line, [...line.entries.value, ...entries]);
        line.end.value = entries.length < FROM_CACHE;
      });
    });
  }

  /** A view shows the chat from now on; call the answer when it is gone. Nobody's chat goes back to its newest entries. */
  show(room: string): () => void {
    this.#shown.set(room, (this.#shown.get(room) ?? 0) + 1);
    return () => {
      this.#shown.set(room, (this.#shown.get(room) ?? 1) - 1);
      const seen = () => (this.#shown.get(room) ?? 0) > 0;
      setTimeout(() => {
        if (!seen() && !this.#closed) this.rest(room, seen).catch(() => undefined);
      }, REST_AFTER_MS);
    };
  }

  /** Back to the newest entries, unless `not`. */
  async rest(room: string, not: () => boolean = () => false): Promise<void> {
    const line = this.state.timeline(room);
    if (line.end.value && line.entries.value.length <= FROM_CACHE) return;
    await this.sync.run(async () => {
      if (!not()) await this.#fromCache(line);
    });
  }

  async #page(room: string, idx: number): Promise<void> {
    const line = this.state.timeline(room);
    const answer = await this.#link.request({ t: 'history', room, idx, back: true, limit: PAGE });
    if (answer.t !== 'page') throw new Refusal('internal', 'The node answered something else.');
    const unready = !line.ready.value;
    if (unready) line.ready.value = true;
    await this.sync.apply(answer);
  }

  /** Loads older pages until the message is there; null when it is not in the readable log. */
  async find(room: string, id: string): Promise<Entry | null> {
    const line = this.state.timeline(room);
    const stored = await this.#db.byId(id);
    if (stored && stored.idx > (line.entries.value.at(-1)?.idx ?? 0)) await this.rest(room);
    for (let page = 0; page <= JUMP_PAGES_MAX; page++) {
      const found = line.entries.value.find((entry) => entry.id === id);
      if (found) return found;
      if (line.start.value) return null;
      await this.older(room);
    }
    return null;
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

  typing(room: string): void {
    const now = this.#now();
    if (now - (this.#typingSentMs.get(room) ?? 0) < TYPING_EACH_MS) return;
    this.#typingSentMs.set(room, now);
    this.#link.signal({ t: 'typing', room, on: true });
  }

  presence(state: 'online' | 'away'): void {
    this.#link.signal({ t: 'presence', state });
  }

  #typing(room: string, user: string, on: boolean): void {
    if (user === this.state.me) return;
    if (!on) {
      this.#stopTyping(room, user);
      return;
    }
    const key = `${room}/${user}`;
    clearTimeout(this.#typingTimers.get(key));
    this.#typingTimers.set(
      key,
      setTimeout(() => this.#stopTyping(room, user), TYPING_SHOWN_MS),
    );
    const users = this.state.typing.value.get(room) ?? [];
    if (!users.includes(user))
      this.state.typing.value = new Map([...this.state.typing.value, [room, [...users, user]]]);
  }

  #stopTyping(room: string, user: string): void {
    clearTimeout(this.#typingTimers.get(`${room}/${user}`));
    const users = this.state.typing.value.get(room);
    if (users?.includes(user)) {
      this.state.typing.value = new Map([...this.state.typing.value, [room, users.filter((other) => other !== user)]]);
    }
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
    this.#unwait();
    clearTimeout(this.#slowTimer);
    clearTimeout(this.#readTimer);
    clearTimeout(this.#awayTimer);
    for (const timer of this.#typingTimers.values()) clearTimeout(timer);
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

function cardOf(room: http.api.Room, asOf: number): Room {
  return {
    room: room.room,
    kind: room.kind,
    name: room.name,
    topic: room.topic,
    peer: room.peer?.user ?? '',
    role: room.role,
    state: room.state,
    invitedBy: '',
    mutedAll: room.muted_all,
    mutedUntilMs: room.muted_until_ms,
    recallWindowS: room.recall_window_s,
    editWindowS: room.edit_window_s,
    members: room.members,
    joinedIdx: room.joined_idx,
    headIdx: room.head_idx,
    readIdx: room.read_idx,
    unread: room.unread,
    mentions: room.mentions,
    last: null,
    hub: room.hub,
    nodes: [],
    stableIdx: 0,
    trouble: '',
    joining: false,
    calls: room.calls,
    successors: [], // what concerns other nodes comes with the feed's card
    asOf,
  };
}
