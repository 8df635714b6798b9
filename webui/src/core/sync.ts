/**
 * Applies what the node says: frame -> one transaction -> one batch of signals. The device's half of the feed loop.
 *
 * Entries arrive in rising seq; those at or below the cursor are repeats. An entry that does not join the known part
 * of its room's log makes that part start anew (older entries are fetched again when somebody scrolls up).
 * `durable` is false in tabs that follow: the leading tab has already stored what they see.
 */
import { batch } from '@preact/signals';
import type { Contact } from './api.gen.ts';
import { asCommit, Change, keyOf, ownReceipt, show } from './change.ts';
import type { Store } from './db.ts';
import { advance, countsFor, evolve, isContent, MARKS, mentionsMe, targetOf, uncount } from './fold.ts';
import type { State } from './store/state.ts';
import { type Entry, type NodeMark, nodeOf, type Range, type Receipt, type Room } from './types.ts';
import type { NodeFrame, WaitingItem } from './wire.ts';

type Page = Extract<NodeFrame, { t: 'page' }>;

const ALIKE = ['text', 'target', 'value', 'on'];

export class Sync {
  durable = true;
  cursor: number | null = null;
  readonly #db: Store;
  readonly #state: State;
  #head = 0;
  #asked = new Set<string>();
  #work: Promise<unknown> = Promise.resolve();
  onEntry: (entry: Entry) => void = () => undefined;
  onGone: (events: ReadonlySet<string>) => void = () => undefined; // posts that their author dismissed

  constructor(db: Store, state: State) {
    this.#db = db;
    this.#state = state;
  }

  /** Shows what is stored. */
  async load(): Promise<void> {
    const [cursor, rooms, people, outbox, drafts, contacts] = await Promise.all([
      this.#db.cursor(),
      this.#db.rooms(),
      this.#db.people(),
      this.#db.outbox(),
      this.#db.drafts(),
      this.#db.contacts(),
    ]);
    this.cursor = cursor;
    batch(() => {
      this.#state.rooms.value = new Map(rooms.map((room) => [room.room, hopeful(room)]));
      this.#learnDomains(rooms.flatMap(({ nodes }) => nodes));
      this.#state.people.value = new Map(people.map(({ user, name }) => [user, name]));
      this.#state.outbox.value = outbox;
      if (contacts.length) this.showContacts(contacts);
      this.#state.drafts.value = new Map(drafts.map(({ room, text }) => [room, text]));
      this.#state.loaded.value = cursor !== null;
    });
  }

  /** One thing after the other: nothing reads state that another change is about to write. */
  run<T>(step: () => Promise<T>): Promise<T> {
    const next = this.#work.then(step);
    this.#work = next.catch(() => undefined);
    return next;
  }

  /** The seq to acknowledge, if the frame moved the cursor. */
  apply(frame: NodeFrame): Promise<number | null> {
    return this.run(() => this.#apply(frame));
  }

  async #apply(frame: NodeFrame): Promise<number | null> {
    switch (frame.t) {
      case 'welcome':
        return this.#welcome(frame.head, frame.resumed);
      case 'rooms':
        return this.#snapshot(frame.rooms, frame.people, frame.more);
      case 'room':
        await this.#commit(this.#cards([frame.room]), frame.people);
        return null;
      case 'entries':
        return this.#entries(frame.entries);
      case 'receipts':
        return this.#receipts(frame.seq, frame.receipts);
      case 'people':
        await this.#commit(new Change(), frame.people);
        return null;
      case 'page':
        await this.#page(frame);
        return null;
      case 'nodes':
        await this.#nodes(frame.room, frame.nodes, frame.stableIdx);
        return null;
      case 'waiting':
        this.#waiting(frame.items);
        return null;
      default:
        return null;
    }
  }

  async #welcome(head: number, resumed: boolean): Promise<null> {
    this.#head = head;
    this.#state.waiting.value = new Map(); // what still waits is told anew
    this.#asked = new Set(this.#state.invitations.value.map((room) => room.room));
    if (resumed) {
      const rooms = [...this.#state.rooms.value];
      this.#state.rooms.value = new Map(rooms.map(([id, room]) => [id, hopeful(room)]));
      return null;
    }
    if (this.durable) await this.#db.forget();
    this.cursor = null;
    batch(() => {
      this.#state.rooms.value = new Map();
      for (const line of this.#state.timelines.values()) {
        line.entries.value = [];
        line.ready.value = false;
        line.end.value = true;
        line.start.value = false;
        line.lo.value = 0;
        line.hi.value = 0;
      }
    });
    return null;
  }

