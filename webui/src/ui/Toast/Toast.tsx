/** Short news that go away by themselves; read aloud politely. An error keeps its id for whoever asks the admin. */
import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import s from './Toast.module.css';

interface Toast {
  id: number;
  text: string;
  action?: { label: string; run: () => void } | undefined;
}

const SHOWN_MS = 5_000;
const toasts = signal<readonly Toast[]>([]);
let next = 1;

const drop = (id: number): void => {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
};

/** What offers an action stays until it is used, unless it `fades`. */
export function toast(text: string, action?: { label: string; run: () => void }, fades = !action): void {
  const id = next++;
  toasts.value = [...toasts.value.filter((other) => other.text !== text).slice(-2), { id, text, action }];
  if (fades) setTimeout(() => drop(id), action ? 2 * SHOWN_MS : SHOWN_MS);
}

export function Toasts() {
  const ref = useRef<HTMLDivElement>(null);
  const list = toasts.value;
  useEffect(() => {
    const box = ref.current;
    if (!box?.showPopover) return;
    if (box.matches(':popover-open')) box.hidePopover();
    if (list.length) box.showPopover(); // above an open dialog
  }, [list]);
  return (
    <div ref={ref} class={s.stack} popover="manual" role="status" aria-live="polite">
      {list.map(({ id, text, action }) => (
        <div key={id} class={s.toast}>
          <span>{text}</span>
          {action && (
            <button
              type="button"
              onClick={() => {
                drop(id);
                action.run();
              }}
            >
              {action.label}
            </button>
          )}
        </div>
      ))}
    </div>
  );
}
