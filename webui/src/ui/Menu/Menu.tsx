/**
 * A menu by the WAI-ARIA pattern: arrows move, Home and End jump, a letter finds, Escape and Tab close, and focus
 * goes back to where it came from. It is a native popover, so it lies above dialogs and closes on a click outside.
 */
import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { Icon } from '../Icon/Icon.tsx';
import s from './Menu.module.css';
import { onPressOutside } from './outside.ts';

export interface MenuItem {
  label: string;
  icon?: string;
  danger?: boolean;
  run: () => void;
}

export interface Place {
  x: number;
  y: number;
  up?: boolean; // `y` is where the menu ends, not where it begins
}

interface MenuProps {
  label: string;
  items: readonly MenuItem[];
  at: Place;
  onClose: () => void;
  top?: ComponentChildren;
}

const GAP = 8;

/** Where a menu opens for an element at the foot of the page. */
export function above(element: Element): Place {
  const box = element.getBoundingClientRect();
  return { x: box.left, y: box.top - GAP, up: true };
}

/** Where a menu opens for an element that was pressed. */
export function below(element: Element): Place {
  const box = element.getBoundingClientRect();
  return { x: box.left, y: box.bottom + 4 };
}

export function Menu({ label, items, at, onClose, top }: MenuProps) {
  const ref = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const menu = ref.current;
    if (!menu) return;
    const before = document.activeElement;
    menu.showPopover?.();
    menu.style.left = `${Math.max(GAP, Math.min(at.x, innerWidth - menu.offsetWidth - GAP))}px`;
    const top = at.up ? at.y - menu.offsetHeight : at.y;
    menu.style.top = `${Math.max(GAP, Math.min(top, innerHeight - menu.offsetHeight - GAP))}px`;
    const stop = onPressOutside(menu, onClose);
    choices(menu)[0]?.focus();
    return () => {
      stop();
      const inside = menu.contains(document.activeElement) || document.activeElement === document.body;
      if (inside && before instanceof HTMLElement) before.focus({ preventScroll: true });
    };
  }, []);
  const run = (item: MenuItem) => {
    onClose();
    item.run();
  };
  return (
    <div
      ref={ref}
      class={s.menu}
      popover="manual"
      role="menu"
      aria-label={label}
      tabIndex={-1}
      onKeyDown={(event) => steer(event, ref.current, onClose)}
    >
      {top}
      {items.map((item) => (
        <button
          key={item.label}
          type="button"
          role="menuitem"
          tabIndex={-1}
          class={item.danger ? `${s.item} ${s.danger}` : s.item}
          onClick={() => run(item)}
        >
          {item.icon && <Icon name={item.icon} size={18} />}
          {item.label}
        </button>
      ))}
    </div>
  );
}

export const MenuBar = ({ children, label }: { children: ComponentChildren; label: string }) => (
  <div class={s.bar} role="group" aria-label={label}>
    {children}
  </div>
);

const choices = (menu: HTMLElement | null): HTMLElement[] => [
  ...(menu?.querySelectorAll<HTMLElement>('[role=menuitem]') ?? []),
];

function steer(event: KeyboardEvent, menu: HTMLElement | null, close: () => void): void {
  const all = choices(menu);
  const now = all.indexOf(document.activeElement as HTMLElement);
  const go = (index: number) => all[(index + all.length) % all.length]?.focus();
  if (event.key === 'ArrowDown' || event.key === 'ArrowRight') go(now + 1);
  else if (event.key === 'ArrowUp' || event.key === 'ArrowLeft') go(now < 0 ? -1 : now - 1);
  else if (event.key === 'Home') go(0);
  else if (event.key === 'End') go(-1);
  else if (event.key === 'Escape' || event.key === 'Tab') close();
  else if (event.key.length === 1)
    all.find((item) => item.textContent?.trim().toLowerCase().startsWith(event.key.toLowerCase()))?.focus();
  else return;
  if (event.key === 'Enter' || event.key === ' ') return;
  event.preventDefault();
  event.stopPropagation();
}
