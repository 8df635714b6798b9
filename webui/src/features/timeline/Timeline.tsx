/**
 * The virtualised timeline. It opens at the first unread message, follows new ones only within 40 px of the end, and
 * otherwise never moves the reader; older pages are put above without a shift.
 */
import { defaultRangeExtractor, measureElement, type Range } from '@tanstack/virtual-core';
import { memo } from 'preact/compat';
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Entry, Pending, Room } from '../../core/types.ts';
import { dayOf, t } from '../../i18n/index.ts';
import { explain } from '../../i18n/refusal.ts';
import { go } from '../../routes.ts';
import { here } from '../../session.ts';
import { Avatar } from '../../ui/Avatar/Avatar.tsx';
import { Icon } from '../../ui/Icon/Icon.tsx';
import { useLasting } from '../../ui/lasting.ts';
import { Problem } from '../../ui/Parts/Parts.tsx';
import { toast } from '../../ui/Toast/Toast.tsx';
import { useVirtualizer } from '../../ui/VirtualList.ts';
import { CallRow } from '../call/CallRow.tsx';
import { faceOf, roomName } from '../chats/model.ts';
import { MessageRow, PendingChange, PendingRow } from '../message/MessageRow.tsx';
import { jump, pulse } from './jump.ts';
import { Heights, newAfter, type Row, rowsOf } from './model.ts';
import { noticeOf } from './notices.ts';
import s from './Timeline.module.css';

const END_PX = 40;
const AWAY_MS = 250; // opening and growing put the reader off the end for some frames
const READ_MS = 1_000;
const SETTLE_FRAMES = 6; // the virtualiser moves the reader by what it measures for some frames after a change
const SETTLE_MS = 400;
const MORE_AT_ROW = 10;

/** Nothing is to be read before one is in. */
export const Timeline = ({ room, target }: { room: Room; target: string | undefined }) =>
  room.state === 'invited' ? <div class={s.frame} /> : <Inside room={room} target={target} />;

function Inside({ room, target }: { room: Room; target: string | undefined }) {
  const client = here();
  const line = client.state.timeline(room.room);
  const [error, setError] = useState<unknown>(null);
  const [unreadAfter] = useState(() => (room.unread > 0 ? room.readIdx : null));
  const open = () => {
    setError(null);
    client.history.open(room.room).catch(setError);
  };
  useEffect(open, [room.room]);
  useEffect(() => {
    if (client.status.value === 'online' && error) open();
  }, [client.status.value]);
  if (
    !line.ready.value ||
    (unreadAfter !== null &&
      !line.start.value &&
      line.lo.value > unreadAfter + 1 &&
      line.entries.value.length < 300 &&
      !error)
  ) {
    return (
      <div class={s.frame}>
        {error ? (
          <div class={s.state}>
            <Problem error={error} retry={open} />
          </div>
        ) : (
          <div class={s.bubbles} role="status" aria-label={t('common.loading')}>
            {[1, 2, 3, 4, 5, 6].map((i) => (
              <i key={i} />
            ))}
          </div>
        )}
      </div>
    );
  }
  return <Feed room={room} target={target} unreadAfter={unreadAfter} />;
}

