/** The words and icons of calls, which only their own chunk brings; views that need them wait for `ready`. */
import callIcons from 'virtual:icons/call';
import callEn from '../../i18n/call.en.json';
import { addWords } from '../../i18n/index.ts';
import { addIcons } from '../../ui/Icon/Icon.tsx';

addIcons(callIcons);
export const ready = addWords({
  en: async () => callEn,
  zh: async () => (await import('../../i18n/call.zh.json')).default,
});
