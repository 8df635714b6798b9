/** A call of this page: taking a seat, switches, lost connections, ends. The node is in memory, the media of the browser fake. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { fromText, toText } from '../src/core/bytes.ts';
import { Client } from '../src/core/client.ts';
import { type Begin, Session, type Wanted } from '../src/features/call/engine/session.ts';
import { unfinished } from '../src/features/call/unfinished.ts';
import { ALICE, BOB, DEVICE, FakeNode } from './fake-node.ts';
import { FakePeer, fakeMedia } from './fake-rtc.ts';

const ME = {
  user: ALICE,
  local: 'alice',
  name: 'Alice',
  role: 'user',
  lang: '',
  device: DEVICE,
  node: '',
  domain: '',
  setup: 'done' as const,
};
type Raw = unknown[];
const CALL = new Uint8Array(16).fill(4);
const SEAT = new Uint8Array(8).fill(5);
const THEIRS = new Uint8Array(8).fill(6);
let node: FakeNode;
let client: Client;
let room: string;
let asked: Raw[];
let refuse: Record<string, string>;
let world: ReturnType<typeof fakeMedia>;
let version = 0;

const frames = (name: string): Raw[] => asked.filter(([t]) => t === name);
const last = (name: string): Raw => frames(name).at(-1) ?? [];

function answers(frame: Raw, answer: (frame: Raw) => void): void {
  asked.push(frame);
  const [name, n] = frame as [string, number];
  if (refuse[name]) answer(['refused', n, refuse[name], 'no', {}]);
  else if (name === 'call_start' || name === 'call_join') {
    const seat = new Uint8Array(8).fill(5 + frames('call_join').length);
    answer(['call_seat', n, CALL, seat, fromText(room), 30, true]);
  } else if (name === 'call_up') answer(['call_sdp', n, 'answer']);
  else if (['call_down', 'call_leave', 'call_remove', 'call_decline'].includes(name)) answer(['done', n]);
}

const tell = (frame: Raw): void => node.signal(frame);
function roster(state: string, mine: Partial<{ muted: boolean; mic: boolean }> = {}, seat = SEAT): void {
  const row = (id: Uint8Array, user: string, more: object) => {
    const all = { mic: true, camera: false, muted: false, ...more };
    return [id, user, 'live', all.mic, all.camera, false, false, all.muted, 1];
  };
  tell([
    'call_roster',
    CALL,
    fromText(room),
    ++version,
    'video',
    ALICE,
    state,
    1,
    [row(seat, ALICE, mine), ...(state === 'live' ? [row(THEIRS, BOB, { camera: true })] : [])],
    [],
  ]);
}

async function begin(what: Partial<Begin> = {}, wanted: Wanted = { mic: true, camera: true }): Promise<Session> {
  const session = new Session(client, { how: 'start', room, media: 'video', targets: [], ...what } as Begin);
  await session.start(wanted);
  return session;
}

async function live(): Promise<Session> {
  const session = await begin();
  await vi.waitFor(() => expect(frames('call_up')).toHaveLength(1));
  roster('live');
  await vi.waitFor(() => expect(session.phase.value).toBe('live'));
  return session;
}

beforeEach(async () => {
  vi.stubGlobal('fetch', () => Promise.reject(new Error('no HTTP in this test')));
  vi.stubGlobal('indexedDB', new (await import('fake-indexeddb')).IDBFactory());
  world = fakeMedia();
  asked = [];
  refuse = {};
  version = 0;
  node = new FakeNode();
  node.calls = answers;
  room = node.addRoom('Trip');
  client = await Client.start({ me: ME, program: 'test', open: node.open });
  await vi.waitFor(() => expect(client.status.value).toBe('online'));
});
afterEach(() => client.close());

describe('beginning', () => {
  test('it takes a seat, offers what it has, and is live when all are there', async () => {
    const session = await begin();
    expect(session.phase.value).toBe('calling');
    await vi.waitFor(() => expect(frames('call_up')).toHaveLength(1));
    expect(last('call_up')[5]).toEqual({ '0': 'mic', '1': 'camera' });
    expect(last('call_state').slice(3)).toEqual([true, true, false, false]);
    expect(unfinished()).toMatchObject({ call: toText(CALL), seat: toText(SEAT) });
    roster('live');
    await vi.waitFor(() => expect(session.phase.value).toBe('live'));
    expect(session.liveMs.value).toBeGreaterThan(0);
    await session.leave();
    expect(last('call_leave').slice(2)).toEqual([CALL, SEAT, false]);
    expect(unfinished()).toBeNull();
    expect(world.opened.every(({ readyState }) => readyState === 'ended')).toBe(true);
  });

  test('without a microphone it says so and waits; one may still listen', async () => {
    world.refuse.audio = 'NotAllowedError';
    const session = await begin({}, { mic: true, camera: false });
    expect([session.phase.value, session.sources.trouble.value]).toEqual(['asking', { kind: 'mic', why: 'denied' }]);
    expect(asked).toEqual([]);
    await session.start({ mic: false, camera: false });
    await vi.waitFor(() => expect(frames('call_up')).toHaveLength(1));
    expect(last('call_up')[5]).toEqual({ '0': 'mic' }); // a place for one, with silence in it
    expect(last('call_state')[3]).toBe(false);
  });

  test('a camera that is not there is no reason not to call', async () => {
    world.refuse.video = 'NotFoundError';
    const session = await begin();
    expect(session.phase.value).toBe('calling');
    expect(session.sources.trouble.value).toEqual({ kind: 'camera', why: 'none' });
    expect(session.sources.camera.value).toBe(false);
  });

  test('a refusal ends it and gives the devices back', async () => {
    refuse.call_start = 'unavailable';
    const session = await begin();
    expect(session.phase.value).toBe('over');
    expect(session.ended.value).toMatchObject({ reason: 'refused', error: { code: 'unavailable' } });
    expect(world.opened.every(({ readyState }) => readyState === 'ended')).toBe(true);
  });

  test('cancelled while the node was thinking, the seat is given back', async () => {
    const session = new Session(client, { how: 'start', room, media: 'audio', targets: [] });
    let hold: () => void = () => undefined;
    let thinking = false;
    node.calls = (frame, answer) => {
      if (frame[0] === 'call_start') {
        thinking = true;
        hold = () => answers(frame, answer);
      } else answers(frame, answer);
    };
    const starting = session.start({ mic: true, camera: false });
    await vi.waitFor(() => expect(thinking).toBe(true));
    await session.leave();
    hold();
    await starting;
    await vi.waitFor(() => expect(frames('call_leave')).toHaveLength(1));
    expect(frames('call_up')).toEqual([]);
  });
});

describe('switches', () => {
  test('muting needs no word with the node about media', async () => {
    const session = await live();
    const mic = world.opened.find(({ kind }) => kind === 'audio');
    await session.sources.setMic(false);
    await vi.waitFor(() => expect(last('call_state')[3]).toBe(false));
    expect(mic?.enabled).toBe(false);
    session.sources.hold(true);
    await vi.waitFor(() => expect(last('call_state')[3]).toBe(true));
    expect([mic?.enabled, session.sources.talking.value]).toEqual([true, true]);
    session.sources.hold(false);
    await vi.waitFor(() => expect(last('call_state')[3]).toBe(false));
    expect(mic?.enabled).toBe(false);
    expect(frames('call_up')).toHaveLength(1);
  });

  test('a moderator mutes; the owner opens the microphone again', async () => {
    const session = await live();
    roster('live', { muted: true, mic: false });
    await vi.waitFor(() => expect(session.hushed.value).toBe(1));
    expect(session.sources.mic.value).toBe(false);
    await vi.waitFor(() => expect(last('call_state')[3]).toBe(false));
    await session.sources.setMic(true);
    await vi.waitFor(() => expect(last('call_state')[3]).toBe(true));
    roster('live', { muted: true, mic: false }); // said before the node heard of it
    await new Promise((done) => setTimeout(done, 20));
    expect(session.sources.mic.value).toBe(true);
  });

  test('a camera goes off with its lamp and comes back in the same place', async () => {
    const session = await live();
    const first = world.opened.find(({ kind }) => kind === 'video');
    await session.sources.setCamera(false);
    expect(first?.readyState).toBe('ended');
    expect(session.sources.preview.value).toBeNull();
    await session.sources.setCamera(true);
    await vi.waitFor(() => expect(last('call_state')[4]).toBe(true));
    expect(frames('call_up')).toHaveLength(1);
  });

  test('a screen is a new offer when it begins and when it ends', async () => {
    const session = await live();
    await session.sources.setScreen(true);
    await vi.waitFor(() => expect(frames('call_up')).toHaveLength(2));
    expect(last('call_up')[5]).toEqual({ '0': 'mic', '1': 'camera', '2': 'screen' });
    expect(last('call_state')[5]).toBe(true);
    world.opened.at(-1)?.onended?.(); // the browser's own "stop sharing"
    await vi.waitFor(() => expect(frames('call_up')).toHaveLength(3));
    expect(last('call_up')[5]).toEqual({ '0': 'mic', '1': 'camera' });
    expect(session.sources.screen.value).toBe(false);
    await session.sources.setScreen(true);
    await vi.waitFor(() => expect(last('call_up')[5]).toEqual({ '0': 'mic', '1': 'camera', '2': 'screen' }));
  });

  test('a microphone that is pulled out is told', async () => {
    const session = await live();
    world.opened.find(({ kind }) => kind === 'audio')?.onended?.();
    expect(session.sources.trouble.value).toEqual({ kind: 'mic', why: 'none' });
    await vi.waitFor(() => expect(last('call_state')[3]).toBe(false));
  });

  test('what nobody looks at is not wanted', async () => {
    const session = await live();
    const theirs = `${toText(THEIRS)}/camera`;
    const small = session.wishes.shows(theirs, 160);
    const large = session.wishes.shows(theirs, 640.4, true); // the next view is there before the last one goes
    small();
    await vi.waitFor(() => expect(last('call_want')[3]).toEqual([[THEIRS, 'camera', 640, true]]));
    large();
    await vi.waitFor(() => expect(last('call_want')[3]).toEqual([[THEIRS, 'camera', 0, false]]));
  });
});

describe('the other way', () => {
  const offer = (n: number, sdp: string, tracks: Record<string, [Uint8Array, string]>, seat = SEAT) =>
    tell(['call_offer', CALL, seat, n, sdp, tracks]);

  test('offers are answered in order, old ones not at all', async () => {
    const session = await live();
    offer(1, 'offer 0', { '0': [THEIRS, 'mic'] });
    offer(3, 'offer 0 1', { '0': [THEIRS, 'mic'], '1': [THEIRS, 'camera'] });
    offer(2, 'offer 0', { '0': [THEIRS, 'mic'] });
    await vi.waitFor(() => expect(frames('call_down').map((frame) => frame[4])).toEqual([1, 3]));
    const theirs = toText(THEIRS);
    expect([...session.streams.value.keys()]).toEqual([`${theirs}/mic`, `${theirs}/camera`]);
    offer(4, 'offer 0 1', { '0': [THEIRS, 'mic'] }); // an m-line that rests
    await vi.waitFor(() => expect([...session.streams.value.keys()]).toEqual([`${theirs}/mic`]));
  });

  test('an offer that does not fit the old connection is answered by a new one', async () => {
    await live();
    offer(1, 'offer 0', { '0': [THEIRS, 'mic'] });
    await vi.waitFor(() => expect(frames('call_down')).toHaveLength(1));
    const before = FakePeer.all.length;
    const whole = FakePeer.prototype.setRemoteDescription;
    let first = true;
    vi.spyOn(FakePeer.prototype, 'setRemoteDescription').mockImplementation(async function (this: FakePeer, sdp) {
      if (first && sdp.type === 'offer') {
        first = false;
        throw new Error('another certificate');
      }
      return whole.call(this, sdp);
    });
    offer(2, 'offer 0', { '0': [THEIRS, 'mic'] });
    await vi.waitFor(() => expect(frames('call_down')).toHaveLength(2));
    expect(FakePeer.all.length).toBe(before + 1);
    vi.restoreAllMocks();
  });

  test('without a first offer, the node is asked for one', async () => {
    await live();
    await vi.waitFor(() => expect(frames('call_restart').length).toBeGreaterThan(0), 5_000);
    offer(1, 'offer 0', { '0': [THEIRS, 'mic'] });
    await vi.waitFor(() => expect(frames('call_down')).toHaveLength(1));
  });

  test('an offer for another seat is not for us', async () => {
    await live();
    offer(1, 'offer 0', { '0': [THEIRS, 'mic'] }, THEIRS);
    await new Promise((done) => setTimeout(done, 30));
    expect(frames('call_down')).toEqual([]);
  });
});

describe('lost and found', () => {
  test('a socket that comes back finds its seat; the media went on', async () => {
    const session = await live();
    node.drop();
    await vi.waitFor(() => expect(client.status.value).toBe('offline'));
    expect(session.phase.value).toBe('live');
    await vi.waitFor(() => expect(frames('call_up')).toHaveLength(2), 5_000);
    expect(frames('call_join')).toEqual([]);
    expect(FakePeer.all).toHaveLength(2);
    await vi.waitFor(() => expect(frames('call_state').length).toBeGreaterThan(1));
  });

  test('a seat that the node gave up is taken anew, with new connections', async () => {
    const session = await live();
    refuse.call_up = 'not_found';
    node.drop();
    await vi.waitFor(() => expect(frames('call_join')).toHaveLength(1), 5_000);
    expect(last('call_join').slice(2)).toEqual([CALL, SEAT]);
    refuse = {};
    expect(FakePeer.all).toHaveLength(4);
    expect(session.phase.value).not.toBe('over');
  });

  test.each([
    ['not_found', 'cut_off'],
    ['gone', 'cut_off'],
    ['not_member', 'ended'],
  ])('a call that is %s when this page is back is over: %s', async (code, reason) => {
    const session = await live();
    refuse.call_up = refuse.call_join = code;
    node.drop();
    await vi.waitFor(() => expect(session.ended.value?.reason).toBe(reason), 5_000);
  });

  test('a call that ended meanwhile, as the log says, is no news', async () => {
    const session = await live();
    refuse.call_up = refuse.call_join = 'not_found';
    node.drop();
    await vi.waitFor(() => expect(frames('call_join')).toHaveLength(1), 5_000);
    node.append(room, BOB, 'call', { call: CALL, state: 'end', media: 'video', result: 'answered', ms: 9_000 });
    await vi.waitFor(() => expect(session.ended.value?.reason).toBe('ended'), 5_000);
  });

  test('a node that began anew and forgot the call', async () => {
    const session = await live();
    refuse.call_join = 'not_found';
    tell(['call_over', CALL, fromText(room), 'restarting']);
    await vi.waitFor(() => expect(session.ended.value?.reason).toBe('cut_off'), 5_000);
  });

  test('lost media is restarted in both directions and heals', async () => {
    const session = await live();
    const [up, down] = FakePeer.all;
    tell(['call_offer', CALL, SEAT, 1, 'offer 0', { '0': [THEIRS, 'mic'] }]);
    await vi.waitFor(() => expect(down?.connectionState).toBe('connected'));
    up?.become('failed');
    down?.become('failed');
    expect(session.phase.value).toBe('reconnecting');
    await vi.waitFor(() => expect(frames('call_restart')).toHaveLength(1), 5_000);
    expect(up?.restarts).toBe(1);
    down?.become('connected');
    await vi.waitFor(() => expect(session.phase.value).toBe('live'));
  });

  test('a node that begins anew is asked for the seat again', async () => {
    const session = await live();
    tell(['call_over', CALL, fromText(room), 'restarting']);
    await vi.waitFor(() => expect(session.phase.value).toBe('reconnecting'));
    await vi.waitFor(() => expect(frames('call_join')).toHaveLength(1), 5_000);
    expect(session.phase.value).not.toBe('over');
  });

  test.each(['ended', 'removed', 'declined', 'busy', 'moved'])('%s ends it', async (reason) => {
    const session = await live();
    tell(['call_over', CALL, fromText(room), reason]);
    await vi.waitFor(() => expect(session.ended.value).toEqual({ reason }));
    expect(FakePeer.all.every(({ connectionState }) => connectionState === 'closed')).toBe(true);
  });
});
