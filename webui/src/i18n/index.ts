/**
 * Every visible string: `t(key, values)`. English is part of the first load, Chinese is fetched when it is chosen, and the
 * words of a part that few pages need (calls) come with that part.
 *
 * `{name}` inserts a value; `{n|one form|other form}` picks a plural form, in which `#` is the number.
 */
import { computed, signal } from '@preact/signals';
import type callEn from './call.en.json';
import en from './en.json';

export type Key = keyof typeof en | keyof typeof callEn;
export type Lang = 'en' | 'zh';
export type Values = Readonly<Record<string, string | number>>;
type Table = Partial<Record<Key, string>>;
type Loaders = Record<Lang, () => Promise<Table>>;

const parts: Loaders[] = [{ en: async () => en, zh: async () => (await import('./zh.json')).default }];

export const lang = signal<Lang>('en');
const table = signal<Table>(en);
const plural = computed(() => new Intl.PluralRules(lang.value));

export async function setLang(next: Lang): Promise<void> {
  table.value = Object.assign({}, ...(await Promise.all(parts.map((part) => part[next]()))));
  lang.value = next;
  if (typeof document !== 'undefined') document.documentElement.lang = next === 'zh' ? 'zh-CN' : 'en';
}

/** The words of a part that is loaded later; kept when the promise is. */
export async function addWords(part: Loaders): Promise<void> {
  parts.push(part);
  table.value = { ...table.value, ...(await part[lang.value]()) };
}

export const browserLang = (): Lang => (globalThis.navigator?.language?.toLowerCase().startsWith('zh') ? 'zh' : 'en');

export function t(key: Key, values: Values = {}): string {
  const text = fill(key, values);
  return lang.value === 'zh' ? text.replace(BETWEEN_HAN, '') : text;
}

// a space stands around foreign names, not between Chinese characters
const BETWEEN_HAN = /(?<=\p{Script=Han}) (?=\p{Script=Han})/gu;

function fill(key: Key, values: Values): string {
  return (table.value[key] ?? key).replace(
    /\{(\w+)(?:\|([^|}]*)\|([^}]*))?\}/g,
    (_, name: string, one?: string, other?: string) => {
      const value = values[name] ?? '';
      if (one === undefined || other === undefined) return String(value);
      return (plural.value.select(Number(value)) === 'one' ? one : other).replaceAll('#', number(Number(value)));
    },
  );
}

export const number = (value: number): string => new Intl.NumberFormat(lang.value).format(value);

// --- dates ---------------------------------------------------------------------------------------------

const DAY_MS = 86_400_000;
const format = (options: Intl.DateTimeFormatOptions) => computed(() => new Intl.DateTimeFormat(lang.value, options));
const clock = format({ hour: 'numeric', minute: '2-digit' });
const weekday = format({ weekday: 'long' });
const monthDay = format({ month: 'short', day: 'numeric' });
const fullDay = format({ year: 'numeric', month: 'long', day: 'numeric' });
const shortDay = format({ year: 'numeric', month: 'numeric', day: 'numeric' });
const longDay = format({ month: 'long', day: 'numeric', weekday: 'long' });
const moment = format({ dateStyle: 'medium', timeStyle: 'short' });

const midnight = (ms: number): number => new Date(ms).setHours(0, 0, 0, 0);

export const timeOf = (ms: number): string => clock.value.format(ms);
export const momentOf = (ms: number): string => moment.value.format(ms);

/** Today, yesterday, or the date: for day dividers. */
export function dayOf(ms: number, nowMs = Date.now()): string {
  const days = Math.round((midnight(nowMs) - midnight(ms)) / DAY_MS);
  if (days === 0) return t('date.today');
  if (days === 1) return t('date.yesterday');
  return new Date(ms).getFullYear() === new Date(nowMs).getFullYear()
    ? longDay.value.format(ms)
    : fullDay.value.format(ms);
}

/** As short as a chat list needs it. */
export function briefOf(ms: number, nowMs = Date.now()): string {
  const days = Math.round((midnight(nowMs) - midnight(ms)) / DAY_MS);
  if (days === 0) return timeOf(ms);
  if (days === 1) return t('date.yesterday');
  if (days < 7) return weekday.value.format(ms);
  return new Date(ms).getFullYear() === new Date(nowMs).getFullYear()
    ? monthDay.value.format(ms)
    : shortDay.value.format(ms);
}
