/**
 * One connection for each browser: the tab that holds the lock leads, the others speak through it.
 *
 * The leader repeats every frame it has stored, so that followers show it; followers send requests as messages. A
 * follower becomes the leader when the lock is handed to it. Without Web Locks (plain-HTTP LAN address) each tab leads
 * itself: the node allows a few sockets for one device.
 */
import { type Signal, signal } from '@preact/signals';
import type { Answer, Link, Request, Signalled } from './socket.ts';
import { type Detail, Refusal, type Status } from './types.ts';

export type TabMessage =
  | { t: 'frame'; bytes: Uint8Array }
  | { t: 'status'; status: Status }
  | { t: 'who' }
  | { t: 'outbox' }
  | { t: 'draft'; room: string; text: string }
  | { t: 'request'; tab: string; n: number; request: Request }
  | { t: 'answer'; tab: string; n: number; answer: Answer }
  | { t: 'no'; tab: string; n: number; code: string; text: string; detail: Detail }
  | { t: 'signal'; frame: Signalled }
  | { t: 'bye' };

export class Tabs {
  readonly #channel: BroadcastChannel | null;
  readonly #release: AbortController = new AbortController();
  readonly #name: string;
  #leave: () => void = () => undefined;
  #closed = false;

  constructor(name: string, receive: (message: TabMessage) => void) {
    this.#name = name;
    this.#channel = typeof BroadcastChannel === 'undefined' ? null : new BroadcastChannel(name);
    if (this.#channel) this.#channel.onmessage = (event: MessageEvent<TabMessage>) => receive(event.data);
  }

  say(message: TabMessage): void {
    if (!this.#closed) this.#channel?.postMessage(message); // the last frames may still be worked on
  }

  /** Calls `lead` once this tab may hold the connection; true when it does so at once. */
  async elect(lead: () => void): Promise<void> {
    const locks = this.#channel ? globalThis.navigator?.locks : undefined;
    if (!locks) {
      lead();
      return;
    }
    const held = () =>
      new Promise<void>((done) => {
        this.#leave = done;
        lead();
      });
    const got = await new Promise<boolean>((decided) => {
      void locks.request(this.#name, { ifAvailable: true }, (lock) => {
        decided(lock !== null);
        return lock ? held() : undefined;
      });
    });
    if (!got) locks.request(this.#name, { signal: this.#release.signal }, held).catch(() => undefined);
  }

  close(): void {
    this.#closed = true;
    this.#release.abort();
    this.#leave();
    this.#channel?.close();
  }
}

/** The way to the node of a tab that follows. */
export class Follower implements Link {
  readonly status: Signal<Status> = signal<Status>('connecting');
  readonly #tabs: Tabs;
  readonly #tab: string;
  readonly #waiting = new Map<number, { keep: (answer: Answer) => void; fail: (reason: Refusal) => void }>();
  #n = 1;

  constructor(tabs: Tabs, tab: string) {
    this.#tabs = tabs;
    this.#tab = tab;
    tabs.say({ t: 'who' });
  }

  request(request: Request): Promise<Answer> {
    const n = this.#n++;
    return new Promise((keep, fail) => {
      this.#waiting.set(n, { keep, fail });
      this.#tabs.say({ t: 'request', tab: this.#tab, n, request });
    });
  }

  signal(frame: Signalled): void {
    this.#tabs.say({ t: 'signal', frame });
  }

  hear(message: TabMessage): void {
    if (message.t === 'status') this.status.value = message.status;
    if ((message.t !== 'answer' && message.t !== 'no') || message.tab !== this.#tab) return;
    const waiting = this.#waiting.get(message.n);
    this.#waiting.delete(message.n);
    if (message.t === 'answer') waiting?.keep(message.answer);
    else waiting?.fail(new Refusal(message.code, message.text, message.detail));
  }

  close(): void {
    for (const { fail } of this.#waiting.values()) fail(new Refusal('offline', 'The connection was lost.'));
    this.#waiting.clear();
  }
}
