/**
 * Which calls there are, as the node tells it: a roster for each room with a call, and who rings here. A call that this
 * page takes part in is features/call/session.ts; it hears the frames of its call through `listen`.
 *
 * Rosters are whole and carry a version, so an older or repeated one changes nothing; what comes after a call is over is
 * ignored.
 */
import { signal } from '@preact/signals';
import type { NodeCallFrame, Ring, Roster } from './calling.ts';

// reasons after which there is no call in the room any more; the others concern this device or this user only
const ENDS: ReadonlySet<string> = new Set(['cancelled', 'declined', 'busy', 'unreachable', 'failed', 'ended']);
const OVER_KEPT = 64;
export const isAlerted = (state: string): boolean => state === 'invited' || state === 'ringing';

export class Calls {
  readonly rosters = signal<ReadonlyMap<string, Roster>>(new Map()); // by room
  readonly rings = signal<readonly Ring[]>([]); // the oldest first
  readonly #me: string;
  readonly #over = new Set<string>();
  readonly #hearers = new Set<(frame: NodeCallFrame) => void>();
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();

  constructor(me: string) {
    this.#me = me;
  }

  /** Every frame of every call from now on, until the answer is called. */
  listen(hear: (frame: NodeCallFrame) => void): () => void {
    this.#hearers.add(hear);
    return () => this.#hearers.delete(hear);
  }

  apply(frame: NodeCallFrame, nowMs: number): void {
    if (frame.t === 'ring') this.#ring(frame, nowMs);
    if (frame.t === 'call_roster') this.#roster(frame);
    if (frame.t === 'call_over') this.#end(frame.call, frame.room, frame.reason);
    for (const hear of this.#hearers) hear(frame);
  }

  /** A new connection tells of all calls anew. */
  forget(): void {
    this.rosters.value = new Map();
    for (const { call } of this.rings.value) this.hush(call);
  }

  /** Nobody rings for this call here any more. */
  hush(call: string): void {
    clearTimeout(this.#timers.get(call));
    this.#timers.delete(call);
    if (this.rings.value.some((ring) => ring.call === call))
      this.rings.value = this.rings.value.filter((ring) => ring.call !== call);
  }

  close(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#hearers.clear();
  }

  #ring(ring: Ring, nowMs: number): void {
    const known = this.rosters.value.get(ring.room);
    const inside = known?.call === ring.call && known.participants.some(({ user }) => user === this.#me);
    if (this.#over.has(ring.call) || inside || ring.expiresMs <= nowMs) return;
    clearTimeout(this.#timers.get(ring.call));
    this.#timers.set(
      ring.call,
      setTimeout(() => this.hush(ring.call), ring.expiresMs - nowMs),
    );
    if (!this.rings.value.some(({ call }) => call === ring.call)) this.rings.value = [...this.rings.value, ring];
  }

  #roster(roster: Roster): void {
    const known = this.rosters.value.get(roster.room);
    if (this.#over.has(roster.call)) return;
    if (known?.call === roster.call && known.version > roster.version) return;
    this.rosters.value = new Map([...this.rosters.value, [roster.room, roster]]);
    const mine = roster.invited.find(({ user }) => user === this.#me);
    const answered = roster.participants.some(({ user }) => user === this.#me) || (mine && !isAlerted(mine.state));
    if (answered) this.hush(roster.call);
  }

  #end(call: string, room: string, reason: string): void {
    this.hush(call);
    const known = this.rosters.value.get(room);
    const whole = ENDS.has(reason) || (reason === 'missed' && (known?.call !== call || known.state !== 'live'));
    if (!whole) return;
    this.#over.add(call);
    for (const old of this.#over) if (this.#over.size > OVER_KEPT) this.#over.delete(old);
    if (known?.call === call)
      this.rosters.value = new Map([...this.rosters.value].filter(([, roster]) => roster.call !== call));
  }
}
