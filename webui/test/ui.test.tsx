/** Widgets: roles, names and keys. */
import { act, cleanup, fireEvent, render, screen, waitFor } from '@testing-library/preact';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { version } from '../node_modules/preact/package.json';
import { Refusal } from '../src/core/types.ts';
import { mentionsIn } from '../src/features/composer/model.ts';
import Markdown from '../src/features/message/Markdown.tsx';
import { isOnlyEmoji, looksLikeMarkdown, partsOf } from '../src/features/message/plain.ts';
import en from '../src/i18n/en.json';
import { dayOf, setLang, t } from '../src/i18n/index.ts';
import { explain } from '../src/i18n/refusal.ts';
import zh from '../src/i18n/zh.json';
import { parse } from '../src/routes.ts';
import { Avatar, dotSize, letters } from '../src/ui/Avatar/Avatar.tsx';
import { Button, IconButton } from '../src/ui/Button/Button.tsx';
import { Confirm, Dialog } from '../src/ui/Dialog/Dialog.tsx';
import EmojiGrid from '../src/ui/Emoji/EmojiGrid.tsx';
import { Field, Segments, Select, Switch } from '../src/ui/Field/Field.tsx';
import { useLasting } from '../src/ui/lasting.ts';
import { Menu } from '../src/ui/Menu/Menu.tsx';
import { Problem, Qr } from '../src/ui/Parts/Parts.tsx';
import { Toasts, toast } from '../src/ui/Toast/Toast.tsx';

afterEach(async () => {
  cleanup();
  await setLang('en');
});

test('the tree stays on Preact 11', () => {
  expect(version).toMatch(/^11\./);
});

test('a dot of presence has whole, even sides', () => {
  for (let size = 20; size <= 110; size++) {
    expect(dotSize(size) % 2).toBe(0);
    expect(dotSize(size)).toBeGreaterThanOrEqual(8);
  }
});

test('what lasts only for a moment is not shown', async () => {
  vi.useFakeTimers();
  const Probe = ({ on }: { on: boolean }) => <i>{useLasting(on, 150) ? 'shown' : 'hidden'}</i>;
  const { rerender, container } = render(<Probe on />);
  const after = (ms: number) => act(() => void vi.advanceTimersByTime(ms));
  await after(149);
  expect(container.textContent).toBe('hidden');
  rerender(<Probe on={false} />);
  rerender(<Probe on />);
  await after(149);
  expect(container.textContent).toBe('hidden');
  await after(1);
  expect(container.textContent).toBe('shown');
  rerender(<Probe on={false} />);
  expect(container.textContent).toBe('hidden');
  vi.useRealTimers();
});

