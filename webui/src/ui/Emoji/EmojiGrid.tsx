/** A small grid of common emoji in the system's own font, with the last used ones first. Arrows move in the grid. */
import { useLayoutEffect, useRef } from 'preact/hooks';
import { t } from '../../i18n/index.ts';
import type { Place } from '../Menu/Menu.tsx';
import { onPressOutside } from '../Menu/outside.ts';
import s from './EmojiGrid.module.css';

const COLUMNS = 8;
const GAP = 8;
const RECENT_MAX = 16;
const KEY = 'startalk.emoji';

const split = (text: string): string[] => text.split(' ');
const GROUPS = [
  [
    'emoji.smileys',
    split(
      '😀 😃 😄 😁 😆 😅 🤣 😂 🙂 😉 😊 😇 🥰 😍 🤩 😘 😋 😜 🤪 🤗 🤭 🤫 🤔 🫡 🤐 😐 😏 🙄 😬 😌 😴 🤤 😷 🤒 🤕 🤢 🤯 🥳 😎 🤓 😕 😟 🙁 😮 😳 🥺 😢 😭 😱 😖 😞 😩 😤 😡 🤬 💀 💩 🤡 👻 🤖',
    ),
  ],
  [
    'emoji.people',
    split(
      '👍 👎 👌 🤌 ✌️ 🤞 🤟 🤘 👈 👉 👆 👇 ☝️ 👋 🤚 ✋ 🖖 👏 🙌 🫶 👐 🤝 🙏 ✍️ 💪 🧠 👀 👂 👃 👄 🙋 🤷 🤦 🙇 💁 🧑‍💻 👨‍👩‍👧 🏃 💃 🕺',
    ),
  ],
  [
    'emoji.nature',
    split(
      '🐶 🐱 🐭 🐰 🦊 🐻 🐼 🐯 🦁 🐮 🐷 🐸 🐵 🐔 🐧 🦄 🐝 🦋 🐢 🐙 🐬 🐳 🐉 🌸 🌹 🌻 🌲 🍀 🍁 🍄 🌙 ⭐ ☀️ ⛅ ⚡ 🔥 🌈 ❄️ 💧 🌊',
    ),
  ],
  [
    'emoji.food',
    split(
      '🍎 🍊 🍋 🍌 🍉 🍇 🍓 🍑 🍍 🥝 🍅 🥑 🌽 🥕 🍞 🧀 🍳 🍔 🍟 🍕 🌮 🍜 🍣 🍚 🥟 🍦 🎂 🍰 🍫 🍩 🍪 🍵 ☕ 🧋 🍺 🍷 🥂 🍾',
    ),
  ],
  [
    'emoji.things',
    split(
      '⚽ 🏀 🏓 🎮 🎲 🎯 🎸 🎧 🎬 🎨 🚗 🚕 🚌 🚲 ✈️ 🚀 🏠 🏢 ⏰ 📱 💻 📷 📎 📌 📅 📝 📚 💡 🔑 🔒 🎁 🎈 🎉 🧧 🏮 💰 🏆 💯 ✅ ❌ ❓ ❗ ⚠️ 🚫 ❤️ 🧡 💛 💚 💙 💜 🖤 💔 💕 ✨',
    ),
  ],
] as const;

const recent = (): string[] => {
  const stored: unknown = JSON.parse(localStorage.getItem(KEY) || '[]');
  return Array.isArray(stored) ? stored.filter((item) => typeof item === 'string') : [];
};

interface EmojiGridProps {
  label: string;
  at: Place;
  onClose: () => void;
  onPick: (emoji: string) => void;
}

export default function EmojiGrid({ label, at, onClose, onPick }: EmojiGridProps) {
  const ref = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const panel = ref.current;
    if (!panel) return;
    const before = document.activeElement;
    panel.showPopover?.();
    const box = { width: panel.offsetWidth, height: panel.offsetHeight };
    const under = at.y + box.height + GAP <= innerHeight;
    panel.style.left = `${Math.max(GAP, Math.min(at.x, innerWidth - box.width - GAP))}px`;
    panel.style.top = `${under ? at.y : Math.max(GAP, Math.min(at.y - box.height - 44, innerHeight - box.height - GAP))}px`;
    panel.querySelector('button')?.focus();
    const stop = onPressOutside(panel, onClose);
    return () => {
      stop();
      if (before instanceof HTMLElement) before.focus({ preventScroll: true });
    };
  }, []);
  const pick = (emoji: string) => {
    localStorage.setItem(
      KEY,
      JSON.stringify([emoji, ...recent().filter((other) => other !== emoji)].slice(0, RECENT_MAX)),
    );
    onPick(emoji);
  };
  const last = recent();
  const groups = last.length ? [['emoji.recent', last] as const, ...GROUPS] : GROUPS;
  return (
    <div
      ref={ref}
      class={s.panel}
      popover="manual"
      role="dialog"
      aria-label={label}
      onKeyDown={(event) => steer(event, ref.current, onClose)}
    >
      <div class={s.scroll} tabIndex={0} role="region" aria-label={label}>
        {groups.map(([key, list]) => (
          <section key={key} aria-label={t(key)}>
            <h3>{t(key)}</h3>
            <div class={s.grid}>
              {list.map((emoji) => (
                <button key={emoji} type="button" aria-label={emoji} onClick={() => pick(emoji)}>
                  {emoji}
                </button>
              ))}
            </div>
          </section>
        ))}
      </div>
    </div>
  );
}

const STEPS: Readonly<Record<string, number>> = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: COLUMNS, ArrowUp: -COLUMNS };

function steer(event: KeyboardEvent, panel: HTMLElement | null, close: () => void): void {
  event.stopPropagation();
  if (event.key === 'Escape') {
    event.preventDefault();
    close();
  }
  const step = STEPS[event.key];
  if (!step || !panel) return;
  event.preventDefault();
  const all = [...panel.querySelectorAll('button')];
  const now = all.indexOf(document.activeElement as HTMLButtonElement);
  all[Math.max(0, Math.min(all.length - 1, now + step))]?.focus();
}
