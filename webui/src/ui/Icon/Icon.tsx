/** One icon of the set, drawn with the text's colour; decorative unless `label` says what it means. */

import icons from 'virtual:icons';
import { h } from 'preact';
import s from './Icon.module.css';

/** The icons of a part that is loaded later. */
export const addIcons = (more: typeof icons): void => void Object.assign(icons, more);

export function Icon({
  name,
  size = 20,
  label,
  class: className,
}: {
  name: string;
  size?: number;
  label?: string;
  class?: string | undefined;
}) {
  const shapes = (icons[name] ?? []).map(([tag, attributes], i) => h(tag, { ...attributes, key: i }));
  return (
    <svg
      class={className ? `${s.icon} ${className}` : s.icon}
      width={size}
      height={size}
      viewBox="0 0 24 24"
      {...(label ? { role: 'img', 'aria-label': label } : { 'aria-hidden': 'true' })}
    >
      {shapes}
    </svg>
  );
}
