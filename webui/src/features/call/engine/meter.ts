/** How loud a microphone is, 0 to 1. It listens to a copy of the track, so it also hears a muted one. */
const EACH_MS = 80;
const FLOOR_DB = -60;

export class Meter {
  readonly #copy: MediaStreamTrack;
  readonly #context: AudioContext;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(track: MediaStreamTrack, heard: (level: number) => void) {
    this.#copy = track.clone();
    this.#copy.enabled = true;
    this.#context = new AudioContext();
    const analyser = new AnalyserNode(this.#context, { fftSize: 1024 });
    new MediaStreamAudioSourceNode(this.#context, { mediaStream: new MediaStream([this.#copy]) }).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    this.#timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      heard(levelOf(samples));
    }, EACH_MS);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#copy.stop();
    this.#context.close().catch(() => undefined);
  }
}

export function levelOf(samples: Float32Array): number {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const db = 10 * Math.log10(sum / samples.length + 1e-12);
  return Math.max(0, Math.min(1, 1 - db / FLOOR_DB));
}
