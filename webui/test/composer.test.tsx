/** The composer on a real client and a fake node. */
import { cleanup, fireEvent, render, screen, waitFor } from '@testing-library/preact';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Client } from '../src/core/client.ts';
import { Composer } from '../src/features/composer/Composer.tsx';
import { client as signedIn } from '../src/session.ts';
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

beforeEach(async () => {
  vi.stubGlobal('fetch', () => Promise.reject(new Error('no HTTP in this test')));
  vi.stubGlobal('indexedDB', new (await import('fake-indexeddb')).IDBFactory());
  node = new FakeNode();
  room = node.addRoom('Trip');
  client = await Client.start({ me: ME, program: 'test', open: node.open });
  signedIn.value = client;
  await vi.waitFor(() => expect(client.state.rooms.value.size).toBe(1));
  await client.history.open(room);
});
afterEach(() => {
  cleanup();
  signedIn.value = null;
  client.close();
});

const card = () => client.state.rooms.value.get(room) as NonNullable<ReturnType<typeof client.state.rooms.value.get>>;
const show = () => {
  render(<Composer room={card()} />);
  return screen.getByLabelText('Message Trip') as HTMLTextAreaElement;
};
const texts = () => node.log.map(({ body }) => body.text);

test('Enter sends, Shift Enter does not', async () => {
  const box = show();
  fireEvent.input(box, { target: { value: 'hello' } });
  fireEvent.keyDown(box, { key: 'Enter', shiftKey: true });
  fireEvent.keyDown(box, { key: 'Enter' });
  await waitFor(() => expect(texts()).toEqual(['hello']));
  await waitFor(() => expect(box.value).toBe(''));
});

test('Enter inside an input method does not send', async () => {
  const box = show();
  fireEvent.input(box, { target: { value: 'ni' } });
  fireEvent.keyDown(box, { key: 'Enter', isComposing: true });
  fireEvent.compositionStart(box);
  fireEvent.keyDown(box, { key: 'Enter' });
  fireEvent.compositionEnd(box);
  fireEvent.keyDown(box, { key: 'Process', keyCode: 229 });
  expect(client.state.outbox.value).toEqual([]);
  expect(box.value).toBe('ni');
});

test('blank text is not sent', () => {
  const box = show();
  fireEvent.input(box, { target: { value: '  \n ' } });
  fireEvent.keyDown(box, { key: 'Enter' });
  expect(client.state.outbox.value).toEqual([]);
  expect((screen.getByRole('button', { name: 'Send' }) as HTMLButtonElement).disabled).toBe(true);
});

test('↑ in an empty composer edits the last own message, Escape leaves', async () => {
  const mine = node.append(room, ALICE, 'text', { text: 'helo' }, DEVICE);
  await vi.waitFor(() => expect(client.state.timeline(room).entries.value).toHaveLength(1));
  vi.setSystemTime(Number(mine.raw[4]) + 1000);
  const box = show();
  fireEvent.keyDown(box, { key: 'ArrowUp' });
  await waitFor(() => expect(box.value).toBe('helo'));
  fireEvent.keyDown(box, { key: 'Escape' });
  await waitFor(() => expect(box.value).toBe(''));
  vi.useRealTimers();
});

test('a draft is kept', async () => {
  fireEvent.input(show(), { target: { value: 'not yet' } });
  await waitFor(() => expect(client.state.drafts.value.get(room)).toBe('not yet'));
});

test('who may not write sees why', () => {
  render(<Composer room={{ ...card(), role: 'visitor' }} />);
  expect(screen.getByRole('status').textContent).toContain('Visitors can read');
});

test('somebody who is removed sees it', async () => {
  node.append(room, BOB, 'kick', { user: ALICE });
  await vi.waitFor(() => expect(card().state).toBe('left'));
  render(<Composer room={card()} />);
  expect(screen.getByRole('status').textContent).toContain('no longer in this group');
});
