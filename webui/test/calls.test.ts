/** Which calls there are, where pictures go, and what the log says of a call. */
import { beforeEach, describe, expect, test } from 'vitest';
import type { Participant, Ring, Roster } from '../src/core/calling.ts';
import { Calls } from '../src/core/calls.ts';
import { advance, countsFor, mentionsMe } from '../src/core/fold.ts';
import { can } from '../src/core/roles.ts';
import { State } from '../src/core/store/state.ts';
import type { Entry, Room } from '../src/core/types.ts';
import { inStereo } from '../src/features/call/engine/down.ts';
import { levelOf } from '../src/features/call/engine/meter.ts';
import { callText, lengthOf } from '../src/features/call/entry.ts';
import { clockOf } from '../src/features/call/Head.tsx';
import { gridOf, mainOf, placesOf, viewOf } from '../src/features/call/layout.ts';
import { forget, remember, unfinished } from '../src/features/call/unfinished.ts';
import { rowsOf } from '../src/features/timeline/model.ts';
import { parse } from '../src/routes.ts';
import { ALICE, BOB } from './fake-node.ts';

const ring = (call = 'c1', room = 'r1'): Ring => ({
  t: 'ring',
  call,
  room,
  by: BOB,
  media: 'audio',
  expiresMs: Date.now() + 45_000,
});
const person = (seat: string, user = BOB, more: Partial<Participant> = {}): Participant => ({
  seat,
  user,
  state: 'live',
  mic: true,
  camera: false,
  screen: false,
  hand: false,
  muted: false,
  joinedMs: 1,
  ...more,
});
const roster = (version: number, more: Partial<Roster> = {}): Roster => ({
  t: 'call_roster',
  call: 'c1',
  room: 'r1',
  version,
  media: 'audio',
  by: BOB,
  state: 'live',
  startedMs: 1,
  participants: [person('s1')],
  invited: [],
  ...more,
});

describe('the calls there are', () => {
  let calls: Calls;
  beforeEach(() => {
    calls = new Calls(ALICE);
  });
  const now = Date.now();
  const ringing = () => calls.rings.value.map(({ call }) => call);

  test('a ring repeated rings once, one that is too late not at all', () => {
    calls.apply(ring(), now);
    calls.apply(ring(), now);
    calls.apply({ ...ring('late'), expiresMs: now - 1 }, now);
    expect(ringing()).toEqual(['c1']);
  });

  test('an older roster changes nothing', () => {
    calls.apply(roster(3, { state: 'live' }), now);
    calls.apply(roster(2, { state: 'ringing' }), now);
    expect(calls.rosters.value.get('r1')?.version).toBe(3);
  });

  test('a newer call takes the place of the old one in its room', () => {
    calls.apply(roster(9), now);
    calls.apply(roster(1, { call: 'c2' }), now);
    expect(calls.rosters.value.get('r1')?.call).toBe('c2');
  });

  test.each([
    ['on another device of mine', { participants: [person('s9', ALICE)] }],
    ['by a decline elsewhere', { invited: [{ user: ALICE, state: 'declined' }] }],
  ])('answered %s, it rings no more', (_, more) => {
    calls.apply(ring(), now);
    calls.apply(roster(1, { invited: [{ user: ALICE, state: 'ringing' }] }), now);
    expect(ringing()).toEqual(['c1']);
    calls.apply(roster(2, more), now);
    expect(ringing()).toEqual([]);
  });

  test.each(['cancelled', 'declined', 'busy', 'unreachable', 'failed', 'ended'])('%s ends it for good', (reason) => {
    calls.apply(ring(), now);
    calls.apply(roster(1), now);
    calls.apply({ t: 'call_over', call: 'c1', room: 'r1', reason }, now);
    calls.apply(roster(2), now);
    calls.apply(ring(), now);
    expect(calls.rosters.value.size).toBe(0);
    expect(ringing()).toEqual([]);
  });

  test.each(['left', 'removed', 'moved', 'accepted_elsewhere', 'declined_elsewhere', 'missed', 'restarting'])(
    '%s ends it here only',
    (reason) => {
      calls.apply(ring(), now);
      calls.apply(roster(1), now);
      calls.apply({ t: 'call_over', call: 'c1', room: 'r1', reason }, now);
      expect(calls.rosters.value.size).toBe(1);
      expect(ringing()).toEqual([]);
    },
  );

  test('missed by the only one who was called, it is over', () => {
    calls.apply(roster(1, { state: 'ringing' }), now);
    calls.apply({ t: 'call_over', call: 'c1', room: 'r1', reason: 'missed' }, now);
    expect(calls.rosters.value.size).toBe(0);
  });

  test('a new connection tells of everything anew', () => {
    calls.apply(ring(), now);
    calls.apply(roster(5), now);
    calls.forget();
    calls.apply(roster(1), now);
    expect(calls.rosters.value.get('r1')?.version).toBe(1);
    expect(ringing()).toEqual([]);
  });

  test('whoever listens hears every frame until they stop', () => {
    const heard: string[] = [];
    const stop = calls.listen(({ t }) => heard.push(t));
    calls.apply(ring(), now);
    stop();
    calls.apply(roster(1), now);
    expect(heard).toEqual(['ring']);
  });
});