describe('widgets', () => {
  test('a button says that it is busy and does not act', () => {
    const click = vi.fn();
    render(
      <Button busy onClick={click}>
        Save
      </Button>,
    );
    const button = screen.getByRole('button', { name: 'Save' });
    expect(button.getAttribute('aria-busy')).toBe('true');
    expect((button as HTMLButtonElement).disabled).toBe(true);
  });

  test('an icon button has a name', () => {
    render(<IconButton icon="x" label="Close" onClick={() => undefined} />);
    expect(screen.getByRole('button', { name: 'Close' })).toBeTruthy();
  });

  test('a dialog has its title as name and closes by its button and by cancel', () => {
    const close = vi.fn();
    render(
      <Dialog title="New group" onClose={close}>
        text
      </Dialog>,
    );
    const dialog = screen.getByRole('dialog', { name: 'New group', hidden: true });
    fireEvent(dialog, new Event('cancel', { cancelable: true }));
    fireEvent.click(screen.getByLabelText('Close'));
    expect(close).toHaveBeenCalledTimes(2);
  });

  test('a confirmation closes, then acts', () => {
    const calls: string[] = [];
    render(
      <Confirm
        title="Leave"
        text="Sure?"
        action="Go"
        onClose={() => calls.push('close')}
        onConfirm={() => calls.push('act')}
      />,
    );
    fireEvent.click(screen.getByText('Go'));
    expect(calls).toEqual(['close', 'act']);
  });

  test('arrows, Home, End and letters move in a menu; Escape closes', () => {
    const close = vi.fn();
    const run = vi.fn();
    render(
      <Menu
        label="Actions"
        at={{ x: 0, y: 0 }}
        onClose={close}
        items={['Reply', 'Copy', 'Delete'].map((label) => ({ label, run }))}
      />,
    );
    const menu = screen.getByRole('menu', { hidden: true });
    const items = screen.getAllByRole('menuitem', { hidden: true });
    expect(document.activeElement).toBe(items[0]);
    fireEvent.keyDown(menu, { key: 'ArrowDown' });
    expect(document.activeElement).toBe(items[1]);
    fireEvent.keyDown(menu, { key: 'End' });
    expect(document.activeElement).toBe(items[2]);
    fireEvent.keyDown(menu, { key: 'ArrowDown' });
    expect(document.activeElement).toBe(items[0]);
    fireEvent.keyDown(menu, { key: 'd' });
    expect(document.activeElement).toBe(items[2]);
    fireEvent.keyDown(menu, { key: 'Escape' });
    expect(close).toHaveBeenCalledTimes(1);
    fireEvent.click(items[1] as HTMLElement);
    expect(run).toHaveBeenCalledTimes(1);
  });

  test('a field ties its error to the input', () => {
    render(<Field label="User name" value="" onInput={() => undefined} error="Taken" />);
    const input = screen.getByLabelText('User name');
    expect(input.getAttribute('aria-invalid')).toBe('true');
    expect(document.getElementById(input.getAttribute('aria-describedby') ?? '')?.textContent).toContain('Taken');
  });

  test('a password can be shown', () => {
    render(<Field label="Password" type="password" value="secret" onInput={() => undefined} />);
    const input = screen.getByLabelText('Password') as HTMLInputElement;
    expect(input.type).toBe('password');
    fireEvent.click(screen.getByRole('button', { name: 'Show password' }));
    expect(input.type).toBe('text');
  });

  test('a switch and a select report', () => {
    const change = vi.fn();
    const pick = vi.fn();
    render(
      <>
        <Switch label="Mute" on={false} onChange={change} />
        <Select
          label="Uses"
          value="1"
          onChange={pick}
          options={[
            { value: '1', label: 'one' },
            { value: '2', label: 'two' },
          ]}
        />
      </>,
    );
    fireEvent.click(screen.getByRole('switch', { name: /Mute/ }));
    fireEvent.change(screen.getByLabelText('Uses'), { target: { value: '2' } });
    expect(change).toHaveBeenCalledWith(true);
    expect(pick).toHaveBeenCalledWith('2');
  });

  test('segments are a radio group with arrows', () => {
    const pick = vi.fn();
    render(
      <Segments
        label="Theme"
        value="a"
        onChange={pick}
        options={[
          { value: 'a', label: 'A' },
          { value: 'b', label: 'B' },
        ]}
      />,
    );
    const group = screen.getByRole('radiogroup', { name: 'Theme' });
    expect(screen.getByRole('radio', { name: 'A' }).getAttribute('aria-checked')).toBe('true');
    fireEvent.keyDown(group, { key: 'ArrowRight' });
    expect(pick).toHaveBeenCalledWith('b');
    fireEvent.keyDown(group, { key: 'ArrowLeft' });
    expect(pick).toHaveBeenLastCalledWith('b');
  });

  test('an avatar is made from the name', () => {
    expect([letters('Alice Liu'), letters('bob'), letters('陈卡罗'), letters('王小'), letters('  ')]).toEqual([
      'AL',
      'B',
      '卡罗',
      '王小',
      '',
    ]);
    render(<Avatar id="x" name="Alice" presence="online" />);
    expect(screen.getByRole('img', { name: 'Online' })).toBeTruthy();
  });

  test('the grid of emoji gives the one that was picked', () => {
    const pick = vi.fn();
    render(<EmojiGrid label="React" at={{ x: 0, y: 0 }} onClose={() => undefined} onPick={pick} />);
    fireEvent.click(screen.getAllByLabelText('👍')[0] as HTMLElement);
    expect(pick).toHaveBeenCalledWith('👍');
  });

  test('a QR code is drawn without markup strings', async () => {
    const { container } = render(<Qr text="https://casa.example/i#abc" label="QR" />);
    await waitFor(() => expect(container.querySelector('path')?.getAttribute('d')?.length).toBeGreaterThan(100));
  });

  test('news are read politely', () => {
    render(<Toasts />);
    toast('Saved');
    return waitFor(() =>
      expect(screen.getByText('Saved').closest('[role=status]')?.getAttribute('aria-live')).toBe('polite'),
    );
  });

  test('a fault of the node shows its id', () => {
    render(<Problem error={new Refusal('internal', 'x', {}, 'abc123')} />);
    expect(screen.getByRole('alert').textContent).toContain('abc123');
  });
});

