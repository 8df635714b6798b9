/** What one sees of calls: who rings, the buttons, words for what went wrong. The browser tests see the rest. */
import { cleanup, fireEvent, render, screen, waitFor } from '@testing-library/preact';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Participant, Quality, Roster } from '../src/core/calling.ts';
import { Client } from '../src/core/client.ts';
import { Refusal } from '../src/core/types.ts';
import { CallButtons, CallLine } from '../src/features/call/Head.tsx';
import Layer, { ready } from '../src/features/call/Layer.tsx';
import { ask, session } from '../src/features/call/model.ts';
import {
  barsOf,
  causeOf,
  endedText,
  isNews,
  mayRepeat,
  qualityText,
  tileText,
  troubleText,
} from '../src/features/call/text.ts';
import { remember } from '../src/features/call/unfinished.ts';
import { setLang } from '../src/i18n/index.ts';
import { go } from '../src/routes.ts';
import { client } from '../src/session.ts';
import { Toasts } from '../src/ui/Toast/Toast.tsx';
import { ALICE, BOB, DEVICE, FakeNode } from './fake-node.ts';
import { fakeMedia } from './fake-rtc.ts';

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
let node: FakeNode;
let room: string;
let asked: unknown[][];

const roster = (more: Partial<Roster> = {}): Roster => ({
  t: 'call_roster',
  call: 'BAQEBAQEBAQEBAQEBAQEBA',
  room,
  version: 1,
  media: 'video',
  by: BOB,
  state: 'live',
  startedMs: Date.now() - 61_000,
  participants: [
    {
      seat: 'BgYGBgYGBgY',
      user: BOB,
      state: 'live',
      mic: true,
      camera: false,
      screen: false,
      hand: false,
      muted: false,
      joinedMs: 1,
    },
  ],
  invited: [],
  ...more,
});
const card = () => {
  const found = client.value?.state.rooms.value.get(room);
  if (!found) throw new Error('no room');
  return found;
};

beforeEach(async () => {
  await ready;
  vi.stubGlobal('fetch', () => Promise.reject(new Error('no HTTP in this test')));
  vi.stubGlobal('indexedDB', new (await import('fake-indexeddb')).IDBFactory());
  fakeMedia();
  node = new FakeNode();
  asked = [];
  node.calls = (frame, answer) => {
    asked.push(frame);
    if (frame[0] === 'call_decline' || frame[0] === 'call_leave') answer(['done', frame[1]]);
    if (frame[0] === 'call_join') answer(['refused', frame[1], 'already_done', 'late', {}]);
  };
  room = node.addRoom('Trip');
  const made = await Client.start({ me: ME, program: 'test', open: node.open });
  await vi.waitFor(() => expect(made.status.value).toBe('online'));
  await vi.waitFor(() => expect(made.state.nameOf(BOB)).toBe('Bob'));
  client.value = made;
});
afterEach(async () => {
  cleanup();
  session.value = null;
  ask.value = null;
  sessionStorage.clear();
  client.value?.close();
  client.value = null;
  go('/');
  await setLang('en');
});

describe('somebody calls', () => {
  const rings = () =>
    client.value?.calls.apply(
      { t: 'ring', call: roster().call, room, by: BOB, media: 'video', expiresMs: Date.now() + 9_000 },
      Date.now(),
    );

  test('it says who, tells the node that it rings, and stops when declined', async () => {
    rings();
    render(<Layer />);
    const dialog = screen.getByRole('alertdialog', { name: 'Bob', hidden: true });
    expect(dialog.textContent).toContain('Video call');
    expect(document.title).toBe('Bob is calling with video');
    await vi.waitFor(() => expect(asked.map(([name]) => name)).toEqual(['call_ringing']));
    fireEvent.click(screen.getByText('Decline'));
    await waitFor(() => expect(screen.queryByRole('alertdialog', { hidden: true })).toBeNull());
    expect(asked.at(-1)?.[0]).toBe('call_decline');
    expect(document.title).not.toContain('Bob');
  });

  test('answered too late, it says that another device was first', async () => {
    rings();
    render(<Layer />);
    fireEvent.click(screen.getByText('Answer'));
    await waitFor(() => expect(screen.getByText('Answered on another device')).toBeTruthy());
    fireEvent.click(screen.getByText('Close'));
    await waitFor(() => expect(session.value).toBeNull());
  });
});

describe('a call that was cut off', () => {
  const cutOff = async (who: readonly string[]) => {
    const { Session } = await import('../src/features/call/engine/session.ts');
    const mine = client.value as Client;
    const ended = new Session(mine, { how: 'start', room, media: 'audio', targets: [] });
    const [bob] = roster().participants;
    ended.roster.value = roster({ participants: who.map((user) => ({ ...(bob as Participant), user })) });
    session.value = ended;
    render(
      <>
        <Layer />
        <Toasts />
      </>,
    );
    await ended.leave(false, 'cut_off');
    await waitFor(() => expect(screen.getByText(/The connection was lost, and the call ended/)).toBeTruthy());
  };
  const tap = () => fireEvent.click(screen.getByText('Call again'));

  test('one tap calls the same people again', async () => {
    await cutOff([ALICE, BOB]);
    tap();
    await vi.waitFor(() => expect(asked.map(([name]) => name)).toContain('call_start'));
    expect(asked.find(([name]) => name === 'call_start')?.slice(3)).toEqual(['audio', [BOB]]);
  });

  test('or comes into the call that somebody else began meanwhile', async () => {
    await cutOff([ALICE, BOB]);
    client.value?.calls.apply(roster(), Date.now());
    tap();
    await vi.waitFor(() => expect(asked.map(([name]) => name)).toContain('call_join'));
    expect(asked.some(([name]) => name === 'call_start')).toBe(false);
  });

  test('or asks whom to call, when nobody is known', async () => {
    await cutOff([]);
    tap();
    expect(ask.value).toMatchObject({ what: 'ring' });
  });
});

