/**
 * What this device sends: one peer connection to the own node, which this side offers. Each source has one m-line that is
 * kept for ever; muting, the camera's switch and another device are `replaceTrack`, only a new source and a screen that
 * ends are told to the node by a new offer. Changes happen one after the other.
 */
import type { Source } from '../../../core/calling.ts';
import { lines } from './devices.ts';
import { seal } from './seal.ts';

interface Wires {
  /** The node's answer to an offer; `sources` by mid. */
  send: (sdp: string, sources: Record<string, Source>) => Promise<string>;
  state: (state: RTCPeerConnectionState) => void;
}

const KBPS = 1000;
// media.md section 7: three sizes, so that each reader gets what fits
const LAYERS: Readonly<Record<typeof lines.value, RTCRtpEncodingParameters[]>> = {
  '720': [
    { rid: 'q', scaleResolutionDownBy: 4, maxBitrate: 150 * KBPS },
    { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 500 * KBPS },
    { rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 1_700 * KBPS },
  ],
  '360': [
    { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 150 * KBPS },
    { rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 600 * KBPS },
  ],
};
const ENDING: ReadonlySet<Source> = new Set<Source>(['screen', 'sound']); // their m-line rests between two uses

const encodingsOf = (source: Source): RTCRtpEncodingParameters[] =>
  source === 'camera'
    ? LAYERS[lines.value]
    : source === 'screen'
      ? [{ maxBitrate: 2_500 * KBPS, maxFramerate: 15 }]
      : [{ maxBitrate: (source === 'sound' ? 96 : 40) * KBPS }];

export class Up {
  readonly pc: RTCPeerConnection;
  readonly #wires: Wires;
  readonly #places = new Map<Source, RTCRtpTransceiver>();
  #work: Promise<unknown> = Promise.resolve();
  #dirty = false;

  constructor(wires: Wires) {
    this.#wires = wires;
    this.pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    this.pc.onconnectionstatechange = () => wires.state(this.pc.connectionState);
  }

  /** Sends this track as `source` from now on; null: nothing. */
  put(source: Source, track: MediaStreamTrack | null): Promise<void> {
    return this.#run(async () => {
      await this.#place(source, track);
      if (this.#dirty) await this.#negotiate(false);
    });
  }

  /** The first offer: all sources at once. There is always a place for a microphone, used or not. */
  start(tracks: ReadonlyMap<Source, MediaStreamTrack | null>): Promise<void> {
    return this.#run(async () => {
      for (const [source, track] of tracks) await this.#place(source, track);
      await this.#negotiate(false);
    });
  }

  /** New ICE credentials: the network changed, or consent was lost. */
  restart(): Promise<void> {
    return this.offerAgain(true);
  }

  /** The same once more, to hear whether the node still has the seat. */
  offerAgain(iceRestart: boolean): Promise<void> {
    return this.#run(() => this.#negotiate(iceRestart));
  }

  /** Only so many layers of each source, the lowest: nobody looks at the others. A source that is not named is sent whole. */
  sendsOnly(layers: ReadonlyMap<Source, number>): void {
    void this.#run(async () => {
      for (const [source, { sender }] of this.#places) {
        const parameters = sender.getParameters();
        const wanted = parameters.encodings.map((_, place) => place < (layers.get(source) ?? Infinity));
        if (parameters.encodings.every(({ active }, place) => (active ?? true) === wanted[place])) continue;
        for (const [place, encoding] of parameters.encodings.entries()) encoding.active = wanted[place] ?? true;
        await sender.setParameters(parameters);
      }
    }).catch((error) => console.info('startalk: what is sent of a call could not be changed', error));
  }

  close(): void {
    this.pc.onconnectionstatechange = null;
    this.pc.close();
  }

  #run(step: () => Promise<void>): Promise<void> {
    const next = this.#work.then(() => (this.pc.signalingState === 'closed' ? undefined : step()));
    this.#work = next.catch(() => undefined);
    return next;
  }

  async #place(source: Source, track: MediaStreamTrack | null): Promise<void> {
    const place = this.#places.get(source);
    if (!place) {
      if (!track && source !== 'mic') return;
      const kind = source === 'mic' || source === 'sound' ? 'audio' : 'video';
      const fresh = this.pc.addTransceiver(track ?? kind, {
        direction: 'sendonly',
        sendEncodings: encodingsOf(source),
      });
      seal()?.sends(fresh.sender, source);
      this.#places.set(source, fresh);
      this.#dirty = true;
      return;
    }
    await place.sender.replaceTrack(track);
    const direction = track || !ENDING.has(source) ? 'sendonly' : 'inactive';
    if (place.direction !== direction) {
      place.direction = direction;
      this.#dirty = true;
    }
  }

  async #negotiate(iceRestart: boolean): Promise<void> {
    this.#dirty = false;
    await this.pc.setLocalDescription(await this.pc.createOffer({ iceRestart }));
    const sources: Record<string, Source> = {};
    for (const [source, { mid, direction }] of this.#places)
      if (mid !== null && direction === 'sendonly') sources[mid] = source;
    try {
      const sdp = await this.#wires.send(this.pc.localDescription?.sdp ?? '', sources);
      await this.pc.setRemoteDescription({ type: 'answer', sdp });
    } catch (error) {
      this.#dirty = true;
      if (this.pc.signalingState === 'have-local-offer') await this.pc.setLocalDescription({ type: 'rollback' });
      throw error;
    }
  }
}