describe('where the pictures go', () => {
  test('tiles fit, whatever their number and the screen', () => {
    for (const box of [
      { width: 390, height: 640 },
      { width: 1248, height: 655 },
      { width: 640, height: 200 },
    ]) {
      for (let n = 1; n <= 32; n++) {
        const { columns, width, height } = gridOf(n, box, 10);
        const rows = Math.ceil(n / columns);
        expect(columns * width + (columns - 1) * 10).toBeLessThanOrEqual(box.width);
        expect(rows * height + (rows - 1) * 10).toBeLessThanOrEqual(box.height);
        expect(width / height).toBeLessThan(1.8);
      }
    }
    expect(gridOf(4, { width: 390, height: 690 }, 10).columns).toBe(2);
    for (const height of [655, 613]) expect(gridOf(4, { width: 1248, height }, 10).columns).toBe(2);
    expect(gridOf(1, { width: 0, height: 0 }, 10)).toMatchObject({ width: 0, height: 0 });
  });

  const bo = person('b', BOB, { joinedMs: 5 });
  const ana = person('a', ALICE, { joinedMs: 9, screen: true });
  const ci = person('c', 'ci@x', { joinedMs: 3 });

  test('screens stand first, oneself last', () => {
    expect(placesOf([ana, bo, ci], 'b').map(({ key }) => key)).toEqual([
      'a/screen',
      'c/camera',
      'a/camera',
      'b/camera',
    ]);
  });

  test('large is what was pinned, else a screen, else who speaks', () => {
    const places = placesOf([ana, bo, ci], 'b');
    expect(mainOf(places, 'c/camera', '')?.key).toBe('c/camera');
    expect(mainOf(places, 'gone', 'c')?.key).toBe('a/screen');
    const plain = placesOf([{ ...ana, screen: false }, bo, ci], 'b');
    expect(mainOf(plain, '', 'a')?.key).toBe('a/camera');
    expect(mainOf(plain, '', 'b')?.key).toBe('c/camera');
    expect(mainOf([], '', '')).toBeUndefined();
  });

  test('two see each other, a screen is large, more are alike', () => {
    expect(viewOf('', placesOf([bo], 'b'))).toBe('grid');
    expect(viewOf('', placesOf([bo, ci], 'b'))).toBe('pair');
    expect(viewOf('', placesOf([bo, ana], 'b'))).toBe('speaker');
    expect(viewOf('', placesOf([bo, ci, { ...ana, screen: false }], 'b'))).toBe('grid');
    expect(viewOf('speaker', placesOf([bo], 'b'))).toBe('grid');
    expect(viewOf('speaker', placesOf([bo, ci], 'b'))).toBe('speaker');
  });
});

