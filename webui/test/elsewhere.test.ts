// @vitest-environment node
/** Chats that another node orders: posts wait, get a place, are refused, sent again and dismissed; what nodes have. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { fromText } from '../src/core/bytes.ts';
import { Client } from '../src/core/client.ts';
import { shownText } from '../src/core/fold.ts';
import { onTheWay } from '../src/core/pending.ts';
import type { Pending } from '../src/core/types.ts';
import type { WaitingItem } from '../src/core/wire.ts';
import { ALICE, BOB, DEVICE, FakeNode, HUB_ID } from './fake-node.ts';

const ME = { user: ALICE, local: 'alice', name: 'Alice', role: 'user', lang: '', device: DEVICE, node: '', domain: '' };
let node: FakeNode;
let client: Client;
let room: string;
let http: ReturnType<typeof vi.fn>;

const start = async (): Promise<Client> => {
  const made = await Client.start({ me: { ...ME, setup: 'done' }, program: 'test', open: node.open });
  await vi.waitFor(() => expect(made.status.value).toBe('online'));
  await vi.waitFor(() => expect(made.state.loaded.value).toBe(true));
  return made;
};
const again = async (): Promise<void> => {
  client.wake();
  await vi.waitFor(() => expect(client.status.value).toBe('online'));
};
const lose = async (): Promise<void> => {
  node.drop();
  await vi.waitFor(() => expect(client.status.value).toBe('offline'));
};
const pending = () => client.state.pending.value;
const texts = () => client.state.timeline(room).entries.value.map(shownText);
const say = async (text: string): Promise<string> => {
  await client.send(room, 'text', { text, format: 'plain' });
  await vi.waitFor(() => expect(pending().at(-1)).toMatchObject({ state: 'accepted', waits: HUB_ID }));
  return pending().at(-1)?.clientId ?? '';
};

beforeEach(async () => {
  http = vi.fn(async () => new Response('{"contacts": []}'));
  vi.stubGlobal('fetch', http);
  vi.stubGlobal('indexedDB', new (await import('fake-indexeddb')).IDBFactory());
  node = new FakeNode();
  room = node.addRoom('Far');
  node.elsewhere.add(room);
  client = await start();
  await client.history.open(room);
});
afterEach(() => client.close());

describe('a post that another node orders', () => {
  test('stays until its entry arrives, and the next one does not wait for it', async () => {
    const one = await say('one');
    const two = await say('two');
    expect(pending().map(({ body }) => body.text)).toEqual(['one', 'two']);
    node.order(two);
    await vi.waitFor(() => expect(texts()).toEqual(['two']));
    expect(pending().map(({ body }) => body.text)).toEqual(['one']);
    node.order(one);
    await vi.waitFor(() => expect(pending()).toEqual([]));
    expect(client.state.waiting.value.size).toBe(0);
  });

  test('is not posted again by a new connection, which tells that it still waits', async () => {
    await say('one');
    await lose();
    expect(pending()).toHaveLength(1);
    await again();
    await vi.waitFor(() => expect(client.state.waiting.value.size).toBe(1));
    expect(node.posts).toHaveLength(1);
    expect(pending()).toHaveLength(1);
  });

  test('that got its place meanwhile is there once', async () => {
    const one = await say('one');
    await lose();
    node.order(one);
    await again();
    await vi.waitFor(() => expect(texts()).toEqual(['one']));
    expect(pending()).toEqual([]);
  });

  test('that got its place while this device was forgotten leaves all the same', async () => {
    const one = await say('one');
    await lose();
    node.order(one);
    node.forgetCursors = true;
    await again();
    await vi.waitFor(() => expect(pending()).toEqual([]));
    expect(node.posts).toHaveLength(1);
  });

  test('that was dismissed on another device meanwhile is not sent anew', async () => {
    const one = await say('one');
    await lose();
    node.dismiss(one, false);
    await again();
    await vi.waitFor(() => expect(pending()).toEqual([]));
    expect(node.posts).toHaveLength(1);
  });

  test('that was refused shows why, is sent again as a new post, and is dismissed', async () => {
    const one = await say('one');
    node.reject(one, 'muted');
    await vi.waitFor(() => expect(pending()).toMatchObject([{ state: 'failed', code: 'muted', waits: HUB_ID }]));
    const item = pending()[0] as Pending;
    await client.waiting.sendAgain(item);
    await vi.waitFor(() => expect(pending()).toMatchObject([{ state: 'accepted' }]));
    expect(pending()[0]?.clientId).not.toBe(one);
    expect(http.mock.calls.map(([path]) => path)).toContain(`/api/v1/waiting/${item.id}`);
    await client.waiting.dismiss(pending()[0] as Pending);
    expect(pending()).toEqual([]);
  });

  test('a refused reaction is told of and forgotten', async () => {
    const stored = node.append(room, BOB, 'text', { text: 'hi' });
    await vi.waitFor(() => expect(texts()).toEqual(['hi']));
    await client.send(room, 'reaction', { target: node.idOf(stored), value: '👍', on: true });
    await vi.waitFor(() => expect(pending()).toMatchObject([{ state: 'accepted', waits: HUB_ID }]));
    node.reject(pending()[0]?.clientId ?? '', 'muted');
    await vi.waitFor(() => expect(client.forgotten.value).toMatchObject({ kind: 'reaction', code: 'muted' }));
  });

  test('one that another device dismissed goes from here', async () => {
    const one = await say('one');
    node.reject(one, 'muted');
    await vi.waitFor(() => expect(pending()).toMatchObject([{ state: 'failed' }]));
    node.dismiss(one);
    await vi.waitFor(() => expect(pending()).toEqual([]));
  });
});

describe('a node that is away', () => {
  const linked = (on: boolean) => node.signal(['nodes', fromText(room), [[new Uint8Array(32).fill(7), 0, on, '']], 0]);
  const away = () => {
    const card = client.state.rooms.value.get(room);
    return card !== undefined && client.state.hubIsAway(card);
  };

  test('is told by the own node, and back as soon as something comes from there', async () => {
    linked(false);
    await vi.waitFor(() => expect(away()).toBe(true));
    node.append(room, BOB, 'text', { text: 'back' });
    await vi.waitFor(() => expect(away()).toBe(false));
  });

  test('is not called away after a reconnect, before the own node says so again', async () => {
    linked(false);
    await vi.waitFor(() => expect(away()).toBe(true));
    await lose();
    const card = client.state.rooms.value.get(room);
    node.rooms.delete(room); // a resumed snapshot holds only what changed
    await again();
    await vi.waitFor(() => expect(away()).toBe(false));
    expect(client.state.rooms.value.get(room)?.nodes).toHaveLength(card?.nodes.length ?? -1);
  });

  test('is noticed when a post waits longer than a moment', async () => {
    linked(true);
    const one = await say('one');
    expect(away()).toBe(false);
    await vi.waitFor(() => expect(away()).toBe(true), 8_000);
    node.order(one);
    await vi.waitFor(() => expect(away()).toBe(false));
  }, 10_000);
});

describe('what other nodes have', () => {
  test('marks and domains are kept with the chat', async () => {
    node.signal(['nodes', fromText(room), [[new Uint8Array(32).fill(7), 3, true, 'casa.example']], 2]);
    await vi.waitFor(() => expect(client.state.rooms.value.get(room)?.stableIdx).toBe(2));
    expect(client.state.rooms.value.get(room)?.nodes).toEqual([
      { node: HUB_ID, idx: 3, linked: true, domain: 'casa.example' },
    ]);
    expect(client.state.nodeName(HUB_ID)).toBe('casa.example');
    expect(client.state.isRemote(`bob@${HUB_ID}`)).toBe(true);
    expect(client.state.isRemote(BOB)).toBe(false);
  });

  test('a domain that is not verified any more is not shown', async () => {
    const mark = (domain: string) =>
      node.signal(['nodes', fromText(room), [[new Uint8Array(32).fill(7), 3, true, domain]], 2]);
    mark('casa.example');
    await vi.waitFor(() => expect(client.state.nodeName(HUB_ID)).toBe('casa.example'));
    mark('');
    await vi.waitFor(() => expect(client.state.nodeName(HUB_ID)).toBe(`${HUB_ID.slice(0, 8)}…`));
  });

  test('contacts are fetched again when the node says so', async () => {
    const contact = {
      person: { user: `bob@${HUB_ID}`, local: 'bob', name: 'Bob' },
      address: 'bob@casa.example',
      state: 'asking',
      text: 'Hello?',
      at_ms: 1,
      room: '',
    };
    http.mockImplementation(async () => new Response(JSON.stringify({ contacts: [contact] })));
    node.signal(['contacts']);
    await vi.waitFor(() => expect(client.state.requests.value).toEqual([contact]));
    expect(client.state.nameOf(`bob@${HUB_ID}`)).toBe('Bob');
    expect(client.state.nodeName(HUB_ID)).toBe('casa.example');
    client.close();
    http.mockImplementation(async () => Promise.reject(new Error('no network')));
    const open = () => ({ close() {}, readyState: 0 }) as unknown as WebSocket;
    client = await Client.start({ me: { ...ME, setup: 'done' }, program: 'test', open });
    expect(client.state.requests.value).toEqual([contact]);
  });
});

test('posts of other devices stand among the own ones, in their order', () => {
  const own: Pending = {
    clientId: 'a',
    n: 20,
    room: 'r',
    kind: 'text',
    body: { text: 'own' },
    atMs: 20,
    state: 'queued',
    code: '',
    text: '',
    detail: {},
    id: '',
  };
  const other: WaitingItem = {
    room: 'r',
    id: 'e',
    clientId: 'b',
    kind: 'text',
    body: { text: 'other' },
    atMs: 10,
    code: '',
    text: '',
    hub: HUB_ID,
    gone: false,
  };
  expect(onTheWay([own], new Map())).toEqual([own]);
  expect(onTheWay([own], new Map([['e', other]])).map(({ body }) => body.text)).toEqual(['other', 'own']);
  expect(onTheWay([], new Map([['e', { ...other, code: 'muted' }]]))).toMatchObject([
    { state: 'failed', waits: HUB_ID },
  ]);
});
