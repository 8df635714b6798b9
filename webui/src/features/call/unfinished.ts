/** The call this page was in when it was loaded anew, or when the browser ended: it may come back to its old seat. */
import type { Media } from '../../core/calling.ts';

export interface Unfinished {
  readonly call: string;
  readonly seat: string;
  readonly room: string;
  readonly media: Media;
}

const PLACE = 'startalk.call'; // in the session storage: another tab has another call

export const remember = (what: Unfinished): void => sessionStorage.setItem(PLACE, JSON.stringify(what));
export const forget = (): void => sessionStorage.removeItem(PLACE);

export function unfinished(): Unfinished | null {
  try {
    const kept = JSON.parse(sessionStorage.getItem(PLACE) ?? 'null') as Partial<Unfinished> | null;
    const { call, seat, room, media } = kept ?? {};
    if (typeof call !== 'string' || typeof seat !== 'string' || typeof room !== 'string') return null;
    return { call, seat, room, media: media === 'video' ? 'video' : 'audio' };
  } catch {
    return null;
  }
}
