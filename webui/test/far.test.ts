/** Links between nodes, addresses as people type them, and what the page says of people, messages and chats elsewhere. */
import { encode } from '@msgpack/msgpack';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Contact } from '../src/core/api.gen.ts';
import { fromText, toText } from '../src/core/bytes.ts';
import { advance } from '../src/core/fold.ts';
import { carryTo, linkOf, parseFragment } from '../src/core/link.ts';
import { State } from '../src/core/store/state.ts';
import { type Entry, Refusal, type Room } from '../src/core/types.ts';
import { openWhenIn } from '../src/features/chats/model.ts';
import {
  contactsLike,
  explainMeeting,
  fullAddress,
  looksLikeAddress,
  placeIn,
  shortAddress,
} from '../src/features/contacts/model.ts';
import { isStable, reachOf } from '../src/features/message/model.ts';
import { noticeOf } from '../src/features/timeline/notices.ts';
import { awayOf, stopsWriting, troubleOf } from '../src/features/timeline/trouble.ts';
import { setLang } from '../src/i18n/index.ts';
import { go, parse, path } from '../src/routes.ts';
import { client } from '../src/session.ts';

const HOME = 'a'.repeat(52);
const FAR = 'b'.repeat(52);
const THIRD = 'c'.repeat(52);
const ME = `alice@${HOME}`;
const BOB = `bob@${FAR}`;
const fragment = toText(
  encode([1, 1, new Uint8Array(32).fill(3), new TextEncoder().encode('bob'), 'Bob', [], new Uint8Array(16)]),
);

const room = (more: Partial<Room> = {}): Room => ({
  room: 'r',
  kind: 'direct',
  name: '',
  topic: '',
  peer: BOB,
  role: '',
  state: 'member',
  invitedBy: '',
  mutedAll: false,
  mutedUntilMs: 0,
  recallWindowS: 0,
  editWindowS: 0,
  members: 2,
  joinedIdx: 1,
  headIdx: 9,
  readIdx: 0,
  unread: 0,
  mentions: 0,
  last: null,
  hub: HOME,
  nodes: [{ node: FAR, idx: 0, linked: true, domain: '' }],
  stableIdx: 0,
  trouble: '',
  joining: false,
  successors: [],
  calls: 'everybody',
  asOf: 0,
  ...more,
});
const entry = (idx: number): Entry => ({
  room: 'r',
  idx,
  seq: idx,
  atMs: 1,
  id: `e${idx}`,
  author: ME,
  device: '',
  kind: 'text',
  body: { text: 'x' },
  mark: null,
});
const contact = (state: Contact['state'], name = 'Bob', user = BOB): Contact => ({
  person: { user, local: 'bob', name },
  address: '',
  state,
  text: '',
  at_ms: 1,
  room: '',
});
const state = (...contacts: Contact[]): State => {
  const made = new State(ME, 'd');
  made.contacts.value = contacts;
  return made;
};
const receipts = (made: State, user: string, deliveredIdx: number, readIdx: number) => {
  made.timeline('r').receipts.value = new Map([[user, { room: 'r', user, deliveredIdx, readIdx, readMs: 1 }]]);
};

afterEach(async () => setLang('en'));

describe('a link that is opened on another node', () => {
  test('is carried to the own node, with the place where it came from', () => {
    expect(carryTo('casa.example', `#${fragment}`, 'far.example')).toBe(
      `https://casa.example/i#${fragment}@far.example`,
    );
    expect(carryTo(' me@casa.example ', fragment, 'far.example:8443')).toBe(
      `https://casa.example/i#${fragment}@far.example:8443`,
    );
    expect(carryTo('http://127.0.0.1:80/x', fragment, 'far.example')).toBe(
      `http://127.0.0.1/i#${fragment}@far.example`,
    );
  });

  test('goes nowhere when no node was named', () => {
    for (const typed of ['', '   ', 'two words', 'javascript:alert(1)', 'https://', 'a@b@c d'])
      expect(carryTo(typed, fragment, 'far.example'), typed).toBeNull();
  });

  test("is the maker's link again, and the same invitation", () => {
    expect(linkOf(`#${fragment}@far.example:8443`, 'casa.example')).toBe(`https://far.example:8443/i#${fragment}`);
    expect(linkOf(`#${fragment}`, 'casa.example')).toBe(`https://casa.example/i#${fragment}`);
    expect(linkOf(`#${fragment}@evil/../path`, 'casa.example')).toBe(`https://casa.example/i#${fragment}`);
    expect(parseFragment(`#${fragment}@far.example`)).toMatchObject({
      kind: 'contact',
      subject: 'bob',
      from: 'far.example',
    });
    expect(parseFragment(`#${fragment}`)).toMatchObject({ from: '' });
    expect(fromText(fragment).length).toBeGreaterThan(0);
  });
});

