// @vitest-environment node
/** The device against a node: first visit, live entries, reconnect, folds, unread counts, outbox. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { fromText } from '../src/core/bytes.ts';
import { Client } from '../src/core/client.ts';
import { shownText } from '../src/core/fold.ts';
import { foreseen, marksOf, queuedReaction } from '../src/core/pending.ts';
import { WINDOW_MAX } from '../src/core/store/state.ts';
import type { Entry } from '../src/core/types.ts';
import { ALICE, BOB, DEVICE, FakeNode } from './fake-node.ts';

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
let client: Client;
let room: string;

const start = async (): Promise<Client> => {
  const made = await Client.start({ me: ME, program: 'test', open: node.open });
  await vi.waitFor(() => expect(made.status.value).toBe('online'));
  await vi.waitFor(() => expect(made.state.loaded.value).toBe(true));
  return made;
};
const card = () => client.state.rooms.value.get(room);
const texts = () => client.state.timeline(room).entries.value.map(shownText);
const say = (text: string, author = BOB) => node.append(room, author, 'text', { text });

beforeEach(async () => {
  vi.stubGlobal('fetch', () => Promise.reject(new Error('no HTTP in this test')));
  vi.stubGlobal('indexedDB', new (await import('fake-indexeddb')).IDBFactory());
  node = new FakeNode();
  room = node.addRoom('Trip');
});
afterEach(() => client?.close());

describe('the feed', () => {
  test('a first visit shows the snapshot and pages the rest', async () => {
    for (let i = 1; i <= 100; i++) say(`m${i}`);
    client = await start();
    expect(card()).toMatchObject({ name: 'Trip', unread: 100 });
    await client.history.open(room);
    expect(texts().at(-1)).toBe('m100');
    expect(texts()[0]).toBe('m1');
    expect(client.state.timeline(room).start.value).toBe(true);
  });

  test('live entries count as unread once, and own ones read the chat', async () => {
    client = await start();
    await client.history.open(room);
    say('one');
    say('two');
    await vi.waitFor(() => expect(card()?.unread).toBe(2));
    node.append(room, ALICE, 'text', { text: 'mine' });
    await vi.waitFor(() => expect(card()).toMatchObject({ unread: 0, readIdx: 3 }));
    expect(texts()).toEqual(['one', 'two', 'mine']);
  });

  test('after a loss it resumes at the cursor and sees everything once', async () => {
    client = await start();
    await client.history.open(room);
    say('before');
    await vi.waitFor(() => expect(texts()).toEqual(['before']));
    node.drop();
    await vi.waitFor(() => expect(client.status.value).toBe('offline'));
    say('while away');
    client.wake();
    await vi.waitFor(() => expect(texts()).toEqual(['before', 'while away']));
    expect(card()?.unread).toBe(2);
  });

  test('an invitation that was taken back meanwhile is gone after resuming', async () => {
    const asked = node.addRoom('Party', true);
    say('hello');
    client = await start();
    await vi.waitFor(() => expect(client.state.invitations.value.map((one) => one.room)).toEqual([asked]));
    node.drop();
    await vi.waitFor(() => expect(client.status.value).toBe('offline'));
    node.rooms.delete(asked);
    client.wake();
    await vi.waitFor(() => expect(client.status.value).toBe('online'));
    await vi.waitFor(() => expect(client.state.invitations.value).toEqual([]));
  });

  test('a restart shows the stored log without the network', async () => {
    client = await start();
    await client.history.open(room);
    say('kept');
    await vi.waitFor(() => expect(node.acks.at(-1)).toBe(1));
    client.close();
    const open = () => ({ close() {}, readyState: 0 }) as unknown as WebSocket;
    client = await Client.start({ me: ME, program: 'test', open });
    await client.history.open(room);
    expect(texts()).toEqual(['kept']);
  });

  test('an acknowledgement never precedes the stored cursor', async () => {
    client = await start();
    for (let i = 0; i < 20; i++) say(`m${i}`);
    await vi.waitFor(() => expect(node.acks.at(-1)).toBe(20));
    expect(client.sync.cursor).toBe(20);
    expect([...node.acks]).toEqual([...node.acks].sort((a, b) => a - b));
  });

  test('what comes close together is acknowledged together', async () => {
    client = await start();
    for (let i = 0; i < 100; i++) say(`m${i}`);
    await vi.waitFor(() => expect(node.acks.at(-1)).toBe(100));
    expect(node.acks.length).toBeLessThan(50);
    expect(Math.max(...node.acks.map((seq, at) => seq - (node.acks[at - 1] ?? 0)))).toBeLessThanOrEqual(32);
  });

  test('a hidden tab, whose timers are slow, acknowledges at once', async () => {
    vi.stubGlobal('document', { hidden: true });
    client = await start();
    for (let i = 0; i < 10; i++) say(`m${i}`);
    await vi.waitFor(() => expect(node.acks.filter((seq) => seq > 0)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]));
    vi.unstubAllGlobals();
  });

  test('when the node has forgotten the cursor the cache is fetched anew', async () => {
    client = await start();
    await client.history.open(room);
    say('old');
    await vi.waitFor(() => expect(texts()).toEqual(['old']));
    node.forgetCursors = true;
    node.drop();
    await vi.waitFor(() => expect(client.status.value).toBe('offline'));
    client.wake();
    await vi.waitFor(() => expect(client.status.value).toBe('online'));
    await vi.waitFor(() => expect(texts()).toEqual(['old']));
  });
});

describe('marks', () => {
  test('edit, reaction and recall fold into the message', async () => {
    client = await start();
    await client.history.open(room);
    const first = say('helo');
    const target = fromText(node.idOf(first));
    node.append(room, BOB, 'edit', { target, text: 'hello' });
    node.append(room, BOB, 'reaction', { target, value: '👍', on: true });
    await vi.waitFor(() => expect(texts()).toEqual(['hello']));
    await vi.waitFor(() =>
      expect(client.state.timeline(room).entries.value[0]?.mark?.reactions).toEqual({ '👍': [BOB] }),
    );
    expect(card()?.unread).toBe(1);
    node.append(room, BOB, 'recall', { target });
    await vi.waitFor(() => expect(client.state.timeline(room).entries.value[0]?.mark?.erased).toBe('recall'));
    expect(card()?.unread).toBe(0);
    expect(card()?.last?.mark?.erased).toBe('recall');
  });

  test('a page of the past shows the present state', async () => {
    const first = say('helo');
    node.append(room, BOB, 'edit', { target: fromText(node.idOf(first)), text: 'hello' });
    client = await start();
    await client.history.open(room);
    expect(texts()).toEqual(['hello']);
  });
});

describe('the outbox', () => {
  const bodies = () => node.log.map(({ body }) => body.text);

  test('posts in order, each once', async () => {
    client = await start();
    await client.history.open(room);
    for (const text of ['a', 'b', 'c', 'd']) await client.send(room, 'text', { text });
    await vi.waitFor(() => expect(client.state.outbox.value).toEqual([]));
    expect(bodies()).toEqual(['a', 'b', 'c', 'd']);
    expect(texts()).toEqual(['a', 'b', 'c', 'd']);
  });

  test('what is written offline leaves after the connection is back', async () => {
    client = await start();
    node.drop();
    await vi.waitFor(() => expect(client.status.value).toBe('offline'));
    await client.send(room, 'text', { text: 'later' });
    expect(client.state.outbox.value[0]?.state).toBe('queued');
    client.wake();
    await vi.waitFor(() => expect(bodies()).toEqual(['later']));
    await vi.waitFor(() => expect(client.state.outbox.value).toEqual([]));
  });

  test('survives a restart', async () => {
    client = await start();
    node.drop();
    await vi.waitFor(() => expect(client.status.value).toBe('offline'));
    await client.send(room, 'text', { text: 'kept' });
    client.close();
    client = await start();
    await vi.waitFor(() => expect(bodies()).toEqual(['kept']));
  });

  test('a lost answer does not make two messages', async () => {
    client = await start();
    node.silent = true;
    await client.send(room, 'text', { text: 'once' });
    await vi.waitFor(() => expect(client.status.value).toBe('offline'));
    node.silent = false;
    client.wake();
    await vi.waitFor(() => expect(client.state.outbox.value).toEqual([]));
    expect(bodies()).toEqual(['once']);
  });

  test('a refusal fails with its reason, can be retried and deleted', async () => {
    client = await start();
    node.refuse = () => ['muted', { until_ms: 0 }];
    await client.send(room, 'text', { text: 'shout' });
    await vi.waitFor(() => expect(client.state.outbox.value[0]).toMatchObject({ state: 'failed', code: 'muted' }));
    const id = client.state.outbox.value[0]?.clientId ?? '';
    await client.outbox.retry(id);
    await vi.waitFor(() => expect(node.posts).toEqual([id, id]));
    await vi.waitFor(() => expect(client.state.outbox.value[0]?.state).toBe('failed'));
    await client.outbox.drop(id);
    expect(client.state.outbox.value).toEqual([]);
  });

  test('a rate limit is waited out', async () => {
    client = await start();
    let refusals = 1;
    node.refuse = () => (refusals-- > 0 ? ['rate_limited', { retry_after_s: 0.01 }] : null);
    await client.send(room, 'text', { text: 'slowly' });
    await vi.waitFor(() => expect(bodies()).toEqual(['slowly']));
  });
});

describe('a long chat', () => {
  const MANY = WINDOW_MAX + 500;
  const line = () => client.state.timeline(room);
  const span = () => [line().entries.value[0]?.idx, line().entries.value.at(-1)?.idx];
  const whole = () =>
    line().entries.value.every((entry, i, all) => i === 0 || entry.idx === (all[i - 1]?.idx ?? 0) + 1);

  test('holds at most so many entries; the window slides up and down without holes', async () => {
    for (let i = 1; i <= MANY; i++) say(`m${i}`, ALICE);
    client = await start();
    await client.history.open(room);
    while (!line().start.value) await client.history.older(room);
    expect(span()).toEqual([1, WINDOW_MAX]);
    expect(line().end.value).toBe(false);
    expect(whole()).toBe(true);

    const target = node.idOf(say('arrives far below'));
    node.append(room, BOB, 'reaction', { target: fromText(target), value: '👍', on: true });
    await vi.waitFor(() => expect(card()?.unread).toBe(1));
    expect(span()).toEqual([1, WINDOW_MAX]);
    client.read(room, WINDOW_MAX);
    await vi.waitFor(() => expect(card()?.unread).toBe(1));

    while (!line().end.value) await client.history.newer(room);
    expect(texts().at(-1)).toBe('arrives far below');
    expect(line().entries.value).toHaveLength(WINDOW_MAX);
    expect(whole()).toBe(true);
    expect(line().start.value).toBe(false);
    await client.history.older(room);
    expect(line().lo.value).toBeLessThan(MANY + 1 - WINDOW_MAX);
    expect(whole()).toBe(true);
  });

  test('going to the end, leaving the chat, or a jump down bring back the newest', async () => {
    for (let i = 1; i <= MANY; i++) say(`m${i}`, ALICE);
    client = await start();
    await client.history.open(room);
    while (!line().start.value) await client.history.older(room);
    await client.history.rest(room);
    expect(span()).toEqual([MANY - 199, MANY]);
    expect(line().end.value).toBe(true);
    say('live again', ALICE);
    await vi.waitFor(() => expect(texts().at(-1)).toBe('live again'));
    while (!line().start.value) await client.history.older(room);
    expect(await client.history.find(room, node.idOf(node.log[MANY - 1] as never))).toMatchObject({ idx: MANY });
    expect(await client.history.find(room, node.idOf(node.log[0] as never))).toMatchObject({ idx: 1 });
  });

  test('a chat that is left rests after a while, one that is shown again does not', async () => {
    for (let i = 1; i <= 500; i++) say(`m${i}`, ALICE);
    client = await start();
    await client.history.open(room);
    const hide = client.history.show(room);
    while (!line().start.value) await client.history.older(room);
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    hide();
    const again = client.history.show(room);
    vi.advanceTimersByTime(5_000);
    await client.sync.run(async () => undefined);
    expect(line().entries.value).toHaveLength(500);
    again();
    vi.advanceTimersByTime(5_000);
    vi.useRealTimers();
    await vi.waitFor(() => expect(line().entries.value).toHaveLength(200));
  });

  test('the disk keeps what memory lets go', async () => {
    for (let i = 1; i <= 500; i++) say(`m${i}`, ALICE);
    client = await start();
    await client.history.open(room);
    while (!line().start.value) await client.history.older(room);
    await client.history.rest(room);
    say('new', ALICE);
    await vi.waitFor(() => expect(texts().at(-1)).toBe('new'));
    node.away = true;
    node.drop();
    while (!line().start.value) await client.history.older(room);
    expect(span()).toEqual([1, 501]);
  });
});

describe('marks in the outbox', () => {
  const mine = () => client.state.timeline(room).entries.value;
  const kinds = () => node.log.map(({ kind }) => kind);
  const offline = async () => {
    node.drop();
    await vi.waitFor(() => expect(client.status.value).toBe('offline'));
  };

  test('written offline they are done afterwards, in their order, once', async () => {
    client = await start();
    await client.history.open(room);
    const first = say('helo', ALICE);
    await vi.waitFor(() => expect(texts()).toEqual(['helo']));
    await offline();
    const target = node.idOf(first);
    await client.send(room, 'edit', { target, text: 'hello' });
    await client.send(room, 'text', { text: 'between' });
    await client.send(room, 'reaction', { target, value: '👍', on: true });
    await client.send(room, 'edit', { target, text: 'hello!' });
    expect(texts()).toEqual(['helo']);
    const marks = marksOf(client.state.outbox.value);
    expect(shownText(foreseen(mine()[0] as Entry, marks, ALICE))).toBe('hello!');
    expect(foreseen(mine()[0] as Entry, marks, ALICE).mark?.reactions).toEqual({ '👍': [ALICE] });
    client.wake();
    await vi.waitFor(() => expect(client.state.outbox.value).toEqual([]));
    expect(kinds()).toEqual(['text', 'edit', 'text', 'reaction', 'edit']);
    expect(texts()).toEqual(['hello!', 'between']);
    expect(mine()[0]?.mark?.reactions).toEqual({ '👍': [ALICE] });
  });

  test('a lost answer does not react twice', async () => {
    client = await start();
    await client.history.open(room);
    const target = node.idOf(say('hi'));
    node.silent = true;
    await client.send(room, 'reaction', { target, value: '👍', on: true });
    await vi.waitFor(() => expect(client.status.value).toBe('offline'));
    node.silent = false;
    client.wake();
    await vi.waitFor(() => expect(client.state.outbox.value).toEqual([]));
    expect(kinds()).toEqual(['text', 'reaction']);
  });

  test('a recall that waits survives a restart and takes the text away at once', async () => {
    client = await start();
    await client.history.open(room);
    const target = node.idOf(say('oops', ALICE));
    await vi.waitFor(() => expect(texts()).toEqual(['oops']));
    await offline();
    await client.send(room, 'recall', { target });
    client.close();
    node.away = true;
    client = await Client.start({ me: ME, program: 'test', open: node.open });
    await client.history.open(room);
    const marks = marksOf(client.state.outbox.value);
    expect(foreseen(mine()[0] as Entry, marks, ALICE).mark?.erased).toBe('recall');
    node.away = false;
    client.wake();
    await vi.waitFor(() => expect(mine()[0]?.mark?.erased).toBe('recall'));
    expect(kinds()).toEqual(['text', 'recall']);
  });

  test('a refused edit says why and changes nothing; a needless recall leaves without a word', async () => {
    client = await start();
    await client.history.open(room);
    const target = node.idOf(say('old', ALICE));
    await vi.waitFor(() => expect(texts()).toEqual(['old']));
    node.refuse = (kind) => (kind === 'edit' ? ['window_closed', { limit: 120 }] : ['already_done', {}]);
    await client.send(room, 'edit', { target, text: 'new' });
    await client.send(room, 'recall', { target });
    await vi.waitFor(() =>
      expect(client.state.outbox.value).toMatchObject([{ state: 'failed', code: 'window_closed' }]),
    );
    const marks = marksOf(client.state.outbox.value);
    expect(marks.get(target)).toHaveLength(1);
    expect(foreseen(mine()[0] as Entry, marks, ALICE)).toBe(mine()[0]);
    expect(client.forgotten.value).toBeNull();
  });

  test('a refused reaction is told of and forgotten', async () => {
    client = await start();
    await client.history.open(room);
    const target = node.idOf(say('hi'));
    node.refuse = () => ['muted', { until_ms: 0 }];
    await client.send(room, 'reaction', { target, value: '👍', on: true });
    await vi.waitFor(() => expect(client.forgotten.value).toMatchObject({ kind: 'reaction', code: 'muted' }));
    await vi.waitFor(() => expect(client.state.outbox.value).toEqual([]));
  });

  test('a reaction that still waits can be found and taken out', async () => {
    client = await start();
    await client.history.open(room);
    const target = node.idOf(say('hi'));
    await offline();
    await client.send(room, 'reaction', { target, value: '👍', on: true });
    const waiting = queuedReaction(client.state.outbox.value, target, '👍');
    expect(queuedReaction(client.state.outbox.value, target, '😂')).toBeUndefined();
    await client.outbox.drop(waiting?.clientId ?? '');
    expect(client.state.outbox.value).toEqual([]);
  });
});

test('reading moves the mark once and counts down', async () => {
  for (let i = 1; i <= 5; i++) say(`m${i}`);
  client = await start();
  await client.history.open(room);
  client.read(room, 3);
  await vi.waitFor(() => expect(card()).toMatchObject({ readIdx: 3, unread: 2 }));
  client.read(room, 2);
  client.read(room, 5);
  await vi.waitFor(() => expect(card()).toMatchObject({ readIdx: 5, unread: 0 }));
  await vi.waitFor(() => expect(node.rooms.get(room)?.read).toBe(5), { timeout: 3_000 });
});

test('presence is forgotten when the node stays away, and asked anew when it is back', async () => {
  client = await start();
  node.signal(['presence', BOB, 'online']);
  await vi.waitFor(() => expect(client.state.presence.value.get(BOB)).toBe('online'));
  vi.useFakeTimers();
  try {
    node.drop();
    await vi.advanceTimersByTimeAsync(100);
    expect(client.status.value).toBe('offline');
    expect(client.state.presence.value.get(BOB)).toBe('online');
    node.away = true;
    await vi.advanceTimersByTimeAsync(3_000);
    expect(client.away.value).toBe(true);
    expect(client.state.presence.value.size).toBe(0);
    node.away = false;
    client.wake();
    await vi.advanceTimersByTimeAsync(100);
  } finally {
    vi.useRealTimers();
  }
  await vi.waitFor(() => expect(client.status.value).toBe('online'));
  expect(client.away.value).toBe(false);
});
