/** Buttons: with words, and with an icon whose name is said by `label`. */
import type { ComponentChildren, Ref } from 'preact';
import { Icon } from '../Icon/Icon.tsx';
import s from './Button.module.css';

interface ButtonProps {
  children: ComponentChildren;
  onClick?: (event: MouseEvent) => void;
  look?: 'primary' | 'secondary' | 'ghost' | 'danger';
  icon?: string;
  type?: 'button' | 'submit';
  disabled?: boolean;
  busy?: boolean;
  wide?: boolean;
  small?: boolean;
}

export function Button({
  children,
  onClick,
  look = 'secondary',
  icon,
  type = 'button',
  disabled,
  busy,
  wide,
  small,
}: ButtonProps) {
  const classes = [s.button, s[look], wide && s.wide, small && s.small].filter(Boolean).join(' ');
  return (
    <button type={type} class={classes} disabled={disabled || busy} aria-busy={busy || undefined} onClick={onClick}>
      {busy ? <span class={s.busy} aria-hidden="true" /> : icon && <Icon name={icon} size={small ? 16 : 18} />}
      {children}
    </button>
  );
}

interface IconButtonProps {
  icon: string;
  label: string;
  size?: number;
  ref?: Ref<HTMLButtonElement>;
  class?: string;
  disabled?: boolean;
  tabIndex?: number;
  onClick: (event: MouseEvent) => void;
  'aria-haspopup'?: 'menu';
  'aria-expanded'?: boolean;
}

export function IconButton({ icon, label, size = 20, class: className, ...rest }: IconButtonProps) {
  return (
    <button type="button" class={`${s.icon} ${className ?? ''}`} aria-label={label} title={label} {...rest}>
      <Icon name={icon} size={size} />
    </button>
  );
}
