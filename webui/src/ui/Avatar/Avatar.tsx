/**
 * A picture made from the name: the same name and id always give the same letters and colours. The letters are drawn by
 * the style sheet: they are no words, so the name of a link that holds the picture need not contain them.
 */
import { t } from '../../i18n/index.ts';
import { Icon } from '../Icon/Icon.tsx';
import s from './Avatar.module.css';

interface AvatarProps {
  id: string;
  name: string;
  size?: number;
  group?: boolean;
  presence?: string | undefined;
}

const HUES = [4, 28, 150, 172, 200, 230, 252, 276, 302, 338]; // those that look clean behind white letters

/** FNV-1a, then the finaliser of MurmurHash3: the long part that all people of a node share must not decide alone. */
function hash(text: string): number {
  let value = 2166136261;
  for (const char of text) value = Math.imul(value ^ (char.codePointAt(0) ?? 0), 16777619);
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}

/** One sign for a name in ideographs, else the first letters of the first and last word. */
export function letters(name: string): string {
  const clean = name.trim();
  const wide = clean.match(/\p{Script=Han}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Script=Hangul}/gu);
  if (wide) return wide.length > 2 && wide.length <= 4 ? wide.slice(-2).join('') : wide.slice(0, 2).join('');
  const words = clean.split(/[\s._-]+/).filter((word) => /[\p{L}\p{N}]/u.test(word));
  const first = [...(words[0] ?? '')].find((char) => /[\p{L}\p{N}]/u.test(char)) ?? '';
  const last = words.length > 1 ? ([...(words.at(-1) ?? '')].find((char) => /[\p{L}\p{N}]/u.test(char)) ?? '') : '';
  return (first + last).toUpperCase();
}

/** Whole, even pixels: anything else is drawn as an egg. */
export const dotSize = (size: number): number => Math.max(8, Math.min(16, 2 * Math.round(size * 0.1)));

export function Avatar({ id, name, size = 44, group, presence }: AvatarProps) {
  const hue = HUES[hash(id || name) % HUES.length] ?? 0;
  const text = letters(name);
  const style = {
    width: `${size}px`,
    height: `${size}px`,
    fontSize: `${Math.round(size * (text.length > 1 ? 0.36 : 0.42))}px`,
    background: `linear-gradient(140deg, oklch(0.66 0.14 ${hue}), oklch(0.52 0.15 ${(hue + 22) % 360}))`,
  };
  return (
    <span class={group ? `${s.avatar} ${s.group}` : s.avatar} style={style}>
      <span aria-hidden="true" data-letters={text}>
        {!text && <Icon name={group ? 'users' : 'user'} size={Math.round(size * 0.5)} />}
      </span>
      {(presence === 'online' || presence === 'away') && (
        <span
          class={presence === 'away' ? `${s.dot} ${s.away}` : s.dot}
          style={{ width: `${dotSize(size)}px`, height: `${dotSize(size)}px` }}
          role="img"
          aria-label={t(`presence.${presence}`)}
        />
      )}
    </span>
  );
}
