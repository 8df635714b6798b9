/**
 * One call that this page takes part in: its seat, its two connections to the own node, what it sends, and what the views
 * show of it, as signals.
 *
 * A call is asking (for devices), calling (others ring), connecting, live, reconnecting, over. When the socket or the
 * media is lost, the same seat is asked for again until the node has given it up. Frames carry full state, so a late one
 * does no harm; frames of other calls and seats are ignored.
 */
import { batch, effect, signal } from '@preact/signals';
import type { Media, NodeCallFrame, Participant, Quality, Roster, Seat, Source } from '../../../core/calling.ts';
import type { Client } from '../../../core/client.ts';
import { Refusal } from '../../../core/types.ts';
import { endIsNoted } from '../entry.ts';
import { forget, remember } from '../unfinished.ts';
import { Down } from './down.ts';
import { Playback } from './playback.ts';
import { Sources } from './sources.ts';
import { Up } from './up.ts';
import { Wishes } from './wishes.ts';

export type Phase = 'asking' | 'calling' | 'connecting' | 'live' | 'reconnecting' | 'over';
/** Why a call is over: a reason of the node (`CallOver`), or a refusal. */
export interface Ended {
  readonly reason: string;
  readonly error?: unknown;
}
/** How the call begins: somebody is called, or a ringing or running one is entered (`seat`: the old place in it). */
export type Begin =
  | { how: 'start'; room: string; media: Media; targets: readonly string[] }
  | { how: 'join'; room: string; media: Media; call: string; seat: string };
export interface Wanted {
  mic: boolean;
  camera: boolean;
}

const RETRY_MS = 4_000; // a restart of ICE has this long before the next
const SHAKY_MS = 2_000; // "disconnected" often heals by itself
const UNOFFERED_MS = 1_500;
const NOTED_MS = 300; // what happened meanwhile comes with the new connection
const RECONNECT_S = 30;
const GONE: ReadonlySet<string> = new Set(['not_found', 'gone', 'already_done', 'forbidden', 'not_member', 'conflict']);

// the node knows nothing of it: it ended while this page was away, or the node began anew
const FORGOTTEN: ReadonlySet<string> = new Set(['not_found', 'gone']);

export class Session {
  readonly begin: Begin;
  readonly room: string;
  readonly phase = signal<Phase>('asking');
  readonly ended = signal<Ended | null>(null);
  readonly call = signal('');
  readonly seat = signal('');
  readonly roster = signal<Roster | null>(null);
  readonly streams = signal<ReadonlyMap<string, MediaStream>>(new Map()); // of others, by seat/source
  readonly speakers = signal<readonly string[]>([]);
  readonly quality = signal<Quality | null>(null);
  readonly hand = signal(false);
  readonly silent = signal(false); // the browser wants to be touched before it plays
  readonly video = signal(true); // whether this node forwards video
  readonly hushed = signal(0); // how often a moderator turned the microphone off
  readonly liveMs = signal(0); // when media began to flow here
  readonly sources: Sources;
  readonly wishes: Wishes;
  readonly #client: Client;
  readonly #playback: Playback;
  readonly #stops: (() => void)[] = [];
  #up: Up | null = null;
  #down: Down | null = null;
  #reconnectS = RECONNECT_S;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #giveUp: ReturnType<typeof setTimeout> | undefined;
  #minder: ReturnType<typeof setTimeout> | undefined;
  #early: Extract<NodeCallFrame, { t: 'call_offer' }>[] = [];
  #coming = false; // the seat is being asked for again