describe('in a chat', () => {
  test('buttons stand where calls are allowed', () => {
    const { rerender } = render(<CallButtons room={card()} />);
    expect(screen.getByRole('button', { name: 'Voice call' })).toBeTruthy();
    rerender(<CallButtons room={{ ...card(), calls: 'nobody' }} />);
    expect(screen.queryByRole('button')).toBeNull();
  });

  test('a running call offers itself: to join, to move here, to come back', () => {
    const apply = (more: Partial<Roster>) => client.value?.calls.apply(roster(more), Date.now());
    apply({});
    const { rerender } = render(<CallLine room={card()} />);
    expect(screen.getByRole('status').textContent).toContain('Call in progress · 1 person · 01:01');
    fireEvent.click(screen.getByRole('button', { name: 'Join' }));
    expect(ask.value).toMatchObject({ what: 'join' });
    const [bob] = roster().participants;
    apply({ version: 2, participants: [{ ...(bob as Participant), user: ALICE }] });
    rerender(<CallLine room={card()} />);
    expect(screen.getByRole('button', { name: 'Continue here' })).toBeTruthy();
    remember({ call: roster().call, seat: 'BgYGBgYGBgY', room, media: 'video' });
    rerender(<CallLine room={{ ...card() }} />);
    expect(screen.getByRole('button', { name: 'Come back' })).toBeTruthy();
  });
});

describe('words', () => {
  const quality: Quality = {
    t: 'call_quality',
    call: 'c',
    seat: 's',
    level: 3,
    upLoss: 0,
    upKbps: 900,
    downLoss: 0,
    downKbps: 900,
    rttMs: 20,
    audioOnly: false,
    layers: new Map(),
  };

  test.each([
    [{ reason: 'declined' }, 'The call was declined', true],
    [{ reason: 'busy' }, 'Bob is in another call', true],
    [{ reason: 'unreachable' }, 'No device of Bob could be reached', true],
    [{ reason: 'missed' }, 'No answer', true],
    [{ reason: 'cut_off' }, 'The connection was lost, and the call ended. You can call again.', true],
    [{ reason: 'refused', error: new Refusal('not_found', '') }, 'This call is over', true],
    [
      { reason: 'refused', error: new Refusal('peer_offline', '') },
      'The node that keeps this call does not answer. In half a minute another one takes over; then try again.',
      true,
    ],
    [{ reason: 'something new' }, 'This call is over', false],
    [
      { reason: 'refused', error: new Refusal('unavailable', 'off') },
      'This node cannot carry calls now. Its admin sees why under Admin → Calls.',
      false,
    ],
    [
      { reason: 'refused', error: new Refusal('busy', '', { call: 'x' }) },
      'There is a call in this chat already. Join it.',
      true,
    ],
    [{ reason: 'refused', error: new Refusal('busy', '') }, 'You are in another call. Leave it first.', false],
    [
      { reason: 'refused', error: new Refusal('limit_reached', 'A call has at most 32 people.') },
      'A call has at most 32 people.',
      false,
    ],
  ])('%o reads %s', (ended, text, again) => {
    expect(endedText(ended, 'Bob')).toBe(text);
    expect([isNews(ended), mayRepeat(ended)]).toEqual([true, again]);
  });

  test('a connection: its level in words and which side is to blame', () => {
    expect([barsOf(null), qualityText(null), causeOf(null)]).toEqual([4, 'not known yet', '']);
    expect([barsOf({ ...quality, level: 0 }), qualityText({ ...quality, level: 0 })]).toEqual([1, 'bad']);
    expect(causeOf(quality)).toBe('');
    expect(causeOf({ ...quality, upLoss: 80 })).toContain('What you send');
    expect(causeOf({ ...quality, downLoss: 80 })).toContain('What you receive');
    expect(causeOf({ ...quality, rttMs: 400 })).toContain('answers come late');
    expect(causeOf({ ...quality, audioOnly: true })).toContain('the sound goes on');
  });

  test('a tile tells everything that its signs tell', () => {
    const [bob] = roster().participants as [Participant];
    expect(tileText(bob, 'Bob', false, false)).toBe('Bob');
    expect(tileText({ ...bob, mic: false, muted: true, hand: true, state: 'reconnecting' }, 'Bob', false, false)).toBe(
      'Bob, muted by a moderator, hand raised, reconnecting',
    );
    expect(tileText({ ...bob, mic: false }, 'Bob', true, false)).toBe('You (Bob), muted');
    expect(tileText(bob, 'Bob', false, true)).toBe('Screen of Bob');
  });

  test('devices, in both languages', async () => {
    for (const kind of ['mic', 'camera', 'screen'] as const)
      for (const why of ['insecure', 'denied', 'none', 'busy'] as const) {
        await setLang('en');
        const en = troubleText({ kind, why });
        await setLang('zh');
        expect(troubleText({ kind, why })).not.toBe(en);
        expect(en).not.toContain('call.');
      }
  });
});
