/** How high rows of a timeline are taken to be before they are there, and what holds the reader's place. */
import { Virtualizer } from '@tanstack/virtual-core';
import { describe, expect, it } from 'vitest';
import type { Entry } from '../src/core/types.ts';
import { Heights, type Row } from '../src/features/timeline/model.ts';
import { anchored } from '../src/ui/VirtualList.ts';

const message = (idx: number, text: string, more: Partial<Entry> = {}): Row => ({
  key: `e${idx}`,
  type: 'message',
  entry: {
    room: 'r',
    idx,
    seq: idx,
    atMs: idx,
    id: `id${idx}`,
    author: 'ana',
    device: '',
    kind: 'text',
    body: { text },
    mark: null,
    ...more,
  },
  marks: [],
  first: false,
  last: false,
});

describe('the height of a row', () => {
  it('is that of the last one of its kind', () => {
    const heights = new Heights();
    heights.learn(message(1, 'Yes.'), 39);
    heights.learn(message(2, 'x'.repeat(300)), 131);
    expect(heights.guess(message(3, 'No.'))).toBe(39);
    expect(heights.guess(message(4, 'y'.repeat(302)))).toBe(131);
    expect(heights.guess({ key: 'd1', type: 'day', atMs: 1 })).toBe(46);
  });

  it('grows with the text where nothing is known', () => {
    const heights = new Heights();
    const [one, wide, lines] = ['Yes.', '好'.repeat(100), 'a\nb\nc\nd'].map((text, i) =>
      heights.guess(message(i, text)),
    );
    expect(wide).toBeGreaterThan(one ?? 0);
    expect(lines).toBeGreaterThan(one ?? 0);
  });

  it('differs for what has more than words', () => {
    const heights = new Heights();
    heights.learn(message(1, 'Yes.'), 39);
    const answer = message(2, 'Yes.', { body: { text: 'Yes.', reply_to: { event: 'id1', author: 'ana' } } });
    heights.learn(answer, 90);
    expect(heights.guess(message(3, 'Yes.'))).toBe(39);
  });
});

describe('the row that holds the place', () => {
  const listOf = (keys: string[]) => {
    const list = new Virtualizer<HTMLElement, HTMLElement>({
      count: keys.length,
      getScrollElement: () => null,
      estimateSize: () => 40,
      getItemKey: (i) => keys[i] ?? i,
      observeElementRect: () => undefined,
      observeElementOffset: () => undefined,
      scrollToFn: () => undefined,
    });
    return anchored(list, (key) => String(key).startsWith('e'));
  };

  it('is a message, not the divider above it, which goes up when older ones come', () => {
    expect(listOf(['d1', 'e7', 'e8']).getVirtualItemForOffset(0)?.key).toBe('e7');
    expect(listOf(['gap', 'd1', 'e7', 'e8']).getVirtualItemForOffset(50)?.key).toBe('e7');
    expect(listOf(['e7', 'e8']).getVirtualItemForOffset(45)?.key).toBe('e8');
  });

  it('is what there is where no message is', () => {
    expect(listOf(['start', 'd1']).getVirtualItemForOffset(0)?.key).toBe('start');
    expect(listOf([]).getVirtualItemForOffset(0)).toBeUndefined();
  });
});