test('addresses and links are told from names', () => {
  for (const text of ['bob@casa.example', ` https://casa.example/i#${fragment} `, `bob@${FAR}.startalk.alt`])
    expect(looksLikeAddress(text), text).toBe(true);
  for (const text of ['bob', 'Bob Weaver', 'bob@casa', '@bob', 'https://casa.example/'])
    expect(looksLikeAddress(text), text).toBe(false);
  expect(placeIn('bob@casa.example')).toBe('casa.example');
  expect(placeIn(`https://casa.example:8443/i#${fragment}`)).toBe('casa.example:8443');
  expect(placeIn(`bob@${FAR}.startalk.alt`)).toBe('bbbbbbbb…');
});

test('an address is short on the screen and whole when it is copied', () => {
  const made = state();
  expect(shortAddress(made, BOB)).toBe('bob@bbbbbbbb…');
  expect(fullAddress(made, BOB)).toBe(`bob@${FAR}.startalk.alt`);
  made.domains.value = new Map([[FAR, 'casa.example']]);
  expect(shortAddress(made, BOB)).toBe('bob@casa.example');
  expect(fullAddress(made, BOB)).toBe('bob@casa.example');
  expect(shortAddress(made, ME)).toBe('@alice');
});

test('why nobody was found says what to do', async () => {
  const say = (code: string) => explainMeeting(new Refusal(code, ''), 'bob@casa.example');
  expect(say('peer_unreachable')).toContain('casa.example does not answer');
  expect(say('peer_offline')).toBe(say('peer_unreachable'));
  expect(say('key_changed')).toContain('another key');
  expect(say('name_invalid')).toContain('alice@casa.example');
  expect(say('rate_limited')).toContain('Too many');
  await setLang('zh');
  expect(say('peer_unreachable')).toContain('casa.example 没有应答');
});

test('contacts that can be written to come first; open requests stand elsewhere', () => {
  const made = state(
    contact('blocked', 'Ada'),
    contact('asking', 'Cleo'),
    contact('contact', 'Zoe'),
    contact('contact', 'Bob'),
  );
  expect(contactsLike(made, '').map(({ person }) => person.name)).toEqual(['Bob', 'Zoe', 'Ada']);
  expect(contactsLike(made, 'zo').map(({ person }) => person.name)).toEqual(['Zoe']);
  expect(made.requests.value).toHaveLength(1);
});

describe('how far a message has come', () => {
  const progress = (made: State, card: Room) => reachOf(made.timeline('r'), entry(5), ME, card).progress;

  test('from its place over the other node to a device and a reader', () => {
    const made = state();
    expect(progress(made, room())).toBe('sent');
    expect(progress(made, room({ nodes: [{ node: FAR, idx: 5, linked: true, domain: '' }] }))).toBe('node');
    receipts(made, BOB, 5, 0);
    expect(progress(made, room())).toBe('delivered');
    receipts(made, BOB, 5, 5);
    expect(progress(made, room())).toBe('read');
  });

  test('the node that gave it its place has it', () => {
    expect(progress(state(), room({ hub: FAR }))).toBe('node');
  });

  test('in a group all nodes must have it; on one node there is nothing to say', () => {
    const nodes = (idx: number) => [
      { node: FAR, idx: 9, linked: true, domain: '' },
      { node: THIRD, idx, linked: true, domain: '' },
    ];
    expect(progress(state(), room({ kind: 'group', peer: '', nodes: nodes(4) }))).toBe('sent');
    expect(progress(state(), room({ kind: 'group', peer: '', nodes: nodes(5) }))).toBe('node');
    expect(progress(state(), room({ kind: 'group', peer: '', nodes: [] }))).toBe('sent');
  });

  test('it is stable when most nodes hold it', () => {
    expect(isStable(room({ stableIdx: 4 }), entry(5), HOME)).toBe(false);
    expect(isStable(room({ stableIdx: 5 }), entry(5), HOME)).toBe(true);
    expect(isStable(room({ hub: FAR }), entry(5), HOME)).toBe(true);
  });
});

