/**
 * What this device keeps: rooms, the known part of each log, people, receipts, the outbox and drafts, in IndexedDB.
 *
 * A page of events and the cursor behind it are written in one transaction (`commit`): after a crash the device asks
 * again for exactly what it has not stored. Everything but outbox and drafts can be thrown away and fetched anew.
 */
import { type DBSchema, type IDBPDatabase, openDB } from 'idb';
import type { Contact } from './api.gen.ts';
import type { Entry, Pending, Range, Receipt, Room } from './types.ts';

interface Schema extends DBSchema {
  meta: { key: string; value: number };
  rooms: { key: string; value: Room };
  entries: { key: [string, number]; value: Entry; indexes: { id: string } };
  ranges: { key: string; value: Range };
  people: { key: string; value: { user: string; name: string } };
  receipts: { key: [string, string]; value: Receipt };
  outbox: { key: string; value: Pending };
  drafts: { key: string; value: { room: string; text: string } };
  contacts: { key: string; value: Contact };
}

/** What was known and what is known now; memory may hold less than the disk. */
function joined(before: Range, now: Range): Range {
  if (before.hi < before.lo || now.lo > before.hi + 1 || before.lo > now.hi + 1) return now;
  const lo = Math.min(before.lo, now.lo);
  return {
    room: now.room,
    lo,
    hi: Math.max(before.hi, now.hi),
    start: (before.start && before.lo === lo) || (now.start && now.lo === lo),
  };
}

/** One atomic change of the cache. */
export interface Commit {
  readonly cursor?: number;
  readonly rooms?: Iterable<Room>;
  readonly entries?: Iterable<Entry>;
  readonly ranges?: Iterable<Range>;
  readonly dropped?: Iterable<string>; // rooms whose known log is no longer joined to the present
  readonly people?: Iterable<{ user: string; name: string }>;
  readonly receipts?: Iterable<Receipt>;
  readonly settled?: Iterable<string>; // outbox items that are entries now
}

const CACHE = ['meta', 'rooms', 'entries', 'ranges', 'people', 'receipts'] as const;
const WRITTEN = [...CACHE, 'outbox'] as const;
const AT_ONCE = 12; // entries written before a page may draw: a long page of them takes longer than a frame
const ROOM_END = Number.MAX_SAFE_INTEGER;

export class Store {
  readonly #db: IDBPDatabase<Schema>;

  private constructor(db: IDBPDatabase<Schema>) {
    this.#db = db;
  }

  static async open(name: string): Promise<Store> {
    const db = await openDB<Schema>(name, 2, {
      upgrade(fresh, from) {
        if (from < 1) {
          fresh.createObjectStore('meta');
          fresh.createObjectStore('rooms', { keyPath: 'room' });
          fresh.createObjectStore('entries', { keyPath: ['room', 'idx'] }).createIndex('id', 'id');
          fresh.createObjectStore('ranges', { keyPath: 'room' });
          fresh.createObjectStore('people', { keyPath: 'user' });
          fresh.createObjectStore('receipts', { keyPath: ['room', 'user'] });
          fresh.createObjectStore('outbox', { keyPath: 'clientId' });
          fresh.createObjectStore('drafts', { keyPath: 'room' });
        }
        if (from < 2) fresh.createObjectStore('contacts', { keyPath: 'person.user' });
      },
      blocking: () => db.close(),
    });
    return new Store(db);
  }

  close(): void {
    this.#db.close();
  }

  async cursor(): Promise<number | null> {
    return (await this.#db.get('meta', 'cursor')) ?? null;
  }

  rooms = (): Promise<Room[]> => this.#db.getAll('rooms');
  people = (): Promise<{ user: string; name: string }[]> => this.#db.getAll('people');
  drafts = (): Promise<{ room: string; text: string }[]> => this.#db.getAll('drafts');
  byId = (id: string): Promise<Entry | undefined> => this.#db.getFromIndex('entries', 'id', id);
  range = (room: string): Promise<Range | undefined> => this.#db.get('ranges', room);
  receipts = (room: string): Promise<Receipt[]> =>
    this.#db.getAll('receipts', IDBKeyRange.bound([room, ''], [room, '\uffff']));

  async outbox(): Promise<Pending[]> {
    return (await this.#db.getAll('outbox')).sort((a, b) => a.n - b.n);
  }

  /** Up to `limit` stored entries above `after`, in rising idx. */
  async entriesAfter(room: string, after: number, limit: number): Promise<Entry[]> {
    const span = IDBKeyRange.bound([room, after], [room, ROOM_END], true);
    return this.#db.getAll('entries', span, limit);
  }

  /** Up to `limit` stored entries below `before`, in rising idx. */
  async entries(room: string, lo: number, before: number, limit: number): Promise<Entry[]> {
    const found: Entry[] = [];
    const span = IDBKeyRange.bound([room, lo], [room, before], false, true);
    let at = await this.#db.transaction('entries').store.openCursor(span, 'prev');
    while (at && found.length < limit) {
      found.push(at.value);
      at = await at.continue();
    }
    return found.reverse();
  }

  async commit(change: Commit): Promise<void> {
    const tx = this.#db.transaction(WRITTEN, 'readwrite');
    const of = <N extends (typeof WRITTEN)[number]>(name: N) => tx.objectStore(name);
    for (const room of change.dropped ?? []) void of('entries').delete(IDBKeyRange.bound([room, 0], [room, ROOM_END]));
    for (const room of change.rooms ?? []) void of('rooms').put(room);
    let written = 0;
    for (const entry of change.entries ?? []) {
      const put = of('entries').put(entry);
      if (++written % AT_ONCE === 0) await put;
    }
    const dropped = new Set(change.dropped);
    for (const range of change.ranges ?? []) {
      const before = dropped.has(range.room) ? undefined : await of('ranges').get(range.room);
      void of('ranges').put(before ? joined(before, range) : range);
    }
    for (const person of change.people ?? []) void of('people').put(person);
    for (const receipt of change.receipts ?? []) void of('receipts').put(receipt);
    for (const clientId of change.settled ?? []) void of('outbox').delete(clientId);
    if (change.cursor !== undefined) void of('meta').put(change.cursor, 'cursor');
    await tx.done;
  }

  /** The node does not know our cursor any more: forget everything that can be fetched again. */
  async forget(): Promise<void> {
    const tx = this.#db.transaction(CACHE, 'readwrite');
    for (const name of CACHE) void tx.objectStore(name).clear();
    await tx.done;
  }

  async putPending(item: Pending): Promise<void> {
    await this.#db.put('outbox', item);
  }

  async dropPending(clientId: string): Promise<void> {
    await this.#db.delete('outbox', clientId);
  }

  contacts = (): Promise<Contact[]> => this.#db.getAll('contacts');

  /** All of them, in place of what was there. */
  async putContacts(all: readonly Contact[]): Promise<void> {
    const tx = this.#db.transaction('contacts', 'readwrite');
    void tx.store.clear();
    for (const contact of all) void tx.store.put(contact);
    await tx.done;
  }

  async putDraft(room: string, text: string): Promise<void> {
    if (text) await this.#db.put('drafts', { room, text });
    else await this.#db.delete('drafts', room);
  }
}