  constructor(client: Client, begin: Begin) {
    this.#client = client;
    this.begin = begin;
    this.room = begin.room;
    this.#playback = new Playback((blocked) => {
      this.silent.value = blocked;
    });
    const over = () => this.phase.value === 'over';
    this.sources = new Sources({
      put: (source, track) => this.#put(source, track),
      changed: () => this.#say(),
      failed: (error) => this.#over({ reason: 'refused', error }),
      live: () => this.phase.value === 'live',
      over,
    });
    this.wishes = new Wishes(
      () => (over() || !this.seat.value ? null : this.#others()),
      (wishes) => client.tell({ t: 'call_want', call: this.call.value, seat: this.seat.value, wishes }),
    );
    this.#stops.push(client.calls.listen((frame) => this.#hear(frame)));
  }

  // --- beginning ----------------------------------------------------------------------------------------

  /** Opens what is wanted and takes a seat. Without a microphone it stays `asking` with `trouble`, until told to go on. */
  async start(wanted: Wanted): Promise<void> {
    this.sources.trouble.value = null;
    try {
      if (wanted.mic && !this.sources.tracks.has('mic')) await this.sources.open('mic');
    } catch (error) {
      this.sources.troubled(error);
      return;
    }
    if (wanted.camera) await this.sources.open('camera').catch((error) => this.sources.troubled(error)); // a call without picture is one
    if (this.phase.value !== 'asking') return this.sources.release();
    await this.#sit(wanted);
  }

  async #sit(wanted: Wanted): Promise<void> {
    const { begin } = this;
    try {
      const answer =
        begin.how === 'start'
          ? await this.#client.ask({
              t: 'call_start',
              room: begin.room,
              media: begin.media,
              targets: begin.targets,
            })
          : await this.#client.ask({ t: 'call_join', call: begin.call, seat: begin.seat });
      if (answer.t !== 'call_seat') throw new Refusal('internal', 'The node answered something else.');
      if (this.phase.value === 'over') {
        // cancelled while the node was thinking
        this.#client
          .ask({ t: 'call_leave', call: answer.call, seat: answer.seat, everybody: false })
          .catch(() => undefined);
        return;
      }
      this.#seated(answer, wanted);
    } catch (error) {
      this.#over({ reason: 'refused', error });
    }
  }

  #seated(seat: Seat, wanted: Wanted): void {
    batch(() => {
      this.call.value = seat.call;
      this.seat.value = seat.seat;
      this.video.value = seat.video;
      this.sources.mic.value = wanted.mic && this.sources.tracks.has('mic');
      this.sources.camera.value = this.sources.tracks.has('camera');
      this.phase.value = this.begin.how === 'start' ? 'calling' : 'connecting';
      this.#learn(this.#client.calls.rosters.peek().get(this.room) ?? null);
    });
    this.#reconnectS = seat.reconnectS || RECONNECT_S;
    this.#client.calls.hush(seat.call);
    remember({ call: seat.call, seat: seat.seat, room: seat.room, media: this.begin.media });
    this.#connect();
    this.#say();
    let before = this.#client.status.peek();
    this.#stops.push(
      effect(() => {
        const status = this.#client.status.value;
        if (status === 'online' && before !== 'online') queueMicrotask(() => void this.#comeBack());
        before = status;
      }),
    );
    const online = () => this.#restart();
    addEventListener('online', online);
    this.#stops.push(() => removeEventListener('online', online));
  }

  /** Two fresh connections for the present seat. */
  #connect(): void {
    this.#up?.close();
    this.#down?.close();
    const name = () => ({ call: this.call.peek(), seat: this.seat.peek() });
    this.#up = new Up({
      send: async (sdp, sources) => {
        const answer = await this.#client.ask({ t: 'call_up', ...name(), sdp, sources });
        if (answer.t !== 'call_sdp') throw new Refusal('internal', 'The node answered something else.');
        return answer.sdp;
      },
      state: () => this.#watch(),
    });
    this.#down = new Down({
      answer: async (version, sdp) => {
        await this.#client.ask({ t: 'call_down', ...name(), version, sdp });
      },
      streams: (streams) => this.#show(streams),
      state: () => this.#watch(),
    });
    const tracks = new Map<Source, MediaStreamTrack | null>([['mic', null], ...this.sources.tracks]);
    this.#up.start(tracks).catch((error) => this.#upFailed(error));
    for (const offer of this.#early.splice(0)) if (offer.seat === this.seat.peek()) this.#offered(offer);
    this.#mind();
  }

  /** An offer of the node may be lost with a socket: ask until the first one is there. */
  #mind(): void {
    clearTimeout(this.#minder);
    this.#minder = setTimeout(() => {
      if (this.phase.value === 'over' || this.#down?.offeredOnce) return;
      this.#client.tell({ t: 'call_restart', call: this.call.peek(), seat: this.seat.peek() });
      this.#mind();
    }, UNOFFERED_MS);
  }

  #upFailed(error: unknown): void {
    if (this.phase.value === 'over') return;
    if (error instanceof Refusal && (error.code === 'offline' || error.code === 'rate_limited')) this.#later();
    else if (this.phase.value === 'calling' || this.phase.value === 'connecting')
      this.#over({ reason: 'refused', error });
    else this.#later();
  }

  // --- what the node says -------------------------------------------------------------------------------

  #hear(frame: NodeCallFrame): void {
    if (frame.t === 'call_sdp' || frame.t === 'ring' || frame.t === 'call_seat') return;
    if (frame.t === 'call_offer' && !this.call.value) this.#early.push(frame); // faster than the answer with the seat
    if (frame.call !== this.call.value || this.phase.value === 'over') return;
    switch (frame.t) {
      case 'call_offer':
        if (frame.seat === this.seat.value) this.#offered(frame);
        else this.#early.push(frame);
        break;
      case 'call_roster':
        this.#learn(frame);
        break;
      case 'call_speakers':
        this.speakers.value = frame.seats;
        break;
      case 'call_quality':
        if (frame.seat !== this.seat.value) break;
        this.quality.value = frame;
        this.#up?.sendsOnly(frame.layers);
        break;
      case 'call_over':
        if (frame.reason === 'restarting') this.#again();
        else this.#over({ reason: frame.reason });
        break;
    }
  }

  #offered(offer: Extract<NodeCallFrame, { t: 'call_offer' }>): void {
    this.#down?.offered(offer).catch((error) => {
      if (!(error instanceof Refusal && error.code === 'offline'))
        console.info('startalk: an offer of the call could not be answered', error);
      this.#client.tell({ t: 'call_restart', call: this.call.peek(), seat: this.seat.peek() });
    });
  }

  #learn(roster: Roster | null): void {
    if (!roster || roster.call !== this.call.value || (this.roster.value?.version ?? -1) > roster.version) return;
    const before = this.roster.value;
    this.roster.value = roster;
    const mine = roster.participants.find(({ seat }) => seat === this.seat.value);
    const was = before?.participants.find(({ seat }) => seat === this.seat.value);
    if (mine?.muted && !was?.muted && this.sources.mic.value) {
      this.hushed.value += 1;
      this.sources.setMic(false);
    }
    if (this.phase.value === 'calling' && roster.state === 'live') this.phase.value = 'connecting';
    this.#watch();
    this.wishes.wish();
  }

  #show(streams: ReadonlyMap<string, MediaStream>): void {
    this.streams.value = streams;
    const heard = [...streams].filter(([key]) => key.endsWith('/mic') || key.endsWith('/sound'));
    this.#playback.play(new Set(heard.map(([, stream]) => stream)));
    this.wishes.wish();
  }

  /** Browsers may want a touch before they play anything. */
  unsilence(): void {
    void this.#playback.wake();
  }

  // --- staying connected --------------------------------------------------------------------------------

  /** Where the media stands, after every change of a connection. */
  #watch(): void {
    const phase = this.phase.value;
    if (phase === 'over' || phase === 'asking') return;
    const up = this.#up?.pc.connectionState;
    const down = this.#down?.pc.connectionState;
    const joined = up === 'connected' && (down === 'connected' || down === 'new');
    if (joined && !this.#coming) {
      clearTimeout(this.#retry);
      clearTimeout(this.#giveUp);
      this.#retry = this.#giveUp = undefined;
      if (phase === 'reconnecting' || (phase === 'connecting' && this.roster.value?.state === 'live')) {
        if (!this.liveMs.value) this.liveMs.value = Date.now();
        this.phase.value = 'live';
      }
      return;
    }
    const broken = [up, down].some((state) => state === 'failed' || state === 'disconnected');
    if (phase === 'live' && broken) this.#lost();
    else if (broken) this.#later();
  }

  #lost(): void {
    if (this.phase.value !== 'calling') this.phase.value = 'reconnecting';
    const reason = this.liveMs.peek() ? 'cut_off' : 'failed';
    this.#giveUp ??= setTimeout(() => void this.leave(false, reason), this.#reconnectS * 1000);
    this.#later(SHAKY_MS);
  }

  #later(waitMs = RETRY_MS): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      this.#restart();
    }, waitMs);
  }

  /** New ICE credentials for whatever is not connected. */
  #restart(): void {
    if (this.phase.value === 'over' || this.#client.status.peek() !== 'online') return;
    if (this.#up && this.#up.pc.connectionState !== 'connected') {
      this.#up.restart().catch((error) => {
        if (error instanceof Refusal && GONE.has(error.code)) void this.#sitAgain();
      });
      this.#later();
    }
    const down = this.#down?.pc.connectionState;
    if (down === 'failed' || down === 'disconnected') {
      this.#client.tell({ t: 'call_restart', call: this.call.value, seat: this.seat.value });
      this.#later();
    }
  }

  /** The socket is there again: the node keeps the seat for a while, and says so by answering an offer. */
  async #comeBack(): Promise<void> {
    if (this.phase.value === 'over' || this.#coming || !this.seat.value) return;
    this.#coming = true;
    try {
      await this.#up?.offerAgain(this.#up.pc.connectionState !== 'connected');
      this.#say();
      this.wishes.again();
    } catch (error) {
      if (error instanceof Refusal && GONE.has(error.code)) await this.#sitAgain();
    } finally {
      this.#coming = false;
    }
    this.#watch();
    if (this.#up?.pc.connectionState !== 'connected') this.#later();
  }

  /** The seat is gone, or what carried its media: a new one in its place, with new connections. */
  async #sitAgain(): Promise<void> {
    if (this.#isOver) return;
    this.#lost();
    try {
      const answer = await this.#client.ask({ t: 'call_join', call: this.call.value, seat: this.seat.value });
      if (answer.t !== 'call_seat') throw new Refusal('internal', 'The node answered something else.');
      if (this.#isOver) return;
      this.seat.value = answer.seat;
      remember({ call: answer.call, seat: answer.seat, room: answer.room, media: this.begin.media });
      this.#connect();
      this.#say();
      this.wishes.again();
    } catch (error) {
      if (!(error instanceof Refusal && GONE.has(error.code))) this.#again();
      else this.#over({ reason: FORGOTTEN.has(error.code) ? await this.#whyForgotten() : 'ended' });
    }
  }

  /** It ended while this page was away, which the log says in a moment; or it was cut off. */
  async #whyForgotten(): Promise<string> {
    for (let looks = 0; looks < 4; looks++) {
      if (endIsNoted(this.#client.state, this.room, this.call.peek())) return 'ended';
      await new Promise((later) => setTimeout(later, NOTED_MS));
    }
    return 'cut_off';
  }

  /** The node, or its relay, begins anew: the seat is asked for until there is one or the time is up. */
  #again(): void {
    this.#lost();
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      if (this.#client.status.peek() === 'online') void this.#sitAgain();
    }, SHAKY_MS);
  }

  // --- what is sent -------------------------------------------------------------------------------------

  #put(source: Source, track: MediaStreamTrack | null): Promise<void> {
    return this.#up?.put(source, track).catch((error) => this.#upFailed(error)) ?? Promise.resolve();
  }

  setHand(on: boolean): void {
    this.hand.value = on;
    this.#say();
  }

  /** What this device sends and shows, for the others. */
  #say(): void {
    this.sources.gate();
    if (!this.seat.value || this.phase.value === 'over') return;
    this.#client.tell({
      t: 'call_state',
      call: this.call.value,
      seat: this.seat.value,
      mic: this.sources.speaks,
      camera: this.sources.camera.value,
      screen: this.sources.screen.value,
      hand: this.hand.value,
    });
  }

  // --- moderators ---------------------------------------------------------------------------------------

  async removeSeat(seat: string, mute: boolean): Promise<void> {
    await this.#client.ask({ t: 'call_remove', call: this.call.value, seat, mute });
  }

  #others(): readonly Participant[] {
    return (this.roster.value?.participants ?? []).filter(({ seat }) => seat !== this.seat.value);
  }

  // --- ending -------------------------------------------------------------------------------------------

  /** Leaves at once, whether the node hears of it or not: it frees a silent seat by itself. */
  async leave(everybody = false, reason = 'left'): Promise<void> {
    if (this.phase.value === 'over') return;
    const { call, seat } = { call: this.call.value, seat: this.seat.value };
    this.#over({ reason });
    if (seat) await this.#client.ask({ t: 'call_leave', call, seat, everybody }).catch(() => undefined);
  }

  get #isOver(): boolean {
    return this.phase.value === 'over';
  }

  #over(ended: Ended): void {
    if (this.phase.value === 'over') return;
    batch(() => {
      this.ended.value = ended;
      this.phase.value = 'over';
      this.sources.hide();
      this.streams.value = new Map();
    });
    forget();
    for (const timer of [this.#retry, this.#giveUp, this.#minder]) clearTimeout(timer);
    for (const stop of this.#stops.splice(0)) stop();
    this.sources.release();
    this.wishes.close();
    this.#up?.close();
    this.#down?.close();
    this.#playback.close();
  }
}
