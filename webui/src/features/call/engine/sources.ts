/**
 * What this device gives to a call: microphone, camera and screen, opened and let go, muted, exchanged for another device,
 * and why one of them cannot be had. Knows no node: `Wires` says what to do with a track.
 */
import { signal } from '@preact/signals';
import type { Source } from '../../../core/calling.ts';
import { DeviceTrouble, openDevice, openScreen, type Why } from './devices.ts';
import { Meter } from './meter.ts';

const SPEAKING = 0.55; // level of somebody who talks into the microphone
const LOUD_MS = 4_000;

interface Wires {
  /** Sends this track as `source` from now on; null: nothing. */
  put: (source: Source, track: MediaStreamTrack | null) => Promise<void>;
  /** What is sent or shown is different now. */
  changed: () => void;
  /** Something that is not a device failed. */
  failed: (error: unknown) => void;
  live: () => boolean;
  over: () => boolean;
}

export class Sources {
  readonly mic = signal(false);
  readonly camera = signal(false);
  readonly screen = signal(false);
  readonly talking = signal(false); // holds the key of push-to-talk
  readonly loud = signal(false); // talks while muted
  readonly trouble = signal<{ kind: 'mic' | 'camera' | 'screen'; why: Why } | null>(null);
  readonly preview = signal<MediaStream | null>(null);
  readonly shared = signal<MediaStream | null>(null);
  readonly tracks = new Map<Source, MediaStreamTrack>();
  readonly #wires: Wires;
  #meter: Meter | null = null;
  #loudTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(wires: Wires) {
    this.#wires = wires;
  }

  /** Whether the microphone is open, by its switch or by the key that is held. */
  get speaks(): boolean {
    return (this.mic.value || this.talking.value) && this.tracks.has('mic');
  }

  /** Opens the preferred device, in place of the one there was. Throws DeviceTrouble. */
  async open(source: 'mic' | 'camera'): Promise<void> {
    const track = await openDevice(source);
    this.tracks.get(source)?.stop();
    this.tracks.set(source, track);
    track.onended = () => this.#unplugged(source, track);
    if (source === 'camera') this.preview.value = new MediaStream([track]);
    else this.#listen(track);
  }

  /** Tells whoever talks while muted. */
  #listen(track: MediaStreamTrack): void {
    this.#meter?.close();
    this.#meter = new Meter(track, (level) => {
      if (!this.#wires.live() || this.mic.value || this.talking.value || level < SPEAKING) return;
      this.loud.value = true;
      clearTimeout(this.#loudTimer);
      this.#loudTimer = setTimeout(() => {
        this.loud.value = false;
      }, LOUD_MS);
    });
  }

  #unplugged(source: 'mic' | 'camera', track: MediaStreamTrack): void {
    if (this.tracks.get(source) !== track) return;
    this.tracks.delete(source);
    if (source === 'camera') this.#cameraOff();
    else {
      this.mic.value = false;
      void this.#wires.put('mic', null);
    }
    this.trouble.value = { kind: source, why: 'none' };
    this.#wires.changed();
  }

  /** Opens or closes the microphone. What flows while it is closed is silence, so that opening needs no word of the node. */
  async setMic(on: boolean): Promise<void> {
    this.trouble.value = null;
    if (on && !this.tracks.has('mic')) {
      try {
        await this.open('mic');
      } catch (error) {
        this.troubled(error);
        return;
      }
      if (this.#gone()) return;
      void this.#wires.put('mic', this.tracks.get('mic') ?? null);
    }
    this.mic.value = on;
    this.loud.value = false;
    this.#wires.changed();
  }

  /** Push-to-talk: open while the key is held. */
  hold(on: boolean): void {
    if (on === this.talking.value || (on && (this.mic.value || !this.tracks.has('mic')))) return;
    this.talking.value = on;
    this.#wires.changed();
  }

  async setCamera(on: boolean): Promise<void> {
    this.trouble.value = null;
    if (!on) {
      this.#cameraOff();
      this.#wires.changed();
      return;
    }
    try {
      await this.open('camera');
    } catch (error) {
      this.troubled(error);
      return;
    }
    if (this.#gone()) return;
    this.camera.value = true;
    await this.#wires.put('camera', this.tracks.get('camera') ?? null);
    this.#wires.changed();
  }

  #cameraOff(): void {
    this.tracks.get('camera')?.stop();
    this.tracks.delete('camera');
    this.preview.value = null;
    this.camera.value = false;
    void this.#wires.put('camera', null);
  }

  /** Another microphone or camera was chosen while the call goes on. */
  async switchDevice(kind: 'mic' | 'camera'): Promise<void> {
    this.trouble.value = null;
    const had = this.tracks.has(kind);
    if (!had && kind === 'camera') return;
    try {
      // a camera that one device holds may be refused to a second open: let go first
      if (kind === 'camera') this.tracks.get('camera')?.stop();
      await this.open(kind);
    } catch (error) {
      this.troubled(error);
      if (kind === 'camera') this.#cameraOff();
      return;
    }
    if (this.#gone()) return;
    this.gate();
    await this.#wires.put(kind, this.tracks.get(kind) ?? null);
  }

  async setScreen(on: boolean): Promise<void> {
    this.trouble.value = null;
    if (!on) {
      this.#screenOff();
      return;
    }
    try {
      const opened = await openScreen();
      if (!opened) return;
      this.tracks.set('screen', opened.picture);
      if (opened.sound) this.tracks.set('sound', opened.sound);
      opened.picture.onended = () => this.#screenOff(); // "stop sharing" of the browser itself
      if (this.#gone()) return;
      this.shared.value = new MediaStream([opened.picture]);
    } catch (error) {
      this.troubled(error);
      return;
    }
    this.screen.value = true;
    await this.#wires.put('screen', this.tracks.get('screen') ?? null);
    if (this.tracks.has('sound')) await this.#wires.put('sound', this.tracks.get('sound') ?? null);
    this.#wires.changed();
  }

  #screenOff(): void {
    for (const source of ['screen', 'sound'] as const) {
      this.tracks.get(source)?.stop();
      if (this.tracks.delete(source)) void this.#wires.put(source, null);
    }
    this.shared.value = null;
    this.screen.value = false;
    this.#wires.changed();
  }

  /** Silence, not nothing, flows while the microphone is closed. */
  gate(): void {
    const track = this.tracks.get('mic');
    if (track) track.enabled = this.mic.value || this.talking.value;
  }

  /** A device that cannot be had is told of; anything else ends the call. */
  troubled(error: unknown): void {
    if (error instanceof DeviceTrouble) this.trouble.value = { kind: error.kind, why: error.why };
    else this.#wires.failed(error);
  }

  /** The call ended while a device was being opened: let go of it. */
  #gone(): boolean {
    if (!this.#wires.over()) return false;
    this.release();
    return true;
  }

  /** Nothing is shown any more. */
  hide(): void {
    this.preview.value = this.shared.value = null;
    this.screen.value = this.camera.value = false;
  }

  /** Lets go of every device. */
  release(): void {
    for (const track of this.tracks.values()) {
      track.onended = null;
      track.stop();
    }
    this.tracks.clear();
    clearTimeout(this.#loudTimer);
    this.#meter?.close();
    this.#meter = null;
  }
}
