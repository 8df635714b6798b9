/**
 * What is in memory of each chat's log: a window over the known entries that opens at what is unread, slides up and down
 * over the disk, asks the node for pages that are not there, and goes back to the newest when nobody looks.
 */
import { batch } from '@preact/signals';
import { cutNewest, cutOldest } from './change.ts';
import type { Store } from './db.ts';
import { MARKS } from './fold.ts';
import type { Answer, Request } from './socket.ts';
import type { State, Timeline } from './store/state.ts';
import type { Sync } from './sync.ts';
import { type Entry, Refusal } from './types.ts';

export const NEWEST = 2 ** 40; // above every place in a log
const PAGE = 60;
const FROM_CACHE = 200;
const UNREAD_PAGES_MAX = 5;
const JUMP_PAGES_MAX = 40;
const REST_AFTER_MS = 2_000;

export class History {
  readonly #state: State;
  readonly #db: Store;
  readonly #sync: Sync;
  readonly #ask: (request: Request) => Promise<Answer>;
  readonly #shown = new Map<string, number>(); // views of each chat
  readonly #opening = new Map<string, Promise<void>>();
  #closed = false;

  constructor(db: Store, state: State, sync: Sync, ask: (request: Request) => Promise<Answer>) {
    this.#db = db;
    this.#state = state;
    this.#sync = sync;
    this.#ask = ask;
  }

  /** A new connection: chats that were open without their entries try again. */
  resume(): void {
    for (const line of this.#state.timelines.values())
      if (!line.ready.value) void this.open(line.room).catch(() => undefined);
  }

  /** The chat's known entries, and at least everything unread. */
  open(room: string): Promise<void> {
    const running = this.#opening.get(room);
    if (running) return running;
    const task = this.#open(room).finally(() => this.#opening.delete(room));
    this.#opening.set(room, task);
    return task;
  }

  async #open(room: string): Promise<void> {
    const line = this.#state.timeline(room);
    if (line.ready.value) return;
    await this.#sync.run(() => this.#fromCache(line));
    if (line.hi.value < line.lo.value || line.hi.value === 0) await this.#page(room, NEWEST);
    const card = this.#state.rooms.value.get(room);
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
    const line = this.#state.timeline(room);
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
    const line = this.#state.timeline(room);
    await this.#sync.run(async () => {
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
    const line = this.#state.timeline(room);
    if (line.end.value && line.entries.value.length <= FROM_CACHE) return;
    await this.#sync.run(async () => {
      if (!not()) await this.#fromCache(line);
    });
  }

  async #page(room: string, idx: number): Promise<void> {
    const line = this.#state.timeline(room);
    const answer = await this.#ask({ t: 'history', room, idx, back: true, limit: PAGE });
    if (answer.t !== 'page') throw new Refusal('internal', 'The node answered something else.');
    const unready = !line.ready.value;
    if (unready) line.ready.value = true;
    await this.#sync.apply(answer);
  }

  /** Loads older pages until the message is there; null when it is not in the readable log. */
  async find(room: string, id: string): Promise<Entry | null> {
    const line = this.#state.timeline(room);
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

  close(): void {
    this.#closed = true;
  }
}
