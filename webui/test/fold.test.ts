// @vitest-environment node
/** Pure folds: marks, unread, rows of the timeline, what a role may do. */
import { describe, expect, test } from 'vitest';
import { advance, countsFor, evolve, mentionsMe, shownText, uncount } from '../src/core/fold.ts';
import { can, outranks, roleNow } from '../src/core/roles.ts';
import type { Entry, Pending, Room } from '../src/core/types.ts';
import { rowsOf } from '../src/features/timeline/model.ts';

const ME = 'me@node';
const entry = (idx: number, more: Partial<Entry> = {}): Entry => ({
  room: 'r',
  idx,
  seq: idx,
  atMs: 1_764_000_000_000 + idx * 1000,
  id: `e${idx}`,
  author: 'bob@node',
  device: 'd',
  kind: 'text',
  body: { text: `m${idx}` },
  mark: null,
  ...more,
});
const room = (more: Partial<Room> = {}): Room => ({
  room: 'r',
  kind: 'group',
  name: 'R',
  topic: '',
  peer: '',
  role: 'member',
  state: 'member',
  invitedBy: '',
  mutedAll: false,
  mutedUntilMs: 0,
  recallWindowS: 120,
  editWindowS: 86_400,
  members: 3,
  joinedIdx: 1,
  headIdx: 0,
  readIdx: 0,
  unread: 0,
  mentions: 0,
  last: null,
  hub: '',
  nodes: [],
  stableIdx: 0,
  trouble: '',
  joining: false,
  successors: [],
  calls: 'everybody',
  asOf: 0,
  ...more,
});

describe('marks', () => {
  test('a reaction seen twice counts once, taken away it is gone', () => {
    const on = { value: '👍', on: true };
    const once = evolve(entry(1), 'a', 'reaction', on);
    expect(evolve(once, 'a', 'reaction', on).mark?.reactions).toEqual({ '👍': ['a'] });
    expect(evolve(once, 'a', 'reaction', { ...on, on: false }).mark?.reactions).toEqual({});
    expect(evolve(once, 'b', 'reaction', on).mark?.reactions).toEqual({ '👍': ['a', 'b'] });
  });
  test('recall erases words, edits and reactions', () => {
    let message = evolve(entry(1), 'bob@node', 'edit', { text: 'new' });
    expect(shownText(message)).toBe('new');
    message = evolve(message, 'a', 'reaction', { value: '👍', on: true });
    message = evolve(message, 'bob@node', 'recall', {});
    expect(message).toMatchObject({
      body: null,
      mark: { erased: 'recall', erasedBy: 'bob@node', edited: null, reactions: {} },
    });
    expect(shownText(message)).toBe('');
  });
  test('an unknown kind shows its fallback', () => {
    expect(shownText(entry(1, { kind: 'poll', body: { fallback: 'A poll' } }))).toBe('A poll');
  });
});

describe('unread', () => {
  const named = entry(2, { body: { text: '@me', mentions: [{ user: ME, start: 0, len: 3 }] } });
  test('content by others counts, room events and own words do not', () => {
    let now = advance(room(), entry(1), ME);
    now = advance(now, named, ME);
    now = advance(now, entry(3, { kind: 'name', body: { name: 'New' } }), ME);
    expect(now).toMatchObject({ unread: 2, mentions: 1, name: 'New', headIdx: 3 });
    expect(uncount(now, named, ME)).toMatchObject({ unread: 1, mentions: 0 });
    expect(advance(now, entry(4, { author: ME }), ME)).toMatchObject({ unread: 0, mentions: 0, readIdx: 4 });
  });
  test('everyone includes me; an erased message does not count', () => {
    expect(mentionsMe(entry(1, { body: { text: '@all', mentions: [{ user: 'all', start: 0, len: 4 }] } }), ME)).toBe(
      true,
    );
    expect(countsFor(evolve(entry(1), 'x', 'redact', {}), ME)).toBe(false);
  });
  test('being removed closes the card', () => {
    expect(advance(room(), entry(1, { kind: 'kick', body: { user: ME } }), ME)).toMatchObject({
      state: 'left',
      role: '',
      members: 2,
    });
  });
});

