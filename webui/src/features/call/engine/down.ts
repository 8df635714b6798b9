/**
 * What this device receives: one peer connection that the own node offers, again with each change, each offer with a
 * higher version. The node says by mid whose track each m-line carries now; m-lines are used again for others.
 */
import type { Offer, Source } from '../../../core/calling.ts';
import { seal } from './seal.ts';

export const keyOf = (seat: string, source: Source): string => `${seat}/${source}`;

interface Wires {
  answer: (version: number, sdp: string) => Promise<void>;
  /** All tracks there are now, by `keyOf`. */
  streams: (streams: ReadonlyMap<string, MediaStream>) => void;
  state: (state: RTCPeerConnectionState) => void;
}

export class Down {
  pc: RTCPeerConnection;
  readonly #wires: Wires;
  readonly #streams = new Map<MediaStreamTrack, MediaStream>(); // one for each track, so that nothing is played anew
  readonly #sealed = new WeakSet<RTCRtpReceiver>();
  #work: Promise<unknown> = Promise.resolve();
  #version = 0;

  constructor(wires: Wires) {
    this.#wires = wires;
    this.pc = this.#open();
  }

  /** Whether the node has offered anything yet; it does so as soon as there is a seat. */
  get offeredOnce(): boolean {
    return this.#version > 0;
  }

  #open(): RTCPeerConnection {
    const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    pc.onconnectionstatechange = () => this.#wires.state(pc.connectionState);
    pc.ontrack = ({ receiver }) => this.#seal(receiver);
    return pc;
  }

  /** Answers an offer of the node; an older one is ignored. */
  offered(offer: Offer): Promise<void> {
    const next = this.#work.then(() => this.#take(offer));
    this.#work = next.catch(() => undefined);
    return next;
  }

  close(): void {
    this.pc.onconnectionstatechange = null;
    this.pc.close();
    this.#version = Number.POSITIVE_INFINITY;
  }

  async #take(offer: Offer): Promise<void> {
    if (offer.version <= this.#version) return;
    this.#version = offer.version;
    try {
      await this.pc.setRemoteDescription({ type: 'offer', sdp: offer.sdp });
    } catch {
      // the node began anew (its relay was restarted): so does this side
      this.pc.onconnectionstatechange = null;
      this.pc.close();
      this.pc = this.#open();
      await this.pc.setRemoteDescription({ type: 'offer', sdp: offer.sdp });
    }
    const streams = new Map<string, MediaStream>();
    for (const { mid, receiver } of this.pc.getTransceivers()) {
      this.#seal(receiver);
      const track = offer.tracks.get(mid ?? '');
      if (track) streams.set(keyOf(track.seat, track.source), this.#streamOf(receiver.track));
    }
    const answer = await this.pc.createAnswer();
    await this.pc.setLocalDescription({ type: 'answer', sdp: inStereo(answer.sdp ?? '', offer) });
    this.#wires.streams(streams);
    await this.#wires.answer(offer.version, this.pc.localDescription?.sdp ?? '');
  }

  /** Before the first frame: a transform that comes later may find a receiver that goes its own way already. */
  #seal(receiver: RTCRtpReceiver): void {
    if (this.#sealed.has(receiver)) return;
    this.#sealed.add(receiver);
    seal()?.receives(receiver);
  }

  #streamOf(track: MediaStreamTrack): MediaStream {
    const known = this.#streams.get(track);
    if (known) return known;
    const fresh = new MediaStream([track]);
    this.#streams.set(track, fresh);
    return fresh;
  }
}

/** Browsers play Opus in mono unless their own description asks for more; only the sound of a screen is worth it. */
export function inStereo(sdp: string, { tracks }: Pick<Offer, 'tracks'>): string {
  const [head, ...sections] = sdp.split(/^(?=m=)/m);
  const changed = sections.map((section) => {
    const mid = /^a=mid:(\S+)/m.exec(section)?.[1] ?? '';
    if (tracks.get(mid)?.source !== 'sound' || /stereo=1/.test(section)) return section;
    return section.replace(/^(a=fmtp:\d+ .*useinbandfec=1)/m, '$1;stereo=1');
  });
  return [head, ...changed].join('');
}
