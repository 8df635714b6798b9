/** Which pictures this page shows and how large: the node sends what somebody looks at, in the size that fits. */
import type { Participant, Source, Wish } from '../../../core/calling.ts';
import { keyOf } from './down.ts';

const WANT_MS = 300;

export class Wishes {
  readonly #views = new Set<{ key: string; width: number; pinned: boolean }>();
  readonly #others: () => readonly Participant[] | null;
  readonly #tell: (wishes: readonly Wish[]) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #said = '';

  /** `others`: who else is in the call, null while there is no seat in it. */
  constructor(others: () => readonly Participant[] | null, tell: (wishes: readonly Wish[]) => void) {
    this.#others = others;
    this.#tell = tell;
  }

  /** A view shows this track, so many pixels wide, until the answer is called. Two views may overlap while one takes over. */
  shows(key: string, width: number, pinned = false): () => void {
    const view = { key, width: Math.min(8192, Math.round(width)), pinned };
    this.#views.add(view);
    this.wish();
    return () => {
      this.#views.delete(view);
      this.wish();
    };
  }

  /** Tells the node, at most every so often, how large each picture is shown; what nobody looks at need not come. */
  wish(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const others = this.#others();
      if (!others) return;
      const wishes = others.flatMap(({ seat, camera, screen }) => [
        ...(camera ? [this.#wishOf(seat, 'camera')] : []),
        ...(screen ? [this.#wishOf(seat, 'screen')] : []),
      ]);
      const said = JSON.stringify(wishes);
      if (said === this.#said) return;
      this.#said = said;
      this.#tell(wishes);
    }, WANT_MS);
  }

  #wishOf(seat: string, source: Source): Wish {
    const views = [...this.#views].filter(({ key }) => key === keyOf(seat, source));
    const width = Math.max(0, ...views.map((view) => view.width));
    return { seat, source, width, pinned: views.some(({ pinned }) => pinned) };
  }

  /** The node has forgotten what was said. */
  again(): void {
    this.#said = '';
    this.wish();
  }

  close(): void {
    clearTimeout(this.#timer);
  }
}