describe('languages', () => {
  const holes = (text: string) => [...text.matchAll(/\{(\w+)/g)].map(([, name]) => name).sort();
  test('both have the same keys and placeholders', () => {
    expect(Object.keys(zh).sort()).toEqual(Object.keys(en).sort());
    for (const key of Object.keys(en) as (keyof typeof en)[])
      expect([...new Set(holes(zh[key]))], key).toEqual([...new Set(holes(en[key]))]);
  });
  test('plural forms', async () => {
    expect([t('chats.unread', { n: 1 }), t('chats.unread', { n: 1200 })]).toEqual([
      '1 unread message',
      '1,200 unread messages',
    ]);
    await setLang('zh');
    expect(t('chats.unread', { n: 2 })).toBe('2 条未读消息');
    expect(document.documentElement.lang).toBe('zh-CN');
  });
  test('days', () => {
    const noon = new Date(2026, 5, 15, 12).getTime();
    expect([dayOf(noon, noon), dayOf(noon - 86_400_000, noon)]).toEqual(['Today', 'Yesterday']);
  });
  test("refusals say what to do in the reader's language", async () => {
    expect(explain(new Refusal('rate_limited', 'x', { retry_after_s: 30 })).text).toBe(
      'Too many attempts. Try again in 30 seconds.',
    );
    expect(explain(new Refusal('conflict', 'Hand the chat over first.')).text).toBe('Hand the chat over first.');
    await setLang('zh');
    expect(explain(new Refusal('conflict', 'Hand the chat over first.')).text).toBe('此操作与当前状态冲突。');
    expect(explain(new Refusal('brand_new_code', 'New.')).text).toBe('New.');
  });
});

describe('text', () => {
  const show = (text: string) => render(<Markdown text={text} />).container;

  test('the Markdown subset', () => {
    const box = show('**bold** *it* ~~gone~~ `code`\n\n- a\n- b\n\n> said\n\n```\nx < y\n```');
    for (const tag of ['strong', 'em', 'del', 'code', 'ul', 'blockquote', 'pre'])
      expect(box.querySelector(tag), tag).toBeTruthy();
    expect(box.querySelector('pre')?.textContent).toBe('x < y');
  });

  test.each([
    '<img src=x onerror=alert(1)>',
    '<script>alert(1)</script>',
    '[x](javascript:alert(1))',
    '[x](JaVaScRiPt:alert(1))',
    '[x](data:text/html,<script>alert(1)</script>)',
    '![x](javascript:alert(1))',
    '<a href="javascript:alert(1)">x</a>',
    '<svg onload=alert(1)>',
    '[x](vbscript:x)',
    '<iframe src="https://example.org"></iframe>',
    '[a]: javascript:alert(1)\n[a]',
    '<style>*{display:none}</style>',
  ])('hostile text stays text: %s', (text) => {
    const box = show(text);
    expect(box.querySelector('script,img,iframe,svg,style,object,embed,form')).toBeNull();
    for (const link of box.querySelectorAll('a')) expect(link.protocol).toMatch(/^(https?|mailto):$/);
    for (const node of box.querySelectorAll('*'))
      for (const { name } of node.attributes) expect(name.startsWith('on')).toBe(false);
  });

  test('deep nesting ends', { timeout: 60_000 }, () => {
    expect(show(`${'> '.repeat(500)}x`).textContent).toContain('x');
    for (const unit of ['> ', '[', '![', '- ', '*_', '**a ', '`', '~~', '<b>']) {
      expect(show(`a ${unit.repeat(1000)}`).textContent?.length, unit).toBeGreaterThan(0);
    }
  });

  test('links and mentions in plain text', () => {
    expect(partsOf('see https://example.org/a, ok')).toEqual([
      { text: 'see ' },
      { text: 'https://example.org/a', href: 'https://example.org/a' },
      { text: ', ok' },
    ]);
    expect(partsOf('😀 @Bob hi', [{ user: 'bob', start: 2, len: 4 }])).toEqual([
      { text: '😀 ' },
      { text: '@Bob', user: 'bob' },
      { text: ' hi' },
    ]);
    expect(partsOf('x', [{ user: 'bob', start: 5, len: 4 }])).toEqual([{ text: 'x' }]);
  });

  test('mentions count characters, not units', () => {
    expect(
      mentionsIn('😀 @陈卡罗 hi', [
        { user: 'carol', name: '陈卡罗' },
        { user: 'bob', name: 'Bob' },
      ]),
    ).toEqual([{ user: 'carol', start: 2, len: 4 }]);
  });

  test('what needs Markdown and what is only emoji', () => {
    expect([
      looksLikeMarkdown('hello'),
      looksLikeMarkdown('*hi*'),
      looksLikeMarkdown('- a'),
      looksLikeMarkdown('3 - 2'),
    ]).toEqual([false, true, true, false]);
    expect([isOnlyEmoji('🎉'), isOnlyEmoji('👍🏽 👩‍💻'), isOnlyEmoji('hi 🎉'), isOnlyEmoji('12')]).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });
});

test('every state has a URL', () => {
  const room = 'A'.repeat(43);
  expect(parse(`/c/${room}`)).toEqual({ page: 'chats', room });
  expect(parse(`/c/${room}/members`)).toEqual({ page: 'chats', room, panel: 'members' });
  expect(parse(`/c/${room}/m/xyz`)).toEqual({ page: 'chats', room, target: 'xyz' });
  expect(parse('/c/short')).toEqual({ page: 'lost' });
  expect(parse('/settings/devices')).toEqual({ page: 'settings', sub: 'devices' });
  expect(parse('/nowhere')).toEqual({ page: 'lost' });
});
