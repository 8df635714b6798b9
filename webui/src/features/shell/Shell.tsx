/** What stands around every page: the rail (a bottom bar on phones) and the thin bar that tells of a lost network. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { countsFor } from '../../core/fold.ts';
import { number, t } from '../../i18n/index.ts';
import { route } from '../../routes.ts';
import { client, isAdmin, me } from '../../session.ts';
import { Avatar } from '../../ui/Avatar/Avatar.tsx';
import { Icon } from '../../ui/Icon/Icon.tsx';
import { callText } from '../call/entry.ts';
import { wordsOf } from '../message/plain.ts';
import s from './Shell.module.css';

export function Rail() {
  const { page } = route.value;
  const who = me.value;
  const unread = client.value?.state.unread.value ?? 0;
  const invitations = client.value?.state.invitations.value.length ?? 0;
  const requests = client.value?.state.requests.value.length ?? 0;
  const place = (name: string) => (page === name ? ('page' as const) : undefined);
  return (
    <nav class={s.rail} aria-label={t('nav.main')}>
      {who && (
        <a class={s.self} href="/settings/profile" aria-label={t('nav.profile')} title={who.name}>
          <Avatar id={who.user} name={who.name} size={40} />
        </a>
      )}
      <a href="/" aria-current={place('chats')}>
        <Icon name="message-circle" size={22} />
        {t('nav.chats')}
        <Count class={s.badge} n={unread + invitations} label={t('nav.unread', { n: unread + invitations })} />
      </a>
      <a href="/contacts" aria-current={place('contacts')}>
        <Icon name="users" size={22} />
        {t('nav.contacts')}
        <Count class={s.badge} n={requests} label={t('nav.requests', { n: requests })} />
      </a>
      <span class={s.gap} />
      {isAdmin.value && (
        <a href="/admin" aria-current={place('admin')}>
          <Icon name="shield" size={22} />
          {t('nav.admin')}
        </a>
      )}
      <a href="/settings" aria-current={place('settings')}>
        <Icon name="settings" size={22} />
        {t('nav.settings')}
      </a>
    </nav>
  );
}

export function Count({ n, label, class: className }: { n: number; label: string; class?: string | undefined }) {
  if (n <= 0) return null;
  return (
    <span class={`${s.count} ${className ?? ''}`} role="img" aria-label={label}>
      {n > 999 ? '999+' : number(n)}
    </span>
  );
}

const SAY_EACH_MS = 2_000;

/** Reads new messages of the open chat aloud, at most one each two seconds; the feed itself is not live. */
export function Announcer() {
  const [text, setText] = useState('');
  const last = useRef(0);
  const entry = client.value?.heard.value;
  useEffect(() => {
    const state = client.value?.state;
    if (
      !state ||
      !entry ||
      entry.room !== route.value.room ||
      !countsFor(entry, state.me) ||
      Date.now() - last.current < SAY_EACH_MS
    )
      return;
    last.current = Date.now();
    const text = entry.kind === 'call' ? callText(state, entry).text : wordsOf(entry);
    setText(t('chats.line', { name: state.nameOf(entry.author), text }));
  }, [entry]);
  return (
    <div class="visually-hidden" aria-live="polite">
      {text}
    </div>
  );
}

/** Silent for the first seconds: most losses heal before anybody notices. */
export function Banner() {
  if (!client.value?.away.value) return null;
  return (
    <div class={s.banner} role="status">
      <Icon name="wifi-off" size={16} />
      {t('app.offline')}
    </div>
  );
}
