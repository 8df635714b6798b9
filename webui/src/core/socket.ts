/**
 * One WebSocket to the node: hello, heartbeat, numbered requests, and coming back after a loss with backoff.
 *
 * Frames are handed on in order and one at a time: the next frame waits until the promise of the last one is kept, so
 * an acknowledgement always follows the transaction that stored what it acknowledges.
 */
import { type Signal, signal } from '@preact/signals';
import { Refusal, type Status } from './types.ts';
import { type ClientFrame, decodeFrame, encodeFrame, type NodeFrame, SUBPROTOCOL } from './wire.ts';

export type Request =
  Extract<ClientFrame, { n: number }> extends infer F ? (F extends { n: number } ? Omit<F, 'n'> : never) : never;
export type Signalled = Extract<
  ClientFrame,
  { t: 'typing' | 'presence' | 'call_ringing' | 'call_restart' | 'call_state' | 'call_want' }
>;
export type Answer =
  | Extract<NodeFrame, { t: 'page' | 'done' | 'refused' | 'call_seat' | 'call_sdp' }>
  | { t: 'posted'; item: import('./wire.ts').PostedItem };

/** How a tab reaches the node: by its own socket or through the leading tab. */
export interface Link {
  readonly status: Signal<Status>;
  request(request: Request): Promise<Answer>;
  signal(frame: Signalled): void;
  close(): void;
}

export interface SocketOptions {
  open: () => WebSocket;
  cursor: () => Promise<number | null>;
  client: string;
  frame: (frame: NodeFrame, bytes: Uint8Array) => Promise<void>;
}

const BACKOFF_MS = [500, 1_000, 2_000, 4_000, 8_000, 15_000, 30_000];
const HEARTBEAT_MS = 25_000;
const SILENCE_MS = 70_000;
const REQUEST_MS = 30_000;
const ACK_MS = 100;
const ACK_ENTRIES = 32;
const ANSWERS: ReadonlySet<string> = new Set(['page', 'done', 'refused', 'call_seat', 'call_sdp']);
const SIGNED_OUT = 4401;
const REPLACED = 4409;

interface Waiting {
  keep: (answer: Answer) => void;
  fail: (reason: Refusal) => void;
  timer: ReturnType<typeof setTimeout>;
}

