/** Theme, language and the choice of the Enter key: kept on this device, applied to the root element. */
import { effect, signal } from '@preact/signals';
import { browserLang, type Lang, setLang } from './i18n/index.ts';

export type Theme = 'system' | 'light' | 'dark' | 'contrast';

const stored = (key: string): string => globalThis.localStorage?.getItem(`startalk.${key}`) ?? '';
export const theme = signal<Theme>((stored('theme') || 'system') as Theme);
export const enterSends = signal(stored('enter') !== 'line');

export function startLook(): Promise<void> {
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const more = matchMedia('(prefers-contrast: more)');
  const apply = () => {
    const root = document.documentElement;
    const chosen = theme.value;
    root.dataset.theme = chosen === 'dark' || (chosen !== 'light' && dark.matches) ? 'dark' : 'light';
    root.dataset.contrast = chosen === 'contrast' || more.matches ? 'more' : 'normal';
  };
  dark.addEventListener('change', apply);
  more.addEventListener('change', apply);
  effect(() => {
    localStorage.setItem('startalk.theme', theme.value);
    apply();
  });
  effect(() => localStorage.setItem('startalk.enter', enterSends.value ? 'send' : 'line'));
  return setLang((stored('lang') as Lang) || browserLang());
}

export async function chooseLang(next: Lang): Promise<void> {
  localStorage.setItem('startalk.lang', next);
  await setLang(next);
}