  async #snapshot(
    rooms: readonly Room[],
    people: readonly { user: string; name: string }[],
    more: boolean,
  ): Promise<number | null> {
    const change = this.#cards(rooms);
    for (const room of rooms) this.#asked.delete(room.room);
    if (!more) this.#withdraw(change);
    const first = this.cursor === null && !more;
    if (first) change.cursor = this.#head;
    await this.#commit(change, people);
    if (!more) this.#state.loaded.value = true;
    return first ? this.#head : null;
  }

  /** A snapshot holds every open invitation: one that it lacks was taken back while this device was away. */
  #withdraw(change: Change): void {
    for (const id of this.#asked) {
      const room = this.#state.rooms.value.get(id);
      if (room && !change.rooms.has(id)) change.rooms.set(id, { ...room, state: 'left' });
    }
    this.#asked.clear();
  }

  async #nodes(id: string, nodes: readonly NodeMark[], stableIdx: number): Promise<void> {
    const room = this.#state.rooms.value.get(id);
    this.#learnDomains(nodes);
    if (!room) return;
    const change = new Change();
    change.rooms.set(id, { ...room, nodes, stableIdx });
    await this.#commit(change, []);
  }

  #waiting(items: readonly WaitingItem[]): void {
    const next = new Map(this.#state.waiting.value);
    for (const item of items) {
      if (item.gone) next.delete(item.id);
      else next.set(item.id, item);
    }
    this.#state.waiting.value = next;
    const gone = new Set(items.filter((item) => item.gone).map(({ id }) => id));
    if (gone.size) this.onGone(gone);
  }

  #learnDomains(nodes: readonly NodeMark[]): void {
    const known = this.#state.domains.value;
    const news = nodes.filter(({ node, domain }) => (known.get(node) ?? '') !== domain);
    if (news.length)
      this.#state.domains.value = new Map([...known, ...news.map((one) => [one.node, one.domain] as const)]);
  }

  #cards(rooms: readonly Room[]): Change {
    const change = new Change();
    this.#learnDomains(rooms.flatMap(({ nodes }) => nodes));
    for (const room of rooms) {
      const before = this.#state.rooms.value.get(room.room);
      change.rooms.set(room.room, before && !room.last ? { ...room, last: before.last } : room);
    }
    return change;
  }

  async #entries(entries: readonly Entry[]): Promise<number | null> {
    const change = new Change();
    const shown: Entry[] = [];
    for (const entry of entries) {
      if (this.cursor !== null && entry.seq <= this.cursor) continue;
      await this.#entry(change, entry);
      shown.push(entry);
    }
    const last = entries.at(-1)?.seq ?? 0;
    if (this.cursor === null || last > this.cursor) change.cursor = last;
    await this.#commit(change, []);
    for (const entry of shown) this.onEntry(entry);
    return last;
  }

  async #entry(change: Change, entry: Entry): Promise<void> {
    await this.#extend(change, entry);
    if (!MARKS.has(entry.kind)) change.entries.set(keyOf(entry), entry);
    const room = change.rooms.get(entry.room) ?? this.#state.rooms.value.get(entry.room);
    const heard = room && this.#heardFrom(room, entry);
    let next = heard && entry.seq > heard.asOf ? advance(heard, entry, this.#state.me) : heard;
    const target = targetOf(entry) ? await this.#find(change, targetOf(entry), entry.room) : undefined;
    if (target && entry.body) {
      const folded = evolve(target, entry.author, entry.kind, entry.body);
      change.entries.set(keyOf(folded), folded);
      if (next?.last?.id === folded.id) next = { ...next, last: folded };
      if (next && room && entry.seq > room.asOf && folded.mark?.erased) next = uncount(next, target, this.#state.me);
    }
    if (next && next !== room) change.rooms.set(entry.room, next);
    change.receipts.push(ownReceipt(entry));
    this.#settle(change, entry);
  }

  /** An entry of a chat that another node orders came from there: that node is linked. */
  #heardFrom(room: Room, entry: Entry): Room {
    const hub = room.hub === this.#state.home ? undefined : room.nodes.find(({ node }) => node === room.hub);
    if (!hub || (hub.linked && hub.idx >= entry.idx)) return room;
    const nodes = room.nodes.map((mark) =>
      mark === hub ? { ...mark, linked: true, idx: Math.max(mark.idx, entry.idx) } : mark,
    );
    return { ...room, nodes };
  }

  /** Our own post is an entry now: it leaves the outbox in the same transaction. */
  #settle(change: Change, entry: Entry): void {
    if (this.#state.waiting.value.has(entry.id)) change.placed.add(entry.id);
    if (entry.author !== this.#state.me || entry.device !== this.#state.device) return;
    const mine = this.#state.outbox.value.filter(
      (item) => item.room === entry.room && !change.settled.has(item.clientId),
    );
    const known = mine.find((item) => item.id === entry.id);
    const flying = mine.find((item) => item.state === 'sending' && item.kind === entry.kind);
    const same = flying && ALIKE.every((key) => flying.body[key] === entry.body?.[key]);
    if (known) change.settled.add(known.clientId);
    else if (flying && same) change.settled.add(flying.clientId);
  }

  async #extend(change: Change, entry: Entry): Promise<void> {
    const range = change.ranges.get(entry.room) ?? (await this.#range(entry.room));
    if (range && entry.idx >= range.lo && entry.idx <= range.hi) return;
    if (range && entry.idx === range.hi + 1) {
      change.ranges.set(entry.room, { ...range, hi: entry.idx });
      return;
    }
    if (range) change.dropped.add(entry.room);
    for (const [key, other] of change.entries) if (other.room === entry.room) change.entries.delete(key);
    const joined = this.#state.rooms.value.get(entry.room)?.joinedIdx ?? 1;
    change.ranges.set(entry.room, {
      room: entry.room,
      lo: entry.idx,
      hi: entry.idx,
      start: entry.idx <= Math.max(1, joined),
    });
  }

  async #range(room: string): Promise<Range | undefined> {
    const line = this.#state.timelines.get(room);
    if (line?.ready.value)
      return line.hi.value > 0 ? { room, lo: line.lo.value, hi: line.hi.value, start: line.start.value } : undefined;
    return this.#db.range(room);
  }

  async #find(change: Change, id: string, room: string): Promise<Entry | undefined> {
    for (const entry of change.entries.values()) if (entry.id === id) return entry;
    const shown = this.#state.timelines.get(room)?.entries.value.find((entry) => entry.id === id);
    return shown ?? (await this.#db.byId(id)) ?? this.#lastOf(room, id);
  }

  #lastOf(room: string, id: string): Entry | undefined {
    const last = this.#state.rooms.value.get(room)?.last;
    return last?.id === id ? last : undefined;
  }

  async #receipts(seq: number, receipts: readonly Receipt[]): Promise<number> {
    const change = new Change();
    change.receipts.push(...receipts);
    if (this.cursor === null || seq > this.cursor) change.cursor = seq;
    for (const { room, user, readIdx } of receipts) {
      if (user === this.#state.me) this.#readOn(change, room, readIdx);
    }
    await this.#commit(change, []);
    return seq;
  }

  /** A page of history joins the known part of the log, or becomes it. */
  async #page(frame: Page): Promise<void> {
    const change = new Change();
    const first = frame.entries[0];
    const last = frame.entries.at(-1);
    const range = await this.#range(frame.room);
    if (!first || !last) {
      if (range && !frame.more) change.ranges.set(frame.room, { ...range, start: true });
      else if (!range) change.ranges.set(frame.room, { room: frame.room, lo: 1, hi: 0, start: true });
    } else {
      const joins = range && range.hi >= range.lo && first.idx <= range.hi + 1 && last.idx >= range.lo - 1;
      if (range && range.hi >= range.lo && !joins) return;
      const lo = joins ? Math.min(first.idx, range.lo) : first.idx;
      const start = lo === first.idx ? !frame.more : (range?.start ?? false);
      change.ranges.set(frame.room, {
        room: frame.room,
        lo,
        hi: joins ? Math.max(last.idx, range.hi) : last.idx,
        start,
      });
      for (const entry of frame.entries) if (!MARKS.has(entry.kind)) change.entries.set(keyOf(entry), entry);
    }
    await this.#commit(change, frame.people, true);
  }

  /** The user has read up to `idx`, here or on another device. */
  read(room: string, idx: number): Promise<void> {
    return this.run(async () => {
      const change = new Change();
      this.#readOn(change, room, idx);
      if (change.rooms.size) await this.#commit(change, [], true);
    });
  }

  #readOn(change: Change, id: string, idx: number): void {
    const room = change.rooms.get(id) ?? this.#state.rooms.value.get(id);
    if (!room || idx <= room.readIdx) return;
    if (idx < room.headIdx && this.#state.timelines.get(id)?.end.value === false) {
      this.#readPart(change, room, idx);
      return;
    }
    const left = idx >= room.headIdx ? [] : this.#unreadAfter(room, idx);
    change.rooms.set(id, {
      ...room,
      readIdx: idx,
      unread: Math.min(room.unread, left.length),
      mentions: Math.min(room.mentions, left.filter((entry) => mentionsMe(entry, this.#state.me)).length),
    });
  }

  /** What follows the window is not in memory: only what is now read is counted off. */
  #readPart(change: Change, room: Room, idx: number): void {
    const read = this.#unreadAfter(room, room.readIdx).filter((entry) => entry.idx <= idx);
    const named = read.filter((entry) => mentionsMe(entry, this.#state.me));
    change.rooms.set(room.room, {
      ...room,
      readIdx: idx,
      unread: Math.max(0, room.unread - read.length),
      mentions: Math.max(0, room.mentions - named.length),
    });
  }

  #unreadAfter(room: Room, idx: number): readonly Entry[] {
    const shown = this.#state.timelines.get(room.room)?.entries.value ?? [];
    return shown.filter((entry) => entry.idx > idx && countsFor(entry, this.#state.me));
  }

  /** Older receipts, from the list of members. */
  learnReceipts(receipts: readonly Receipt[]): Promise<void> {
    return this.run(async () => {
      const change = new Change();
      change.receipts.push(...receipts);
      await this.#commit(change, [], true);
    });
  }

  /** A card from elsewhere; the feed's own card is better and stays. */
  learnRoom(room: Room, people: readonly { user: string; name: string }[]): Promise<void> {
    return this.run(async () => {
      if (this.#state.rooms.value.has(room.room)) return;
      const change = new Change();
      const entries = await this.#db.entries(room.room, 0, Number.MAX_SAFE_INTEGER, 1);
      const last = entries.find((entry) => isContent(entry.kind)) ?? null;
      change.rooms.set(room.room, { ...room, last });
      await this.#commit(change, people, true);
    });
  }

  /** People elsewhere, with the domains that their addresses prove. */
  showContacts(contacts: readonly Contact[]): void {
    batch(() => {
      this.#state.contacts.value = contacts.toSorted((a, b) => b.at_ms - a.at_ms);
      this.#state.domains.value = new Map([...this.#state.domains.value, ...contacts.map(domainIn)]);
    });
  }

  async learnContacts(contacts: readonly Contact[]): Promise<void> {
    this.showContacts(contacts);
    await this.#db.putContacts(contacts);
    await this.learnPeople(contacts.map(({ person }) => ({ user: person.user, name: person.name })));
  }

  /** How many are in a chat, from the list of them. */
  learnCount(id: string, members: number): Promise<void> {
    return this.run(async () => {
      const room = this.#state.rooms.value.get(id);
      if (!room || room.members === members || room.state !== 'member') return;
      const change = new Change();
      change.rooms.set(id, { ...room, members });
      await this.#commit(change, [], true);
    });
  }

  learnPeople(people: readonly { user: string; name: string }[]): Promise<void> {
    return this.run(() => this.#commit(new Change(), people, true));
  }

  async #commit(change: Change, people: readonly { user: string; name: string }[], always = false): Promise<void> {
    if (this.durable || always) await this.#db.commit(asCommit(change, people));
    if (change.cursor !== undefined) this.cursor = change.cursor;
    batch(() => show(this.#state, change, people));
  }
}

/** Which nodes are linked was true when it was stored; until the node tells of them again they are not called away. */
const hopeful = (room: Room): Room =>
  room.nodes?.some(({ linked }) => !linked)
    ? { ...room, nodes: room.nodes.map((mark) => ({ ...mark, linked: true })) }
    : room;

/** The domain that an address shows; a key address says that none is verified. */
function domainIn({ address, person }: Contact): [string, string] {
  const domain = address.slice(address.lastIndexOf('@') + 1);
  return [nodeOf(person.user), domain.endsWith('.startalk.alt') ? '' : domain];
}
