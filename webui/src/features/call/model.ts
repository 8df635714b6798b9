/** The door to calls: what the first load knows of them. Everything else comes with the first call. */
import { computed, signal } from '@preact/signals';
import type { Roster } from '../../core/calling.ts';
import { can } from '../../core/roles.ts';
import type { State } from '../../core/store/state.ts';
import type { Room } from '../../core/types.ts';
import { go, route } from '../../routes.ts';
import { client } from '../../session.ts';
import { stopsWriting, troubleOf } from '../timeline/trouble.ts';
import type { Begin, Session, Wanted } from './engine/session.ts';
import type { Unfinished } from './unfinished.ts';

/** The call this page takes part in; one at a time. */
export const session = signal<Session | null>(null);
/** What is asked before a call: whom to ring in a group, or how to come into a running call. */
export type Ask = { what: 'ring'; room: Room } | { what: 'join'; roster: Roster };
export const ask = signal<Ask | null>(null);

/** Whether anything of calls is on the screen. */
export const present = computed(
  () =>
    session.value !== null ||
    ask.value !== null ||
    route.value.page === 'call' ||
    (client.value?.calls.rings.value.length ?? 0) > 0,
);

const LEAVE_MS = 2_000;
export const TARGETS_MAX = 32; // people rung at once; the others see that there is a call

export const rosterOf = (room: string): Roster | null => client.value?.calls.rosters.value.get(room) ?? null;

/** Whether a call of the room may be offered; the node has the last word. */
export function mayCall(state: State, room: Room): boolean {
  if (room.kind === 'direct' && !room.peer) return false;
  return can(room, 'call', Date.now()) && !stopsWriting(troubleOf(state, room));
}

/** Starts or enters a call, in this page; whatever ran before is left. */
export async function enter(begin: Begin, wanted: Wanted): Promise<void> {
  const here = client.value;
  if (!here) return;
  ask.value = null;
  const { Session: Made } = await import('./engine/session.ts');
  await Promise.race([session.value?.leave(), new Promise((late) => setTimeout(late, LEAVE_MS))]); // one call at a time
  const made = new Made(here, begin);
  session.value = made;
  go(begin.how === 'join' ? `/call/${begin.call}` : '/call', route.value.page === 'call');
  await made.start(wanted);
  const id = made.call.value;
  if (id && session.value === made && route.value.page === 'call') go(`/call/${id}`, true);
}

/** A button of a chat: rings the other person, asks whom to ring in a group, or comes to the call that there is. */
export function call(room: Room, media: 'audio' | 'video'): void {
  const running = rosterOf(room.room);
  const mine = session.value;
  if (mine && mine.room === room.room && mine.phase.value !== 'over') go(`/call/${mine.call.value}`);
  else if (running) ask.value = { what: 'join', roster: running };
  else if (room.kind === 'group') ask.value = { what: 'ring', room };
  else void enter({ how: 'start', room: room.room, media, targets: [] }, { mic: true, camera: media === 'video' });
}

/** With one tap: into the call that somebody else began meanwhile, else the same people are called as before. */
export function callAgain(room: Room, { begin, roster }: Session): void {
  const { media } = begin;
  const running = rosterOf(room.room);
  const before = (roster.peek()?.participants ?? []).map(({ user }) => user);
  const targets = room.kind === 'group' ? [...new Set(before)].filter((user) => user !== client.value?.state.me) : [];
  const wanted = { mic: true, camera: media === 'video' };
  if (running) void enter({ how: 'join', room: room.room, media, call: running.call, seat: '' }, wanted);
  else if (room.kind === 'group' && !targets.length) call(room, media);
  else void enter({ how: 'start', room: room.room, media, targets: targets.slice(0, TARGETS_MAX) }, wanted);
}

/** Back into the call that this page was in when it was loaded anew. */
export const comeBack = ({ call: id, seat, room, media }: Unfinished): void =>
  void enter({ how: 'join', room, media, call: id, seat }, { mic: true, camera: media === 'video' });

/** A view of the call chunk, once its words are there. */
export async function withWords<M extends { ready: Promise<void> }>(part: Promise<M>): Promise<M> {
  const loaded = await part;
  await loaded.ready;
  return loaded;
}
