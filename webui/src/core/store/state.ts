/** What the views show, as signals. Only core/sync.ts and core/outbox.ts change it, in one batch for each change. */
import { computed, type Signal, signal } from '@preact/signals';
import type { Contact } from '../api.gen.ts';
import { type Marks, marksOf, onTheWay } from '../pending.ts';
import { type Entry, type NodeMark, nodeOf, type Pending, type Receipt, type Room } from '../types.ts';
import type { WaitingItem } from '../wire.ts';

export const WINDOW_MAX = 2_000; // entries of one chat in memory: a row costs about 1 KB, and each change looks at all

/**
 * The part of a chat that is in memory, at most `WINDOW_MAX` entries of the known log `lo` to `hi`. It ends with the newest
 * known entry while `end` is true; further up it is a window that slides, and what is below it is only on the disk.
 */
export interface Timeline {
  readonly room: string;
  readonly entries: Signal<readonly Entry[]>; // rising idx; content and notices, no marks
  readonly end: Signal<boolean>;
  readonly lo: Signal<number>;
  readonly hi: Signal<number>;
  readonly start: Signal<boolean>;
  readonly ready: Signal<boolean>;
  readonly receipts: Signal<ReadonlyMap<string, Receipt>>;
}

export class State {
  readonly me: string;
  readonly device: string;
  readonly rooms = signal<ReadonlyMap<string, Room>>(new Map());
  readonly people = signal<ReadonlyMap<string, string>>(new Map());
  readonly outbox = signal<readonly Pending[]>([]);
  readonly waiting = signal<ReadonlyMap<string, WaitingItem>>(new Map()); // by event; posts that other nodes have to order
  readonly slow = signal<ReadonlySet<string>>(new Set()); // nodes for which something waits longer than a moment
  readonly domains = signal<ReadonlyMap<string, string>>(new Map()); // verified, by node
  readonly contacts = signal<readonly Contact[] | null>(null); // people elsewhere; null until they were fetched
  readonly typing = signal<ReadonlyMap<string, readonly string[]>>(new Map());
  readonly presence = signal<ReadonlyMap<string, string>>(new Map());
  readonly drafts = signal<ReadonlyMap<string, string>>(new Map());
  readonly loaded = signal(false); // the first snapshot, or the cache, is there
  readonly timelines = new Map<string, Timeline>();

  readonly list = computed(() =>
    [...this.rooms.value.values()].filter((room) => room.state === 'member').sort((a, b) => recent(b) - recent(a)),
  );
  readonly invitations = computed(() => [...this.rooms.value.values()].filter((room) => room.state === 'invited'));
  readonly requests = computed(() => (this.contacts.value ?? []).filter(({ state }) => state === 'asking'));
  /** Own posts without a place, from here and from other devices. */
  readonly pending = computed(() => onTheWay(this.outbox.value, this.waiting.value));
  readonly marks = computed<Marks>(() => marksOf(this.pending.value));
  readonly unread = computed(() => this.list.value.reduce((sum, room) => sum + room.unread, 0));

  constructor(me: string, device: string) {
    this.me = me;
    this.device = device;
  }

  timeline(room: string): Timeline {
    const known = this.timelines.get(room);
    if (known) return known;
    const fresh: Timeline = {
      room,
      entries: signal([]),
      end: signal(true),
      lo: signal(0),
      hi: signal(0),
      start: signal(false),
      ready: signal(false),
      receipts: signal(new Map()),
    };
    this.timelines.set(room, fresh);
    return fresh;
  }

  /** The node of the signed-in user. */
  get home(): string {
    return nodeOf(this.me);
  }

  /** What people call a node: its domain, if that was verified, else the first letters of its id. */
  nodeName(node: string): string {
    return this.domains.value.get(node) || `${node.slice(0, 8)}…`;
  }

  /** Whether the node that orders a chat cannot be reached, as far as can be told from here. */
  hubIsAway(room: Room): boolean {
    if (room.hub === this.home || !room.hub) return false;
    return this.slow.value.has(room.hub) || room.nodes.some((mark) => mark.node === room.hub && !this.isLinked(mark));
  }

  isLinked({ node, linked }: NodeMark): boolean {
    return linked && !this.slow.value.has(node);
  }

  isRemote(user: string): boolean {
    return user.includes('@') && nodeOf(user) !== this.home;
  }

  /** A person's name as shown; the local part of the id until the name is known. */
  nameOf(user: string): string {
    return this.people.value.get(user) || localOf(user);
  }
}

export const localOf = (user: string): string => user.slice(0, Math.max(0, user.lastIndexOf('@'))) || user;

const recent = (room: Room): number => room.last?.atMs ?? (room.kind === 'group' ? room.asOf / 1e9 : 0);
