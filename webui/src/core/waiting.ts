/**
 * Own posts that wait for the node that orders their chat: told of when that node is slow, judged when it refuses, sent once
 * more or dismissed by their author.
 */
import { effect } from '@preact/signals';
import * as http from './api.ts';
import { MARKS } from './fold.ts';
import { NEWEST } from './history.ts';
import { NEEDLESS, type Outbox } from './outbox.ts';
import type { Answer, Request } from './socket.ts';
import type { State } from './store/state.ts';
import type { Sync } from './sync.ts';
import { type Pending, Refusal } from './types.ts';
import type { WaitingItem } from './wire.ts';

const SLOW_MS = 4_000; // a post that waits longer for its node tells that the node is away

interface Means {
  state: State;
  sync: Sync;
  outbox: Outbox;
  ask: (request: Request) => Promise<Answer>;
  now: () => number;
  forgotten: (item: Pending) => void;
}

export class Waiting {
  readonly #state: State;
  readonly #sync: Sync;
  readonly #outbox: Outbox;
  readonly #ask: Means['ask'];
  readonly #now: () => number;
  readonly #forgotten: Means['forgotten'];
  readonly #seenMs = new Map<string, number>(); // since when each post waits
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #unwatch: () => void;

  constructor({ state, sync, outbox, ask, now, forgotten }: Means) {
    this.#state = state;
    this.#sync = sync;
    this.#outbox = outbox;
    this.#ask = ask;
    this.#now = now;
    this.#forgotten = forgotten;
    this.#unwatch = effect(() => this.#slow(state.waiting.value));
  }

  /**
   * What waited for another node when the connection was lost may have its place now, or was dismissed on another
   * device: the node tells of all that still wait before it answers the first request.
   */
  async settle(): Promise<void> {
    const room = this.#state.outbox.value.find((item) => item.state === 'accepted' && item.waits !== undefined)?.room;
    if (!room) return;
    try {
      await this.#ask({ t: 'history', room, idx: NEWEST, back: true, limit: 1 });
    } catch (error) {
      if (!(error instanceof Refusal) || error.code === 'offline') return;
    }
    await this.#sync.run(() => this.#outbox.settle(({ id }) => !this.#state.waiting.value.has(id)));
  }

  #slow(waiting: ReadonlyMap<string, WaitingItem>): void {
    clearTimeout(this.#timer);
    const now = this.#now();
    for (const id of this.#seenMs.keys()) if (!waiting.has(id)) this.#seenMs.delete(id);
    const open = [...waiting.values()].filter(({ code }) => !code);
    for (const { id } of open) if (!this.#seenMs.has(id)) this.#seenMs.set(id, now);
    const ages = open.map(({ id, hub }) => ({ hub, age: now - (this.#seenMs.get(id) ?? now) }));
    const slow = new Set(ages.filter(({ age }) => age >= SLOW_MS).map(({ hub }) => hub));
    const before = this.#state.slow.peek();
    if (slow.size !== before.size || [...slow].some((hub) => !before.has(hub))) this.#state.slow.value = slow;
    const next = Math.min(...ages.filter(({ age }) => age < SLOW_MS).map(({ age }) => SLOW_MS - age));
    if (Number.isFinite(next)) this.#timer = setTimeout(() => this.#slow(this.#state.waiting.peek()), next);
  }

  /** A refused reaction is told of and forgotten; a mark that somebody else made needless is only forgotten. */
  judge(items: readonly WaitingItem[]): void {
    for (const item of items) {
      const needless = MARKS.has(item.kind) && NEEDLESS.has(item.code);
      if (!item.code || !(needless || item.kind === 'reaction')) continue;
      const pending = this.#state.pending.value.find(({ id }) => id === item.id);
      if (!needless && pending) this.#forgotten(pending);
      http.dismiss(item.id).catch(() => undefined);
    }
  }

  /** A post that another node refused, once more: as a new post. */
  async sendAgain(item: Pending): Promise<void> {
    if (item.waits === undefined) return this.#outbox.retry(item.clientId);
    await this.dismiss(item);
    await this.#outbox.post(item.room, item.kind, item.body);
  }

  /** The author has read why a post was refused, or wants it no more. */
  async dismiss(item: Pending): Promise<void> {
    if (item.waits === undefined) return this.#outbox.drop(item.clientId);
    await http.dismiss(item.id).catch((error) => {
      if (!(error instanceof Refusal && error.code === 'not_found')) throw error;
    });
    await this.#outbox.settle(({ id }) => id === item.id);
    this.#state.waiting.value = new Map([...this.#state.waiting.value].filter(([id]) => id !== item.id));
  }

  close(): void {
    this.#unwatch();
    clearTimeout(this.#timer);
  }
}
