/**
 * Frames of calls, part of startalk.c2s.1 (node/wire/calling.py). A call, a seat and a room are ids as text here. A
 * track is named by its seat and its source; what the node tells of a call is its full state with a rising `version`.
 */
import { fromText } from './bytes.ts';
import { Broken, id, list, num, type Raw, str } from './raw.ts';

export type Source = 'mic' | 'camera' | 'screen' | 'sound';
export type Media = 'audio' | 'video';

/** How one track of somebody is wanted: at most `width` pixels wide, 0 = not now. */
export interface Wish {
  readonly seat: string;
  readonly source: Source;
  readonly width: number;
  readonly pinned: boolean;
}

export type ClientCallFrame =
  | { t: 'call_start'; n: number; room: string; media: Media; targets: readonly string[] }
  | { t: 'call_ringing'; call: string }
  | { t: 'call_join'; n: number; call: string; seat: string }
  | { t: 'call_decline'; n: number; call: string; busy: boolean }
  | { t: 'call_leave'; n: number; call: string; seat: string; everybody: boolean }
  | { t: 'call_remove'; n: number; call: string; seat: string; mute: boolean }
  | { t: 'call_up'; n: number; call: string; seat: string; sdp: string; sources: Readonly<Record<string, Source>> }
  | { t: 'call_down'; n: number; call: string; seat: string; version: number; sdp: string }
  | { t: 'call_restart'; call: string; seat: string }
  | { t: 'call_state'; call: string; seat: string; mic: boolean; camera: boolean; screen: boolean; hand: boolean }
  | { t: 'call_want'; call: string; seat: string; wishes: readonly Wish[] };

/** One seat. `muted`: by a moderator, until its device opens the microphone again. */
export interface Participant {
  readonly seat: string;
  readonly user: string;
  readonly state: string; // connecting, live, reconnecting
  readonly mic: boolean;
  readonly camera: boolean;
  readonly screen: boolean;
  readonly hand: boolean;
  readonly muted: boolean;
  readonly joinedMs: number;
}

/** Somebody who was called and has no seat: invited, ringing, declined, busy, missed, unreachable. */
export interface Invited {
  readonly user: string;
  readonly state: string;
}

export interface Roster {
  readonly t: 'call_roster';
  readonly call: string;
  readonly room: string;
  readonly version: number;
  readonly media: Media;
  readonly by: string;
  readonly state: string; // ringing, live
  readonly startedMs: number;
  readonly participants: readonly Participant[];
  readonly invited: readonly Invited[];
}

export interface Ring {
  readonly t: 'ring';
  readonly call: string;
  readonly room: string;
  readonly by: string;
  readonly media: Media;
  readonly expiresMs: number;
}

export interface Seat {
  readonly t: 'call_seat';
  readonly n: number;
  readonly call: string;
  readonly seat: string;
  readonly room: string;
  readonly reconnectS: number;
  readonly video: boolean;
}

export interface Offer {
  readonly t: 'call_offer';
  readonly call: string;
  readonly seat: string;
  readonly version: number;
  readonly sdp: string;
  readonly tracks: ReadonlyMap<string, { readonly seat: string; readonly source: Source }>; // by mid
}

/** Loss in per mille, rates in kbit/s, -1 where nothing is known. `level` 0 (bad) to 3 (good). */
export interface Quality {
  readonly t: 'call_quality';
  readonly call: string;
  readonly seat: string;
  readonly level: number;
  readonly upLoss: number;
  readonly upKbps: number;
  readonly downLoss: number;
  readonly downKbps: number;
  readonly rttMs: number;
  readonly audioOnly: boolean;
  readonly layers: ReadonlyMap<Source, number>; // of each own source, lowest first: the others are looked at by nobody
}

export interface Over {
  readonly t: 'call_over';
  readonly call: string;
  readonly room: string;
  readonly reason: string;
}

export type NodeCallFrame =
  | Seat
  | { readonly t: 'call_sdp'; readonly n: number; readonly sdp: string }
  | Offer
  | Ring
  | Roster
  | Over
  | { readonly t: 'call_speakers'; readonly call: string; readonly seats: readonly string[] }
  | Quality;

// --- device -> node ------------------------------------------------------------------------------------