function Feed({ room, target, unreadAfter }: { room: Room; target: string | undefined; unreadAfter: number | null }) {
  const client = here();
  const { state } = client;
  const line = state.timeline(room.room);
  const entries = line.entries.value;
  const start = line.start.value;
  const end = line.end.value;
  const [gap, setGap] = useState(false);
  useEffect(() => {
    if (client.status.value === 'online') setGap(false); // then it is asked again
  }, [client.status.value]);
  const pending = state.pending.value;
  const rows = useMemo(
    () =>
      rowsOf(
        entries,
        pending.filter((item) => item.room === room.room),
        { me: state.me, start, gap, unreadAfter },
      ),
    [entries, pending, start, gap, unreadAfter, room.room],
  );
  const box = useRef<HTMLDivElement>(null);
  const [focused, setFocused] = useState<string | null>(null);
  const focusIndex = focused === null ? -1 : rows.findIndex((row) => row.key === focused);
  const [heights] = useState(() => new Heights());
  const v = useVirtualizer(
    {
      count: rows.length,
      getScrollElement: () => box.current,
      estimateSize: (i) => (rows[i] ? heights.guess(rows[i]) : 0),
      measureElement: (element, entry, virtualizer) => {
        const px = measureElement(element, entry, virtualizer);
        const row = rows[virtualizer.indexFromElement(element)];
        if (row) heights.learn(row, px);
        return px;
      },
      getItemKey: useCallback((i: number) => rows[i]?.key ?? i, [rows]),
      rangeExtractor: useCallback((range: Range) => withFocus(defaultRangeExtractor(range), focusIndex), [focusIndex]),
      overscan: 8,
      paddingStart: 8,
      paddingEnd: 12,
      anchorTo: 'end',
      followOnAppend: end,
      scrollEndThreshold: END_PX,
    },
    isEntry,
  );

  const stick = useRef(true);
  const opened = useRef(false);
  const changed = useRef(0);
  const hand = useRef(0);
  useLayoutEffect(() => {
    if (opened.current || rows.length === 0) return;
    opened.current = true;
    const first = rows.findIndex((row) => row.type === 'unread');
    if (first > 0) {
      stick.current = false;
      v.scrollToIndex(Math.max(0, first - 1), { align: 'start' });
    } else v.scrollToEnd();
  });

  // own messages always come into view
  const mine = pending.findLast((item) => item.room === room.room && item.kind === 'text')?.clientId;
  useLayoutEffect(() => {
    if (mine) void toEnd();
  }, [mine]);

  // at the end it stays at the end, whatever grows: exact to the pixel, and only when the content changed
  const total = v.getTotalSize();
  useLayoutEffect(() => {
    let frame = 0;
    let frames = SETTLE_FRAMES;
    changed.current = performance.now();
    if (!stick.current) return;
    const settle = () => {
      const el = box.current;
      if (el && stick.current && el.scrollHeight - el.scrollTop - el.clientHeight > 1) el.scrollTop = el.scrollHeight;
      if (frames-- > 0) frame = requestAnimationFrame(settle);
    };
    settle();
    return () => cancelAnimationFrame(frame);
  }, [rows, total]);
  useEffect(() => {
    const el = box.current;
    if (!el || typeof ResizeObserver === 'undefined') return;
    const watch = new ResizeObserver(() => {
      if (stick.current) el.scrollTop = el.scrollHeight; // the composer grew, a keyboard or a banner came
    });
    watch.observe(el);
    return () => watch.disconnect();
  }, []);
  // content that grows scrolls, too: only a hand, or a scroll while nothing changes, leaves the end
  const scrolled = () => {
    const el = box.current;
    if (!el) return;
    const ends = end && el.scrollHeight - el.scrollTop - el.clientHeight <= END_PX;
    const now = performance.now();
    if (ends) stick.current = true;
    else if (now - changed.current > SETTLE_MS || now - hand.current < SETTLE_MS) stick.current = false;
  };
  const touched = () => {
    hand.current = performance.now();
  };

  const items = v.getVirtualItems();
  useMore((items[0]?.index ?? 0) <= MORE_AT_ROW && !start && rows.length > 0, () =>
    client.history.older(room.room).then(
      () => setGap(false),
      () => setGap(true),
    ),
  );
  useMore(!end && (items.at(-1)?.index ?? 0) >= rows.length - MORE_AT_ROW, () => client.history.newer(room.room));
  useEffect(() => client.history.show(room.room), [room.room]);
  const seen = useSeen(room, v, rows, box);
  useJump(room.room, target, rows, v, () => {
    stick.current = false;
  });

  const atEnd = end && v.isAtEnd(END_PX);
  if (!end) stick.current = false;
  const away = useLasting(!atEnd && !stick.current, AWAY_MS);
  const fresh = !away ? 0 : end ? newAfter(entries, Math.max(seen, room.readIdx), state.me) : room.unread;
  const toEnd = async () => {
    await client.history.rest(room.room);
    stick.current = true;
    requestAnimationFrame(() => v.scrollToEnd());
  };
  return (
    <div class={s.frame}>
      <div
        ref={box}
        class={s.box}
        tabIndex={0}
        role="region"
        aria-label={t('timeline.messages')}
        onScroll={scrolled}
        onWheel={touched}
        onTouchMove={touched}
        onPointerDown={touched}
        onKeyDown={(event) => {
          touched();
          roam(event, rows, v, focused, setFocused, box.current);
        }}
      >
        <div
          class={s.inner}
          style={{ height: `${v.getTotalSize()}px` }}
          role="feed"
          aria-label={t('timeline.feed')}
          aria-busy={!start && entries.length === 0}
        >
          <div class={s.rows} style={{ top: `${items[0]?.start ?? 0}px` }}>
            {items.map((item, at) => {
              const row = rows[item.index];
              const gap = at > 0 ? item.start - (items[at - 1]?.end ?? item.start) : 0;
              return (
                row && (
                  <div
                    key={row.key}
                    data-index={item.index}
                    data-key={row.key}
                    ref={v.measureElement}
                    class={s.row}
                    style={gap > 0 ? { marginTop: `${gap}px` } : undefined}
                  >
                    <RowView
                      row={row}
                      room={room}
                      place={item.index + 1}
                      size={rows.length}
                      focused={focused === row.key}
                      onFocus={setFocused}
                    />
                  </div>
                )
              );
            })}
          </div>
        </div>
      </div>
      {away && rows.length > 0 && (
        <button
          type="button"
          class={s.down}
          data-new={fresh > 0 ? 'yes' : 'no'}
          aria-label={fresh > 0 ? t('timeline.new', { n: fresh }) : t('timeline.to_end')}
          onClick={() => void toEnd()}
        >
          <Icon name="arrow-down" size={20} />
          {fresh > 0 && t('timeline.new', { n: fresh })}
        </button>
      )}
    </div>
  );
}