describe('what stands between the reader and the others', () => {
  test('the most serious thing first', () => {
    const made = state(contact('contact'));
    expect(troubleOf(made, room())).toBeNull();
    const away = { hub: FAR, nodes: [{ node: FAR, idx: 0, linked: false, domain: '' }] };
    expect(troubleOf(made, room(away))).toBe('hub_away');
    expect(troubleOf(made, room({ ...away, joining: true }))).toBe('joining');
    expect(troubleOf(made, room({ ...away, joining: true, trouble: 'forked' }))).toBe('forked');
    expect(troubleOf(made, room({ trouble: 'anything' }))).toBe('invalid');
  });

  test('a group that goes on elsewhere says so, and can still be written to', () => {
    const made = state();
    const group = room({ kind: 'group', peer: '', successors: ['new'], hub: FAR });
    expect(troubleOf(made, group)).toBe('succeeded');
    expect(stopsWriting('succeeded')).toBe(false);
    expect(troubleOf(made, { ...group, trouble: 'forked' })).toBe('forked');
  });

  test('consent can be missing, open or taken away', () => {
    expect(troubleOf(state(), room())).toBe('stranger');
    expect(troubleOf(state(contact('asked')), room())).toBe('asked');
    expect(troubleOf(state(contact('blocked')), room())).toBe('blocked');
    expect(troubleOf(new State(ME, 'd'), room())).toBeNull(); // not known yet
    expect(troubleOf(state(), room({ peer: `eve@${HOME}` }))).toBeNull();
    expect(troubleOf(state(), room({ peer: '' }))).toBeNull();
  });

  test('a node that is away stops nobody from writing', () => {
    expect(stopsWriting('hub_away')).toBe(false);
    expect(stopsWriting(null)).toBe(false);
    expect(stopsWriting('stranger')).toBe(true);
  });

  test('whether somebody is there is not known while their node is away', () => {
    const made = state();
    expect(awayOf(made, room())).toBe('');
    expect(awayOf(made, room({ nodes: [{ node: FAR, idx: 0, linked: false, domain: '' }] }))).toContain('bbbbbbbb…');
  });
});

describe('a chat that the reader is being let into', () => {
  const member = (made: State) => {
    made.rooms.value = new Map([['r', room()]]);
  };

  test('opens when it is there', async () => {
    const made = state();
    client.value = { state: made } as never;
    go('/');
    openWhenIn('r');
    member(made);
    await vi.waitFor(() => expect(path.value).toBe('/c/r'));
  });

  test('does not open when the reader has gone elsewhere', async () => {
    const made = state();
    client.value = { state: made } as never;
    go('/');
    openWhenIn('r');
    go('/settings');
    await Promise.resolve();
    go('/');
    member(made);
    await Promise.resolve();
    expect(path.value).toBe('/');
  });
});

test('who keeps a node out, or goes on with a group, is said in words', () => {
  const made = state();
  const said = (kind: string, body: Record<string, unknown>) => noticeOf(made, { ...entry(1), kind, body });
  expect(said('ban_node', { node: FAR })).toBe('You banned everybody of bbbbbbbb…');
  expect(said('create', { name: 'x', replaces: { room: 'r' } })).toContain('went on with the group');
  const left = advance(
    room({ kind: 'group' }),
    { ...entry(10), author: BOB, kind: 'ban_node', body: { node: HOME } },
    ME,
  );
  expect(left.state).toBe('left');
  const stays = advance(
    room({ kind: 'group' }),
    { ...entry(10), author: BOB, kind: 'ban_node', body: { node: FAR } },
    ME,
  );
  expect(stays.state).toBe('member');
});

test('the pages have their addresses', () => {
  expect(parse('/add')).toEqual({ page: 'contacts', dialog: 'add' });
  expect(parse('/add/link')).toEqual({ page: 'contacts', dialog: 'my-link' });
  expect(parse(`/contacts/${encodeURIComponent(BOB)}`)).toEqual({ page: 'contacts', sub: BOB });
  expect(parse(`/admin/peers/${FAR}`)).toEqual({ page: 'admin', sub: 'peers', item: FAR });
});
