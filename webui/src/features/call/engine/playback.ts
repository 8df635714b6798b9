/** Plays what the others say, on the chosen speaker. It does not belong to a view: a call goes on while one reads chats. */
import { effect } from '@preact/signals';
import { preferred } from './devices.ts';

type Out = HTMLAudioElement & { setSinkId?: (id: string) => Promise<void> };

export class Playback {
  readonly #out = new Map<MediaStream, Out>();
  readonly #blocked: (blocked: boolean) => void;
  readonly #unwatch: () => void;

  /** `blocked`: the browser wants to be touched before it plays anything. */
  constructor(blocked: (blocked: boolean) => void) {
    this.#blocked = blocked;
    this.#unwatch = effect(() => {
      const sink = preferred.speaker.value;
      for (const out of this.#out.values()) out.setSinkId?.(sink).catch(() => undefined);
    });
  }

  /** Exactly these from now on. */
  play(streams: ReadonlySet<MediaStream>): void {
    for (const [stream, out] of this.#out) {
      if (streams.has(stream)) continue;
      out.pause();
      out.srcObject = null;
      this.#out.delete(stream);
    }
    for (const stream of streams) {
      if (this.#out.has(stream)) continue;
      const out = new Audio() as Out;
      out.autoplay = true;
      out.srcObject = stream;
      if (preferred.speaker.value) out.setSinkId?.(preferred.speaker.value).catch(() => undefined);
      this.#out.set(stream, out);
    }
    void this.wake();
  }

  /** After a touch. */
  async wake(): Promise<void> {
    const tries = await Promise.allSettled([...this.#out.values()].map((out) => out.play()));
    this.#blocked(
      tries.some((one) => one.status === 'rejected' && (one.reason as Error | undefined)?.name === 'NotAllowedError'),
    );
  }

  close(): void {
    this.#unwatch();
    this.play(new Set());
  }
}
