/** Who types: one's own keys are told of every few seconds, others are shown for a while after the last word of theirs. */
import type { State } from './store/state.ts';

const SHOWN_MS = 6_000;
const EACH_MS = 3_000;

export class Typing {
  readonly #state: State;
  readonly #now: () => number;
  readonly #tell: (room: string) => void;
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #saidMs = new Map<string, number>();

  constructor(state: State, now: () => number, tell: (room: string) => void) {
    this.#state = state;
    this.#now = now;
    this.#tell = tell;
  }

  say(room: string): void {
    const now = this.#now();
    if (now - (this.#saidMs.get(room) ?? 0) < EACH_MS) return;
    this.#saidMs.set(room, now);
    this.#tell(room);
  }

  hear(room: string, user: string, on: boolean): void {
    if (user === this.#state.me) return;
    if (!on) {
      this.stop(room, user);
      return;
    }
    const key = `${room}/${user}`;
    clearTimeout(this.#timers.get(key));
    this.#timers.set(
      key,
      setTimeout(() => this.stop(room, user), SHOWN_MS),
    );
    const users = this.#state.typing.value.get(room) ?? [];
    if (!users.includes(user))
      this.#state.typing.value = new Map([...this.#state.typing.value, [room, [...users, user]]]);
  }

  /** Nothing came for a while, or what was typed did. */
  stop(room: string, user: string): void {
    clearTimeout(this.#timers.get(`${room}/${user}`));
    const users = this.#state.typing.value.get(room);
    if (users?.includes(user)) {
      this.#state.typing.value = new Map([
        ...this.#state.typing.value,
        [room, users.filter((other) => other !== user)],
      ]);
    }
  }

  close(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }
}