type V = ReturnType<typeof useVirtualizer>;

const isEntry = (key: string | number | bigint): boolean => String(key).startsWith('e');

const withFocus = (indexes: number[], focus: number): number[] =>
  focus < 0 || indexes.includes(focus) ? indexes : [...indexes, focus].sort((a, b) => a - b);

/** Fetches a page when the reader comes near an edge of what is in memory. */
function useMore(wanted: boolean, fetch: () => Promise<void>): void {
  const busy = useRef(false);
  useEffect(() => {
    if (busy.current || !wanted) return;
    busy.current = true;
    fetch()
      .catch(() => undefined)
      .finally(() => {
        busy.current = false;
      });
  });
}

/** Read = at least 60 % visible for one second, on a page that is visible and focused. */
function useSeen(room: Room, v: V, rows: readonly Row[], box: { current: HTMLDivElement | null }): number {
  const client = here();
  const [seen, setSeen] = useState(room.readIdx);
  const [, look] = useState(0);
  useEffect(() => {
    const again = () => look((n) => n + 1);
    addEventListener('focus', again);
    document.addEventListener('visibilitychange', again);
    return () => {
      removeEventListener('focus', again);
      document.removeEventListener('visibilitychange', again);
    };
  }, []);
  const bottom = (v.scrollOffset ?? 0) + (box.current?.clientHeight ?? 0);
  let idx = 0;
  for (const item of v.getVirtualItems()) {
    const row = rows[item.index];
    if (
      (row?.type === 'message' || row?.type === 'notice' || row?.type === 'call') &&
      item.start + item.size * 0.6 <= bottom
    )
      idx = Math.max(idx, row.entry.idx);
  }
  const line = client.state.timeline(room.room);
  const ending = line.end.value && v.isAtEnd(END_PX) ? line.hi.value : 0;
  const to = Math.max(idx, ending);
  useEffect(() => {
    if (to <= room.readIdx && to <= seen) return;
    const timer = setTimeout(() => {
      if (document.visibilityState !== 'visible' || !document.hasFocus()) return;
      setSeen((before) => Math.max(before, to));
      client.read(room.room, to);
    }, READ_MS);
    return () => clearTimeout(timer);
  }, [to, room.readIdx, seen, document.visibilityState, document.hasFocus()]);
  return seen;
}

