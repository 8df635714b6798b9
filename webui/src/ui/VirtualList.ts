/**
 * Binds TanStack's framework-free virtualiser to a component.
 *
 * When rows come on top, the virtualiser holds the one at the upper edge where it is. That must be a row that stays
 * beside its neighbours: a day divider goes up to the first message of its day, and would take the reader along.
 */
import {
  elementScroll,
  observeElementOffset,
  observeElementRect,
  type VirtualItem,
  Virtualizer,
  type VirtualizerOptions,
} from '@tanstack/virtual-core';
import { useLayoutEffect, useReducer, useState } from 'preact/hooks';

type Options = Omit<
  VirtualizerOptions<HTMLElement, HTMLElement>,
  'observeElementRect' | 'observeElementOffset' | 'scrollToFn'
>;

type List = Virtualizer<HTMLElement, HTMLElement>;
type Stays = (key: VirtualItem['key']) => boolean;

export function useVirtualizer(options: Options, stays: Stays): List {
  const [, rerender] = useReducer((count: number, _: undefined) => count + 1, 0);
  const full = {
    observeElementRect,
    observeElementOffset,
    scrollToFn: elementScroll,
    ...options,
    onChange: () => rerender(undefined),
  };
  const [virtualizer] = useState(() => anchored(new Virtualizer(full), stays));
  virtualizer.setOptions(full);
  useLayoutEffect(() => virtualizer._didMount(), [virtualizer]);
  useLayoutEffect(() => virtualizer._willUpdate());
  return virtualizer;
}

/** The one at an offset is the first from there on that stays. */
export function anchored(list: List, stays: Stays): List {
  const at = list.getVirtualItemForOffset;
  list.getVirtualItemForOffset = (offset) => {
    const found = at(offset);
    let item = found;
    while (item && !stays(item.key)) item = list.measurementsCache[item.index + 1];
    return item ?? found;
  };
  return list;
}
