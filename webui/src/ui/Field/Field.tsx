/** Fields of forms: each has a label, and what is wrong is tied to it for screen readers. */
import { useId, useRef, useState } from 'preact/hooks';
import { t } from '../../i18n/index.ts';
import { IconButton } from '../Button/Button.tsx';
import { Icon } from '../Icon/Icon.tsx';
import s from './Field.module.css';

interface FieldProps {
  label: string;
  value: string;
  onInput: (value: string) => void;
  type?: 'text' | 'password' | 'search' | 'number';
  hint?: string | undefined;
  error?: string | undefined;
  lines?: boolean;
  autoFocus?: boolean;
  autoComplete?: string;
  maxLength?: number;
  placeholder?: string;
  required?: boolean;
  readOnly?: boolean;
  name?: string;
}

export function Field(props: FieldProps) {
  const { label, value, onInput, type = 'text', hint, error, lines, autoFocus, autoComplete = 'off', ...rest } = props;
  const id = useId();
  const [shown, setShown] = useState(false);
  const common = {
    ...rest,
    id,
    class: s.input,
    value,
    autocomplete: autoComplete,
    autofocus: autoFocus,
    'aria-invalid': error ? ('true' as const) : undefined,
    'aria-describedby': error || hint ? `${id}-note` : undefined,
    onInput: (event: Event) => onInput((event.target as HTMLInputElement).value),
  };
  return (
    <div class={s.field}>
      <label class={s.label} for={id}>
        {label}
      </label>
      <div class={s.box}>
        {lines ? (
          <textarea {...common} rows={3} />
        ) : (
          <input {...common} type={(shown ? 'text' : type) as 'text'} spellcheck={false} />
        )}
        {type === 'password' && (
          <IconButton
            class={s.peek ?? ''}
            icon={shown ? 'eye-off' : 'eye'}
            label={t(shown ? 'field.hide' : 'field.show')}
            size={18}
            onClick={() => setShown(!shown)}
          />
        )}
      </div>
      {error ? (
        <p class={s.error} id={`${id}-note`} role="alert">
          <Icon name="circle-alert" size={16} />
          {error}
        </p>
      ) : (
        hint && (
          <p class={s.hint} id={`${id}-note`}>
            {hint}
          </p>
        )
      )}
    </div>
  );
}

export interface Option<V extends string> {
  value: V;
  label: string;
  icon?: string;
}

interface SelectProps<V extends string> {
  label: string;
  value: V;
  options: readonly Option<V>[];
  onChange: (value: V) => void;
  disabled?: boolean;
}

export function Select<V extends string>({ label, value, options, onChange, disabled }: SelectProps<V>) {
  const id = useId();
  return (
    <div class={s.field}>
      <label class={s.label} for={id}>
        {label}
      </label>
      <div class={s.box}>
        <select
          id={id}
          class={s.input}
          value={value}
          disabled={disabled}
          onChange={(event) => onChange(event.currentTarget.value as V)}
        >
          {options.map((option) => (
            <option key={option.value} value={option.value}>
              {option.label}
            </option>
          ))}
        </select>
        <Icon name="chevron-right" size={18} class={s.arrow} />
      </div>
    </div>
  );
}

export function Switch({
  label,
  on,
  onChange,
  disabled,
}: {
  label: string;
  on: boolean;
  onChange: (on: boolean) => void;
  disabled?: boolean;
}) {
  return (
    <button
      type="button"
      class={s.switch}
      role="switch"
      aria-checked={on}
      disabled={disabled}
      onClick={() => onChange(!on)}
    >
      <span>{label}</span>
      <span class={s.track} aria-hidden="true" />
    </button>
  );
}

/** One of a few, side by side: a radio group with roving focus. */
export function Segments<V extends string>({ label, value, options, onChange }: SelectProps<V>) {
  const ref = useRef<HTMLDivElement>(null);
  const move = (event: KeyboardEvent) => {
    const step =
      event.key === 'ArrowRight' || event.key === 'ArrowDown'
        ? 1
        : event.key === 'ArrowLeft' || event.key === 'ArrowUp'
          ? -1
          : 0;
    if (!step) return;
    event.preventDefault();
    const now = options.findIndex((option) => option.value === value);
    const next = (now + step + options.length) % options.length;
    const option = options[next];
    if (option) onChange(option.value);
    (ref.current?.children[next] as HTMLElement | undefined)?.focus();
  };
  return (
    <div class={s.field}>
      <span class={s.label} aria-hidden="true">
        {label}
      </span>
      <div ref={ref} class={s.segments} role="radiogroup" aria-label={label} onKeyDown={move}>
        {options.map((option) => (
          <button
            key={option.value}
            type="button"
            role="radio"
            aria-checked={option.value === value}
            tabIndex={option.value === value ? 0 : -1}
            onClick={() => onChange(option.value)}
          >
            {option.icon && <Icon name={option.icon} size={16} />}
            {option.label}
          </button>
        ))}
      </div>
    </div>
  );
}