/** Goes to the message that the URL or a quote names, and lets it pulse once. */
function useJump(room: string, target: string | undefined, rows: readonly Row[], v: V, leave: () => void): void {
  const client = here();
  const latest = useRef(rows);
  latest.current = rows;
  const id = jump.value?.room === room ? jump.value.id : target;
  useEffect(() => {
    if (!id) return;
    let alive = true;
    const land = () => {
      const index = latest.current.findIndex((row) => row.type === 'message' && row.entry.id === id);
      if (index >= 0) {
        leave();
        v.scrollToIndex(index, { align: 'center' });
      }
      pulse.value = id;
      setTimeout(() => {
        if (pulse.value === id) pulse.value = '';
      }, 1_600);
    };
    client.history.find(room, id).then(
      (found) => {
        if (!alive) return;
        jump.value = null;
        if (target) go(`/c/${room}`, true);
        if (found) requestAnimationFrame(() => requestAnimationFrame(land));
        else toast(t('timeline.gone'));
      },
      (error) => toast(explain(error).text),
    );
    return () => {
      alive = false;
    };
  }, [id]);
}

const STEPS: Readonly<Record<string, number>> = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 };

/** Roving focus over the messages; the keys act only while focus is in the timeline. */
function roam(
  event: KeyboardEvent,
  rows: readonly Row[],
  v: V,
  focused: string | null,
  focus: (key: string) => void,
  box: HTMLElement | null,
): void {
  const step = STEPS[event.key];
  if (
    !step ||
    event.ctrlKey ||
    event.metaKey ||
    event.altKey ||
    (event.target as Element).closest('input,textarea,[role=menu]')
  )
    return;
  const stops = rows.flatMap((row, i) => (row.type === 'message' || row.type === 'pending' ? [i] : []));
  const now = stops.indexOf(rows.findIndex((row) => row.key === focused));
  const next = now < 0 ? stops.length - 1 : Math.max(0, Math.min(stops.length - 1, now + step));
  const index = stops[next];
  const row = index === undefined ? undefined : rows[index];
  if (!row || index === undefined) return;
  event.preventDefault();
  focus(row.key);
  v.scrollToIndex(index, { align: 'auto' });
  requestAnimationFrame(() =>
    box?.querySelector<HTMLElement>(`[data-key="${row.key}"] article`)?.focus({ preventScroll: true }),
  );
}

interface RowProps {
  row: Row;
  room: Room;
  place: number;
  size: number;
  focused: boolean;
  onFocus: (key: string) => void;
}

/** Scrolling renders only the rows that come in: the others are what they were. */
const RowView = memo(function RowView({ row, room, onFocus, ...place }: RowProps) {
  const { state } = here();
  const feed = { ...place, onFocus: () => onFocus(row.key) };
  switch (row.type) {
    case 'start':
      return <Greeting room={room} />;
    case 'gap':
      return <p class={s.notice}>{t('timeline.gap')}</p>;
    case 'day':
      return (
        <div class={s.day}>
          <time class={s.pill} dateTime={new Date(row.atMs).toISOString().slice(0, 10)}>
            {dayOf(row.atMs)}
          </time>
        </div>
      );
    case 'unread':
      return <div class={s.unread}>{t('timeline.unread')}</div>;
    case 'notice':
      return <p class={s.notice}>{noticeOf(state, row.entry)}</p>;
    case 'call':
      return <CallRow entry={row.entry} room={room} />;
    case 'message':
      return <MessageRow entry={row.entry} marks={row.marks} first={row.first} last={row.last} room={room} {...feed} />;
    case 'pending':
      return <PendingRow item={row.item} room={room} first={row.first} last={row.last} {...feed} />;
    case 'change':
      return <PendingChange item={row.item} text={noticeOf(state, asEntry(row.item, state.me))} />;
  }
});

/** What an event of the chat will say once it has its place. */
const asEntry = ({ room, kind, body, atMs, id }: Pending, author: string): Entry => ({
  room,
  idx: 0,
  seq: 0,
  atMs,
  id,
  author,
  device: '',
  kind,
  body,
  mark: null,
});

function Greeting({ room }: { room: Room }) {
  const { state } = here();
  const name = roomName(state, room);
  return (
    <div class={s.greeting}>
      <Avatar id={faceOf(room)} name={name} size={72} group={room.kind === 'group'} />
      <b>{name}</b>
      <span>{room.kind === 'group' ? t('timeline.start_group') : t('timeline.start_direct', { name })}</span>
    </div>
  );
}
