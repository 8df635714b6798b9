/**
 * What a call needs of a browser, without sound or picture: connections that are connected as soon as both descriptions
 * are there, tracks that can be stopped, and devices that are there or refuse.
 */
export class FakeTrack extends EventTarget {
  enabled = true;
  readyState = 'live';
  contentHint = '';
  onended: (() => void) | null = null;
  readonly kind: string;
  constructor(kind: string) {
    super();
    this.kind = kind;
  }
  stop(): void {
    this.readyState = 'ended';
  }
  clone(): FakeTrack {
    return new FakeTrack(this.kind);
  }
}

class FakeStream {
  readonly #tracks: FakeTrack[];
  constructor(tracks: FakeTrack[]) {
    this.#tracks = tracks;
  }
  getTracks = (): FakeTrack[] => this.#tracks;
  getVideoTracks = (): FakeTrack[] => this.#tracks.filter(({ kind }) => kind === 'video');
  getAudioTracks = (): FakeTrack[] => this.#tracks.filter(({ kind }) => kind === 'audio');
}

interface FakeTransceiver {
  mid: string | null;
  direction: string;
  sender: { track: FakeTrack | null; replaceTrack: (track: FakeTrack | null) => Promise<void> };
  receiver: { track: FakeTrack };
}

export class FakePeer {
  static readonly all: FakePeer[] = [];
  connectionState = 'new';
  signalingState = 'stable';
  localDescription: { type: string; sdp: string } | null = null;
  remoteDescription: { type: string; sdp: string } | null = null;
  onconnectionstatechange: (() => void) | null = null;
  readonly transceivers: FakeTransceiver[] = [];
  restarts = 0;
  constructor() {
    FakePeer.all.push(this);
  }
  addTransceiver(what: FakeTrack | string, { direction }: { direction: string }): FakeTransceiver {
    const sender = {
      track: typeof what === 'string' ? null : what,
      replaceTrack: async (track: FakeTrack | null) => {
        sender.track = track;
      },
    };
    const made: FakeTransceiver = { mid: null, direction, sender, receiver: { track: new FakeTrack('audio') } };
    this.transceivers.push(made);
    return made;
  }
  getTransceivers = (): FakeTransceiver[] => this.transceivers;
  async createOffer({ iceRestart }: { iceRestart: boolean }): Promise<{ type: string; sdp: string }> {
    if (iceRestart) this.restarts += 1;
    return { type: 'offer', sdp: `offer ${this.restarts}` };
  }
  createAnswer = async (): Promise<{ type: string; sdp: string }> => ({ type: 'answer', sdp: 'answer' });
  async setLocalDescription(description: { type: string; sdp: string }): Promise<void> {
    this.signalingState = description.type === 'offer' ? 'have-local-offer' : 'stable';
    if (description.type === 'rollback') return;
    this.localDescription = description;
    for (const [i, one] of this.transceivers.entries()) one.mid ??= String(i);
    if (description.type === 'answer') this.become('connected');
  }
  async setRemoteDescription(description: { type: string; sdp: string }): Promise<void> {
    if (description.sdp === 'broken') throw new Error('not for this connection');
    this.remoteDescription = description;
    this.signalingState = 'stable';
    if (description.type === 'answer') this.become('connected');
    else
      for (const mid of description.sdp.split(' ').slice(1))
        if (!this.transceivers.some((one) => one.mid === mid))
          this.transceivers.push({
            mid,
            direction: 'recvonly',
            sender: { track: null, replaceTrack: async () => undefined },
            receiver: { track: new FakeTrack('audio') },
          });
  }
  become(state: string): void {
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }
  close(): void {
    this.connectionState = 'closed';
    this.signalingState = 'closed';
  }
}

class FakeNodeOfSound {
  state = 'running';
  currentTime = 0;
  destination = {};
  connect = (): this => this;
  close = async (): Promise<void> => undefined;
  resume = async (): Promise<void> => undefined;
  start = (): void => undefined;
  stop = (): void => undefined;
  disconnect = (): void => undefined;
  gain = { setValueAtTime: () => undefined, linearRampToValueAtTime: () => undefined };
  getFloatTimeDomainData(samples: Float32Array): void {
    samples.fill(0);
  }
  get fftSize(): number {
    return 32;
  }
}

class FakeAudio {
  srcObject: unknown = null;
  autoplay = false;
  play = async (): Promise<void> => undefined;
  pause = (): void => undefined;
  setSinkId = async (): Promise<void> => undefined;
}

/** Puts the above in the place of what a browser has. `refuse` names why a device cannot be opened. */
export function fakeMedia(): { refuse: Partial<Record<'audio' | 'video', string>>; opened: FakeTrack[] } {
  const world = { refuse: {} as Partial<Record<'audio' | 'video', string>>, opened: [] as FakeTrack[] };
  const open = (kind: 'audio' | 'video'): FakeStream => {
    const why = world.refuse[kind];
    if (why) throw new DOMException('no', why);
    const track = new FakeTrack(kind);
    world.opened.push(track);
    return new FakeStream([track]);
  };
  FakePeer.all.length = 0;
  Object.assign(globalThis, {
    RTCPeerConnection: FakePeer,
    MediaStream: FakeStream,
    AudioContext: FakeNodeOfSound,
    AnalyserNode: FakeNodeOfSound,
    OscillatorNode: FakeNodeOfSound,
    GainNode: FakeNodeOfSound,
    MediaStreamAudioSourceNode: FakeNodeOfSound,
    Audio: FakeAudio,
  });
  Object.defineProperty(navigator, 'mediaDevices', {
    configurable: true,
    value: {
      getUserMedia: async (wanted: MediaStreamConstraints) => open(wanted.audio ? 'audio' : 'video'),
      getDisplayMedia: async () => open('video'),
      enumerateDevices: async () => [],
    },
  });
  return world;
}
