/**
 * Posts on their way: stored before they are sent, one at a time for each chat, until the node has them on disk.
 * Edits, recalls and reactions wait here like texts, so each is done after what was written before it.
 *
 * A post keeps its client id through every retry, so a lost answer never makes two messages. A refusal that time
 * heals (rate limit, node read-only) is tried again; any other one makes the item `failed` with the reason. Two things
 * leave without a question: a mark that somebody else made needless, and a reaction, which is told of and forgotten.
 */
import type { Signal } from '@preact/signals';
import { newClientId } from './bytes.ts';
import type { Store } from './db.ts';
import { MARKS } from './fold.ts';
import type { Answer, Request } from './socket.ts';
import { type Body, type Pending, Refusal } from './types.ts';

export interface OutboxOptions {
  db: Store;
  items: Signal<readonly Pending[]>;
  request: (request: Request) => Promise<Answer>;
  leads: () => boolean;
  changed: () => void; // tell the other tabs
  stored: (seq: number) => boolean; // whether the feed has already brought this entry
  hubOf: (room: string) => string; // the node that orders the chat
  forgotten: (item: Pending) => void; // a refused reaction
  now: () => number;
}

export const NEEDLESS = new Set(['already_done', 'gone']);
const HEALS = new Set(['rate_limited', 'read_only', 'upgrading', 'internal']);
const HEAL_MS = 3_000;

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #busy = new Set<string>();
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  #closed = false;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  async post(room: string, kind: string, body: Body): Promise<void> {
    const now = this.#options.now();
    const last = this.#options.items.value.reduce((max, item) => Math.max(max, item.n), 0);
    await this.#put({
      clientId: newClientId(now),
      n: Math.max(last + 1, now),
      room,
      kind,
      body,
      atMs: now,
      state: 'queued',
      code: '',
      text: '',
      detail: {},
      id: '',
    });
    this.flush();
  }

  async retry(clientId: string): Promise<void> {
    const item = this.#find(clientId);
    if (item?.state === 'failed') await this.#put({ ...item, state: 'queued', code: '', text: '', detail: {} });
    this.flush();
  }

  /** Posts that wait for another node no longer: ordered, refused and read, or taken back on another device. */
  async settle(ended: (item: Pending) => boolean): Promise<void> {
    for (const item of this.#options.items.value)
      if (item.state === 'accepted' && item.waits !== undefined && ended(item)) await this.#remove(item.clientId);
  }

  async drop(clientId: string): Promise<void> {
    const item = this.#find(clientId);
    if (!item || item.state === 'sending') return;
    await this.#remove(clientId);
  }

  /** The connection is back: what was on its way goes again, under the same client ids. */
  async resume(): Promise<void> {
    this.#busy.clear();
    for (const item of this.#options.items.value) {
      const waits = item.state === 'accepted' && item.waits !== undefined; // the node tells what became of it
      if (item.state === 'sending' || (item.state === 'accepted' && !waits))
        await this.#put({ ...item, state: 'queued' });
    }
    this.flush();
  }

  /** Another tab changed the outbox. */
  async reload(): Promise<void> {
    this.#options.items.value = await this.#options.db.outbox();
    this.flush();
  }

  flush(): void {
    if (!this.#options.leads()) return;
    const rooms = new Set(this.#options.items.value.filter((item) => item.state === 'queued').map((item) => item.room));
    for (const room of rooms) if (!this.#busy.has(room)) void this.#drain(room);
  }

  async #drain(room: string): Promise<void> {
    this.#busy.add(room);
    let next = this.#next(room);
    while (next && (await this.#send(next))) next = this.#next(room);
    this.#busy.delete(room);
  }

  #next(room: string): Pending | undefined {
    return this.#options.items.value.find((item) => item.room === room && item.state === 'queued');
  }

  async #send(item: Pending): Promise<boolean> {
    await this.#put({ ...item, state: 'sending' });
    try {
      const { room, clientId, kind, body } = item;
      const answer = await this.#options.request({ t: 'post', room, clientId, kind, body });
      if (answer.t === 'posted') await this.#accepted(item, answer.item.seq, answer.item.id);
      return true;
    } catch (error) {
      return this.#refused(item, error instanceof Refusal ? error : new Refusal('internal', String(error)));
    }
  }

  async #accepted(item: Pending, seq: number, id: string): Promise<void> {
    if (!this.#find(item.clientId)) return;
    if (seq === 0) {
      await this.#put({ ...item, state: 'accepted', id, waits: this.#options.hubOf(item.room) });
    } else if (this.#options.stored(seq)) {
      await this.#remove(item.clientId);
    } else await this.#put({ ...item, state: 'accepted', id });
  }

  async #refused(item: Pending, refusal: Refusal): Promise<boolean> {
    if (refusal.code === 'offline') {
      await this.#put({ ...item, state: 'queued' });
      return false;
    }
    if (HEALS.has(refusal.code)) {
      await this.#put({ ...item, state: 'queued' });
      const wait = Number(refusal.detail.retry_after_s ?? 0) * 1_000 || HEAL_MS;
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        this.flush();
      }, wait);
      this.#timers.add(timer);
      return false;
    }
    const failed = { ...item, code: refusal.code, text: refusal.message, detail: refusal.detail };
    const needless = MARKS.has(item.kind) && NEEDLESS.has(refusal.code);
    if (!needless && item.kind === 'reaction') this.#options.forgotten(failed);
    if (needless || item.kind === 'reaction') await this.#remove(item.clientId);
    else await this.#put({ ...failed, state: 'failed' });
    return true;
  }

  /** What is still on its way stays stored as it is, and goes again with the next start. */
  close(): void {
    this.#closed = true;
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #find(clientId: string): Pending | undefined {
    return this.#options.items.value.find((item) => item.clientId === clientId);
  }

  async #remove(clientId: string): Promise<void> {
    if (this.#closed) return;
    await this.#options.db.dropPending(clientId);
    this.#options.items.value = this.#options.items.value.filter((other) => other.clientId !== clientId);
    this.#options.changed();
  }

  async #put(item: Pending): Promise<void> {
    if (this.#closed) return;
    const others = this.#options.items.value.filter((other) => other.clientId !== item.clientId);
    this.#options.items.value = [...others, item].sort((a, b) => a.n - b.n);
    await this.#options.db.putPending(item);
    this.#options.changed();
  }
}