export class Socket implements Link {
  readonly status = signal<Status>('connecting');
  readonly #options: SocketOptions;
  readonly #waiting = new Map<number, Waiting>();
  #socket: WebSocket | null = null;
  #n = 1;
  #losses = 0;
  #retryAfterMs: number | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #heart: ReturnType<typeof setInterval> | undefined;
  #heardMs = 0;
  #stored = 0;
  #acked = 0;
  #ackedMs = 0;
  #ackTimer: ReturnType<typeof setTimeout> | undefined;
  #work: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: SocketOptions) {
    this.#options = options;
    this.#connect();
  }

  /** Try again now: the network came back or somebody looks at the page. */
  wake(): void {
    if (this.#closed || this.#socket || this.status.value === 'signed_out') return;
    clearTimeout(this.#retry);
    this.#connect();
  }

  /** The machine says that it has no network: do not wait for a time-out to believe it. */
  sleep(): void {
    if (!this.#closed && this.#socket) this.#lost();
  }

  request(request: Request): Promise<Answer> {
    if (this.status.value !== 'online') return Promise.reject(new Refusal('offline', 'The node cannot be reached.'));
    const n = this.#n++;
    return new Promise((keep, fail) => {
      const timer = setTimeout(() => this.#lost(), REQUEST_MS);
      this.#waiting.set(n, { keep, fail, timer });
      this.#send({ ...request, n } as ClientFrame);
    });
  }

  signal(frame: Signalled): void {
    if (this.status.value === 'online') this.#send(frame);
  }

  /** Everything up to `seq` is stored. What comes close together is acknowledged together; a hidden tab's timers are slow, so it never waits. */
  ack(seq: number): void {
    this.#stored = seq;
    const waitMs = this.#ackedMs + ACK_MS - Date.now();
    if (waitMs <= 0 || seq - this.#acked >= ACK_ENTRIES || globalThis.document?.hidden) this.#acknowledge();
    else this.#ackTimer ??= setTimeout(() => this.#acknowledge(), waitMs);
  }

  #acknowledge(): void {
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    this.#acked = this.#stored;
    this.#ackedMs = Date.now();
    this.#send({ t: 'ack', seq: this.#acked });
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#lost();
  }

  #send(frame: ClientFrame): void {
    if (this.#socket?.readyState === 1) this.#socket.send(encodeFrame(frame));
  }

  #connect(): void {
    const socket = this.#options.open();
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    this.#retryAfterMs = null;
    socket.onopen = async () => {
      const cursor = await this.#options.cursor();
      if (this.#socket === socket) this.#send({ t: 'hello', cursor, client: this.#options.client });
    };
    socket.onmessage = (event: MessageEvent<ArrayBuffer>) => this.#receive(socket, new Uint8Array(event.data));
    socket.onclose = (event) => {
      if (this.#socket !== socket) return;
      if (event.code === SIGNED_OUT) this.status.value = 'signed_out';
      if (event.code === REPLACED) this.#retryAfterMs = BACKOFF_MS.at(-1) ?? 0;
      this.#lost();
    };
    this.#heardMs = Date.now();
    clearInterval(this.#heart);
    this.#heart = setInterval(() => this.#beat(), HEARTBEAT_MS);
  }

  #beat(): void {
    if (Date.now() - this.#heardMs > SILENCE_MS) this.#lost();
    else if (this.status.value === 'online') this.#send({ t: 'ping', at: Date.now() });
  }

  #receive(socket: WebSocket, bytes: Uint8Array): void {
    this.#heardMs = Date.now();
    this.#work = this.#work.then(async () => {
      if (this.#socket !== socket) return;
      try {
        await this.#handle(decodeFrame(bytes), bytes);
      } catch (error) {
        console.error('startalk: a frame could not be used', error);
        this.#lost();
      }
    });
  }

  async #handle(frame: NodeFrame, bytes: Uint8Array): Promise<void> {
    if (frame.t === 'error') {
      if (frame.retryAfterMs < 0) this.status.value = 'signed_out';
      this.#retryAfterMs = Math.max(0, frame.retryAfterMs);
    }
    await this.#options.frame(frame, bytes);
    if (frame.t === 'welcome') {
      this.#losses = 0;
      this.status.value = 'online';
    } else if (frame.t === 'posted') {
      for (const item of frame.items) this.#answer(item.n, { t: 'posted', item });
    } else if (ANSWERS.has(frame.t)) {
      const answer = frame as Exclude<Answer, { t: 'posted' }>;
      this.#answer(answer.n, answer);
    }
  }

  #answer(n: number, answer: Answer): void {
    const waiting = this.#waiting.get(n);
    if (!waiting) return;
    this.#waiting.delete(n);
    clearTimeout(waiting.timer);
    if (answer.t === 'refused') waiting.fail(new Refusal(answer.code, answer.text, answer.detail));
    else waiting.keep(answer);
  }

  #lost(): void {
    const socket = this.#socket;
    this.#socket = null;
    clearInterval(this.#heart);
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    if (socket && socket.readyState < 2) socket.close();
    for (const { fail, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      fail(new Refusal('offline', 'The connection was lost.'));
    }
    this.#waiting.clear();
    if (this.status.value === 'signed_out') return;
    this.status.value = 'offline';
    if (this.#closed) return;
    const step = BACKOFF_MS[Math.min(this.#losses++, BACKOFF_MS.length - 1)] ?? 0;
    const wait = Math.max(this.#retryAfterMs ?? 0, step * (0.5 + Math.random() / 2));
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#connect(), wait);
  }
}

export const openSocket = (origin: string) => (): WebSocket =>
  new WebSocket(`${origin.replace(/^http/, 'ws')}/c2s`, SUBPROTOCOL);