describe('calls in the log', () => {
  const state = new State(ALICE, 'd');
  state.people.value = new Map([[BOB, 'Bob']]);
  const entry = (body: Record<string, unknown>, author = BOB, idx = 1, id = 'e1'): Entry => ({
    room: 'r',
    idx,
    seq: idx,
    atMs: 0,
    id,
    author,
    device: '',
    kind: 'call',
    body: { call: 'c', media: 'audio', state: 'end', start: 'e0', ms: 0, joined: 0, missed: [], result: '', ...body },
    mark: null,
  });

  test.each([
    [{ result: 'missed', missed: [ALICE] }, BOB, 'Missed voice call', true],
    [{ result: 'missed', missed: [ALICE], media: 'video' }, BOB, 'Missed video call', true],
    [{ result: 'ended', ms: 180_000 }, BOB, 'Voice call · 3 min', false],
    [{ result: 'answered', ms: 9_000, media: 'video' }, ALICE, 'Video call · 9 s', false],
    [{ result: 'missed', missed: [BOB] }, ALICE, 'No answer', false],
    [{ result: 'declined' }, ALICE, 'Call declined', false],
    [{ result: 'declined' }, BOB, 'You declined the call', false],
    [{ result: 'cancelled' }, ALICE, 'Call cancelled', false],
    [{ result: 'busy' }, ALICE, 'Busy', false],
    [{ result: 'unreachable' }, ALICE, 'Not reachable', false],
    [{ result: 'failed' }, ALICE, 'The call failed', false],
    [{ result: 'busy' }, BOB, 'Call not taken', false],
    [{ state: 'start', result: '' }, BOB, 'Bob started a call', false],
  ])('%o by %s reads %s', (body, author, text, missed) => {
    expect(callText(state, entry(body, author))).toMatchObject({ text, missed });
  });

  test('one line for each call, none for two that became one', () => {
    const start = entry({ state: 'start', start: null }, BOB, 1, 'e0');
    const end = entry({ result: 'ended', ms: 5_000 }, BOB, 2, 'e1');
    const merged = entry({ result: 'merged', start: 'x' }, BOB, 3, 'e2');
    const kinds = (entries: Entry[]) =>
      rowsOf(entries, [], { me: ALICE, start: false, unreadAfter: null }).flatMap((row) =>
        row.type === 'call' ? [row.entry.id] : [],
      );
    expect(kinds([start])).toEqual(['e0']);
    expect(kinds([start, end, merged])).toEqual(['e1']);
  });

  test('a call is unread for whoever missed it', () => {
    const missed = entry({ result: 'missed', missed: [ALICE] });
    expect([countsFor(missed, ALICE), mentionsMe(missed, ALICE)]).toEqual([true, true]);
    expect(countsFor(missed, 'carol@x')).toBe(false);
    expect(countsFor(entry({ result: 'ended' }), ALICE)).toBe(false);
    const card = { headIdx: 0, asOf: 0, readIdx: 0, unread: 0, mentions: 0, last: null } as unknown as Room;
    expect(advance(card, missed, ALICE)).toMatchObject({ unread: 1, mentions: 1, last: missed });
    expect(advance(card, entry({ state: 'start' }), ALICE)).toMatchObject({ unread: 0, last: null });
  });

  test('who may call', () => {
    const group = { state: 'member', kind: 'group', role: 'member', mutedUntilMs: 0, calls: 'everybody' } as Room;
    expect(can(group, 'call', 0)).toBe(true);
    expect(can({ ...group, calls: 'admins' }, 'call', 0)).toBe(false);
    expect(can({ ...group, calls: 'admins', role: 'admin' }, 'call', 0)).toBe(true);
    expect(can({ ...group, calls: 'nobody', role: 'owner' }, 'call', 0)).toBe(false);
    expect(can({ ...group, role: 'visitor' }, 'call', 0)).toBe(false);
    expect(can({ ...group, kind: 'direct', calls: 'nobody' }, 'call', 0)).toBe(false);
  });

  test('times as one says them', () => {
    expect([lengthOf(0), lengthOf(59_400), lengthOf(3_600_000), lengthOf(7_560_000)]).toEqual([
      '1 s',
      '59 s',
      '1 h 0 min',
      '2 h 6 min',
    ]);
    expect([clockOf(-5), clockOf(61_000), clockOf(3_661_000)]).toEqual(['00:00', '01:01', '1:01:01']);
  });
});

describe('small things', () => {
  test('a page that was loaded anew knows its call; nonsense is no call', () => {
    remember({ call: 'c', seat: 's', room: 'r', media: 'video' });
    expect(unfinished()).toEqual({ call: 'c', seat: 's', room: 'r', media: 'video' });
    forget();
    expect(unfinished()).toBeNull();
    sessionStorage.setItem('startalk.call', '{"call":1}');
    expect(unfinished()).toBeNull();
    sessionStorage.setItem('startalk.call', 'x');
    expect(unfinished()).toBeNull();
  });

  test('only the sound of a screen is asked for in stereo', () => {
    const section = (mid: string) => `m=audio 9 X 111\r\na=mid:${mid}\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n`;
    const tracks = new Map([
      ['0', { seat: 's', source: 'mic' as const }],
      ['1', { seat: 's', source: 'sound' as const }],
    ]);
    const out = inStereo(`v=0\r\n${section('0')}${section('1')}`, { tracks });
    expect(out).toBe(`v=0\r\n${section('0')}${section('1').replace('fec=1', 'fec=1;stereo=1')}`);
    expect(inStereo(out, { tracks })).toBe(out);
  });

  test('silence has no level, a full tone has nearly all', () => {
    expect(levelOf(new Float32Array(64))).toBe(0);
    expect(levelOf(new Float32Array(64).fill(1))).toBeCloseTo(1);
  });

  test('a call has an address', () => {
    expect(parse('/call/abc')).toEqual({ page: 'call', call: 'abc' });
    expect(parse('/call')).toEqual({ page: 'call' });
  });
});
