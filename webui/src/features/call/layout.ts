/** Where the pictures of a call go. Pure. */
import type { Participant, Source } from '../../core/calling.ts';

export interface Box {
  readonly width: number;
  readonly height: number;
}

const WIDEST = 16 / 9;
const TALLEST = 3 / 4;
const SQUARE = 1; // on a wide stage a tall tile would show less than half of a wide picture

/** The size of each of `n` equal tiles and the columns they stand in. A face is as large as the shorter side of its tile. */
export function gridOf(n: number, { width, height }: Box, gap: number): { columns: number } & Box {
  const tallest = width > height ? SQUARE : TALLEST;
  let best = { columns: 1, width: 0, height: 0 };
  for (let columns = 1; columns <= n; columns++) {
    const rows = Math.ceil(n / columns);
    const w = Math.max(0, (width - gap * (columns - 1)) / columns);
    const h = Math.max(0, (height - gap * (rows - 1)) / rows);
    const tile = { columns, width: Math.floor(Math.min(w, h * WIDEST)), height: Math.floor(Math.min(h, w / tallest)) };
    if (faceIn(tile) > faceIn(best)) best = tile;
  }
  return best;
}

// a little in favour of wide tiles, so that a line of text below does not turn a grid into a row; then the larger one
const faceIn = ({ width, height }: Box): number => Math.min(width, height * 1.1) + (width * height) / 1e9;

/** One picture: somebody's camera (or face while it is off), or a screen. */
export interface Place {
  readonly key: string; // seat/source
  readonly source: Source;
  readonly who: Participant;
  readonly mine: boolean;
}

/** Screens first, then people in the order in which they came; oneself last. */
export function placesOf(participants: readonly Participant[], mySeat: string): Place[] {
  const sorted = [...participants].sort((a, b) => a.joinedMs - b.joinedMs || (a.seat < b.seat ? -1 : 1));
  const of = (who: Participant, source: Source): Place => ({
    key: `${who.seat}/${source}`,
    source,
    who,
    mine: who.seat === mySeat,
  });
  const screens = sorted.filter(({ screen }) => screen).map((who) => of(who, 'screen'));
  const people = sorted.map((who) => of(who, 'camera'));
  return [...screens, ...people.filter(({ mine }) => !mine), ...people.filter(({ mine }) => mine)];
}

/** The large picture of the speaker view: what was pinned, else a screen, else who speaks or spoke last, else anybody. */
export function mainOf(places: readonly Place[], pinned: string, speaker: string): Place | undefined {
  return (
    places.find(({ key }) => key === pinned) ??
    places.find(({ source, mine }) => source === 'screen' && !mine) ??
    places.find(({ who, source, mine }) => source === 'camera' && !mine && who.seat === speaker) ??
    places.find(({ mine, source }) => !mine && source === 'camera') ??
    places[0]
  );
}

export type View = 'grid' | 'speaker' | 'pair';

/** Two people see each other large; a screen wants to be large; otherwise everybody is the same. */
export function viewOf(chosen: '' | 'grid' | 'speaker', places: readonly Place[]): View {
  const people = places.filter(({ source }) => source === 'camera').length;
  const screens = places.length - people;
  if (chosen === 'speaker') return people < 2 && !screens ? 'grid' : 'speaker';
  if (chosen === 'grid') return 'grid';
  return screens ? 'speaker' : people === 2 ? 'pair' : 'grid';
}