export function callFrameAsArray(frame: ClientCallFrame): unknown[] {
  const call = 'call' in frame ? fromText(frame.call) : null;
  const seat = 'seat' in frame ? fromText(frame.seat) : null;
  switch (frame.t) {
    case 'call_start':
      return [frame.t, frame.n, fromText(frame.room), frame.media, frame.targets];
    case 'call_ringing':
      return [frame.t, call];
    case 'call_join':
      return [frame.t, frame.n, call, seat];
    case 'call_decline':
      return [frame.t, frame.n, call, frame.busy];
    case 'call_leave':
      return [frame.t, frame.n, call, seat, frame.everybody];
    case 'call_remove':
      return [frame.t, frame.n, call, seat, frame.mute];
    case 'call_up':
      return [frame.t, frame.n, call, seat, frame.sdp, frame.sources];
    case 'call_down':
      return [frame.t, frame.n, call, seat, frame.version, frame.sdp];
    case 'call_restart':
      return [frame.t, call, seat];
    case 'call_state':
      return [frame.t, call, seat, frame.mic, frame.camera, frame.screen, frame.hand];
    case 'call_want':
      return [
        frame.t,
        call,
        seat,
        frame.wishes.map((wish) => [fromText(wish.seat), wish.source, wish.width, wish.pinned]),
      ];
  }
}

// --- node -> device ------------------------------------------------------------------------------------

const SOURCES: ReadonlySet<string> = new Set(['mic', 'camera', 'screen', 'sound']);
const media = (value: unknown): Media => (value === 'video' ? 'video' : 'audio');

/** Null for a frame that is none of these. */
export function decodeCallFrame([name, a, b, c, d, e, f, g, h, i, j]: Raw): NodeCallFrame | null {
  switch (name) {
    case 'call_seat':
      return {
        t: name,
        n: num(a),
        call: id(b),
        seat: id(c),
        room: id(d),
        reconnectS: num(e),
        video: f !== false,
      };
    case 'call_sdp':
      return { t: name, n: num(a), sdp: str(b) };
    case 'call_offer':
      return { t: name, call: id(a), seat: id(b), version: num(c), sdp: str(d), tracks: tracks(e) };
    case 'ring':
      return { t: name, call: id(a), room: id(b), by: str(c), media: media(d), expiresMs: num(e) };
    case 'call_roster':
      return {
        t: name,
        call: id(a),
        room: id(b),
        version: num(c),
        media: media(d),
        by: str(e),
        state: str(f),
        startedMs: num(g),
        participants: list(h).map(participant),
        invited: list(i).map(invited),
      };
    case 'call_over':
      return { t: name, call: id(a), room: id(b), reason: str(c) };
    case 'call_speakers':
      return { t: name, call: id(a), seats: list(b).map(id) };
    case 'call_quality':
      return {
        t: name,
        call: id(a),
        seat: id(b),
        level: num(c),
        upLoss: num(d),
        upKbps: num(e),
        downLoss: num(f),
        downKbps: num(g),
        rttMs: num(h),
        audioOnly: i === true,
        layers: layers(j),
      };
    default:
      return null;
  }
}

function tracks(value: unknown): Offer['tracks'] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Broken('a map was expected');
  const known = Object.entries(value).flatMap(([mid, item]) => {
    const [seat, source] = list(item);
    return SOURCES.has(str(source)) ? [[mid, { seat: id(seat), source: source as Source }] as const] : [];
  });
  return new Map(known);
}

function layers(value: unknown): Quality['layers'] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return new Map();
  const known = Object.entries(value).flatMap(([source, count]) =>
    SOURCES.has(source) ? [[source as Source, num(count)] as const] : [],
  );
  return new Map(known);
}

function participant(value: unknown): Participant {
  const [seat, user, state, mic, camera, screen, hand, muted, joined] = list(value);
  return {
    seat: id(seat),
    user: str(user),
    state: str(state),
    mic: mic === true,
    camera: camera === true,
    screen: screen === true,
    hand: hand === true,
    muted: muted === true,
    joinedMs: num(joined),
  };
}

function invited(value: unknown): Invited {
  const [user, state] = list(value);
  return { user: str(user), state: str(state) };
}