describe('roles', () => {
  test('the table of the node', () => {
    expect(can(room({ role: 'member' }), 'post', 0)).toBe(true);
    expect(can(room({ role: 'member', mutedAll: true }), 'post', 0)).toBe(false);
    expect(can(room({ role: 'admin', mutedAll: true }), 'post', 0)).toBe(true);
    expect(can(room({ role: 'visitor' }), 'post', 0)).toBe(false);
    expect(can(room({ role: 'admin' }), 'transfer', 0)).toBe(false);
    expect(can(room({ state: 'left' }), 'read', 0)).toBe(false);
    expect(can(room({ kind: 'direct' }), 'kick', 0)).toBe(false);
    expect(outranks('owner', 'admin')).toBe(true);
    expect(outranks('admin', 'admin')).toBe(false);
  });
  test('a mute ends by itself', () => {
    expect(roleNow('muted', 10, 9)).toBe('muted');
    expect(roleNow('muted', 10, 10)).toBe('member');
    expect(roleNow('muted', 0, 99)).toBe('muted');
  });
});

describe('rows', () => {
  const options = { me: ME, start: true, unreadAfter: null };
  const pending = (n: number): Pending => ({
    clientId: `p${n}`,
    n,
    room: 'r',
    kind: 'text',
    body: { text: 'x' },
    atMs: 1_764_000_010_000,
    state: 'queued',
    code: '',
    text: '',
    detail: {},
    id: '',
  });
  test('what is further up and not here is a row of its own, but not above the beginning', () => {
    const rows = (more: object) => rowsOf([entry(1)], [], { ...options, gap: true, ...more }).map(({ type }) => type);
    expect(rows({ start: false })[0]).toBe('gap');
    expect(rows({ start: true })).not.toContain('gap');
  });

  test('a message is shown as the marks that wait will leave it, a refused one beside it', () => {
    const mark = (n: number, state: Pending['state'], body: object): Pending => ({
      ...{ clientId: `c${n}`, n, room: 'r', atMs: 0, code: '', text: '', detail: {}, id: '' },
      ...{ kind: 'edit', state, body: { target: 'e1', ...body } },
    });
    const pending = [mark(1, 'queued', { text: 'new' }), mark(2, 'failed', { text: 'never' })];
    const row = rowsOf([entry(1)], pending, options).find(({ type }) => type === 'message');
    expect(row).toMatchObject({ marks: pending, entry: { mark: { edits: 1, edited: { text: 'new' } } } });
  });

  test('one day pill, one unread divider, messages of one author together', () => {
    const rows = rowsOf([entry(1), entry(2), entry(3, { author: ME }), entry(4)], [], { ...options, unreadAfter: 1 });
    expect(rows.map(({ type }) => type)).toEqual([
      'start',
      'day',
      'message',
      'unread',
      'message',
      'message',
      'message',
    ]);
    const joined = rowsOf([entry(1), entry(2)], [], options).slice(2);
    expect(joined).toMatchObject([
      { first: true, last: false },
      { first: false, last: true },
    ]);
  });
  test('own messages that wait stand last', () => {
    expect(
      rowsOf([entry(1)], [pending(1), pending(2)], options)
        .map(({ key }) => key)
        .slice(-2),
    ).toEqual(['p1', 'p2']);
  });
  test('keys stay when older entries are put above', () => {
    const below = rowsOf([entry(5), entry(6)], [], { ...options, start: false }).map(({ key }) => key);
    const all = rowsOf([entry(1), entry(5), entry(6)], [], { ...options, start: false }).map(({ key }) => key);
    expect(all.slice(-2)).toEqual(below.slice(-2));
  });
});
