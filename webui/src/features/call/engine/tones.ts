/**
 * Ring tones, made by oscillators: nothing to load, nothing to license. A browser that nobody has touched yet keeps the
 * sound to itself; then the screen has to do, and the tone begins with the first touch.
 */
type Tone = readonly (readonly [atS: number, forS: number, hz: number])[];

const RING: Tone = [
  [0, 0.16, 784],
  [0.18, 0.16, 988],
  [0.36, 0.3, 1175],
  [0.9, 0.16, 784],
  [1.08, 0.16, 988],
  [1.26, 0.3, 1175],
];
const RING_EACH_S = 3;
const BACK: Tone = [[0, 1, 440]];
const BACK_EACH_S = 4;
const END: Tone = [
  [0, 0.12, 440],
  [0.2, 0.12, 330],
];
const JOIN: Tone = [[0, 0.1, 660]];
const LOUD = 0.12;
const EDGE_S = 0.02; // without soft edges a tone clicks

let context: AudioContext | null = null;

function audio(): AudioContext | null {
  if (typeof AudioContext === 'undefined') return null;
  context ??= new AudioContext();
  if (context.state === 'suspended') context.resume().catch(() => undefined);
  return context;
}

function play(tone: Tone): void {
  const to = audio();
  if (to?.state !== 'running') return;
  for (const [at, length, hz] of tone) {
    const from = to.currentTime + at;
    const oscillator = new OscillatorNode(to, { frequency: hz });
    const gain = new GainNode(to, { gain: 0 });
    gain.gain.setValueAtTime(0, from);
    gain.gain.linearRampToValueAtTime(LOUD, from + EDGE_S);
    gain.gain.setValueAtTime(LOUD, from + length - EDGE_S);
    gain.gain.linearRampToValueAtTime(0, from + length);
    oscillator.connect(gain).connect(to.destination);
    oscillator.start(from);
    oscillator.stop(from + length);
    oscillator.onended = () => gain.disconnect();
  }
}

function repeat(tone: Tone, everyS: number, also: () => void = () => undefined): () => void {
  const once = () => {
    play(tone);
    also();
  };
  once();
  const timer = setInterval(once, everyS * 1000);
  return () => clearInterval(timer);
}

/** Until the answer is called. Phones shake as well. */
export function ring(): () => void {
  const stop = repeat(RING, RING_EACH_S, () => navigator.vibrate?.([400, 200, 400]));
  return () => {
    stop();
    navigator.vibrate?.(0);
  };
}

export const ringBack = (): (() => void) => repeat(BACK, BACK_EACH_S);
export const knock = (): (() => void) => repeat(JOIN, RING_EACH_S); // somebody calls during a call
export const ended = (): void => play(END);
export const joined = (): void => play(JOIN);

/** A short tune to hear whether the speaker is the right one; on an element, whose output device can be chosen. */
export async function trySpeaker(sink: string): Promise<void> {
  const to = audio();
  if (!to) return;
  const out = new MediaStreamAudioDestinationNode(to);
  const element = new Audio() as HTMLAudioElement & { setSinkId?: (id: string) => Promise<void> };
  element.srcObject = out.stream;
  await element.setSinkId?.(sink).catch(() => undefined);
  await element.play();
  for (const [at, length, hz] of RING.slice(0, 3)) {
    const oscillator = new OscillatorNode(to, { frequency: hz });
    const gain = new GainNode(to, { gain: LOUD });
    oscillator.connect(gain).connect(out);
    oscillator.start(to.currentTime + at);
    oscillator.stop(to.currentTime + at + length);
  }
  await new Promise((done) => setTimeout(done, 1_000));
  element.pause();
  element.srcObject = null;
}
