/** What the views show, as signals. Only core/sync.ts and core/outbox.ts change it, in one batch for each change. */
import { computed, type Signal, signal } from '@preact/signals';
import type { Entry, Pending, Receipt, Room } from '../types.ts';

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
  readonly typing = signal<ReadonlyMap<string, readonly string[]>>(new Map());
  readonly presence = signal<ReadonlyMap<string, string>>(new Map());
  readonly drafts = signal<ReadonlyMap<string, string>>(new Map());
  readonly loaded = signal(false); // the first snapshot, or the cache, is there
  readonly timelines = new Map<string, Timeline>();

  readonly list = computed(() =>
    [...this.rooms.value.values()].filter((room) => room.state === 'member').sort((a, b) => recent(b) - recent(a)),
  );
  readonly invitations = computed(() => [...this.rooms.value.values()].filter((room) => room.state === 'invited'));
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

  /** A person's name as shown; the local part of the id until the name is known. */
  nameOf(user: string): string {
    return this.people.value.get(user) || localOf(user);
  }
}

export const localOf = (user: string): string => user.slice(0, Math.max(0, user.lastIndexOf('@'))) || user;

const recent = (room: Room): number => room.last?.atMs ?? (room.kind === 'group' ? room.asOf / 1e9 : 0);
