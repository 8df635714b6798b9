/**
 * Microphones, cameras, speakers and screens of this machine: which ones there are, which one the user prefers (kept in
 * this browser), and why one cannot be used, as a word that the views have a sentence for.
 */
import { signal } from '@preact/signals';

export type Kind = 'mic' | 'camera' | 'speaker';
/** insecure: no https · denied: the user or a policy said no · none: not there · busy: another program has it. */
export type Why = 'insecure' | 'denied' | 'none' | 'busy';

export class DeviceTrouble extends Error {
  readonly kind: 'mic' | 'camera' | 'screen';
  readonly why: Why;
  constructor(kind: 'mic' | 'camera' | 'screen', why: Why) {
    super(`${kind}: ${why}`);
    this.kind = kind;
    this.why = why;
  }
}

/** How large the own camera is sent at most: lines of the picture. */
export type Lines = '360' | '720';
const KEPT: Readonly<Record<Kind | 'lines', string>> = {
  mic: 'startalk.call.mic',
  camera: 'startalk.call.camera',
  speaker: 'startalk.call.speaker',
  lines: 'startalk.call.lines',
};

const kept = (name: keyof typeof KEPT): string => localStorage.getItem(KEPT[name]) ?? '';
export const preferred = {
  mic: signal(kept('mic')),
  camera: signal(kept('camera')),
  speaker: signal(kept('speaker')),
};
export const lines = signal<Lines>(kept('lines') === '360' ? '360' : '720');

export function prefer(kind: Kind, id: string): void {
  preferred[kind].value = id;
  localStorage.setItem(KEPT[kind], id);
}

export function preferLines(value: Lines): void {
  lines.value = value;
  localStorage.setItem(KEPT.lines, value);
}

/** Calls need a secure page: without one the browser has no cameras at all. */
export const isSecure = (): boolean => Boolean(navigator.mediaDevices?.getUserMedia);
export const canShare = (): boolean => Boolean(navigator.mediaDevices?.getDisplayMedia);
export const canChooseSpeaker = (): boolean => 'setSinkId' in HTMLMediaElement.prototype;

export interface Device {
  readonly id: string;
  readonly label: string;
}

const KINDS: Readonly<Record<Kind, MediaDeviceKind>> = {
  mic: 'audioinput',
  camera: 'videoinput',
  speaker: 'audiooutput',
};

/** What can be chosen. Browsers tell names only after the first permission. */
export async function listDevices(): Promise<Readonly<Record<Kind, readonly Device[]>>> {
  const all = isSecure() ? await navigator.mediaDevices.enumerateDevices() : [];
  const of = (kind: Kind) =>
    all
      .filter((one) => one.kind === KINDS[kind] && one.deviceId && one.deviceId !== 'communications')
      .map(({ deviceId, label }) => ({ id: deviceId, label }));
  return { mic: of('mic'), camera: of('camera'), speaker: of('speaker') };
}

/**
 * What is asked of the browser: the device with this id, or without one whichever it likes, in front of the user. An id as a mere wish
 * loses against a better picture or another side of a telephone, so it is asked for as a must.
 */
function wishFor(kind: 'mic' | 'camera', id: string): MediaStreamConstraints {
  const device = id ? { deviceId: { exact: id } } : {};
  if (kind === 'mic')
    return { audio: { ...device, echoCancellation: true, noiseSuppression: true, autoGainControl: true } };
  const side = id ? {} : { facingMode: 'user' };
  return { video: { ...device, ...side, ...SIZES[lines.value], frameRate: { ideal: 30 } } };
}

const SIZES: Readonly<Record<Lines, MediaTrackConstraints>> = {
  '360': { width: { ideal: 640 }, height: { ideal: 360 } },
  '720': { width: { ideal: 1280 }, height: { ideal: 720 } },
};

/** An open microphone or camera: the preferred one, another one when that is not there any more. Throws DeviceTrouble. */
export async function openDevice(kind: 'mic' | 'camera'): Promise<MediaStreamTrack> {
  if (!isSecure()) throw new DeviceTrouble(kind, 'insecure');
  const open = (id: string) => navigator.mediaDevices.getUserMedia(wishFor(kind, id));
  const id = preferred[kind].value;
  try {
    const stream = await open(id).catch((error) => (id && whyOf(error) === 'none' ? open('') : Promise.reject(error)));
    const track = stream.getTracks()[0];
    if (!track) throw new DOMException('', 'NotFoundError');
    return track;
  } catch (error) {
    throw new DeviceTrouble(kind, whyOf(error));
  }
}

/** Picture and, if the user shares it, sound of a screen, window or tab. Null when they changed their mind. */
export async function openScreen(): Promise<{ picture: MediaStreamTrack; sound: MediaStreamTrack | null } | null> {
  if (!canShare()) throw new DeviceTrouble('screen', isSecure() ? 'none' : 'insecure');
  try {
    const stream = await navigator.mediaDevices.getDisplayMedia({
      video: { width: { max: 1920 }, height: { max: 1080 }, frameRate: { ideal: 15, max: 30 } },
      audio: true,
    });
    const picture = stream.getVideoTracks()[0];
    if (!picture) return null;
    picture.contentHint = 'detail';
    return { picture, sound: stream.getAudioTracks()[0] ?? null };
  } catch (error) {
    // the same name says that the user closed the chooser and that the system forbids it; a sentence helps only then
    if (whyOf(error) === 'denied' && !/system/i.test(String((error as Error).message))) return null;
    throw new DeviceTrouble('screen', whyOf(error));
  }
}

export function whyOf(error: unknown): Why {
  const name = error instanceof Error || error instanceof DOMException ? error.name : '';
  if (name === 'NotAllowedError') return 'denied';
  if (name === 'SecurityError' || name === 'TypeError') return 'insecure';
  return name === 'NotFoundError' || name === 'OverconstrainedError' ? 'none' : 'busy';
}
