/** Everything before the chats: signing in, invitations, and the owner's set-up. */
import type { ComponentChildren } from 'preact';
import { lazy, Suspense } from 'preact/compat';
import { useEffect, useState } from 'preact/hooks';
import * as http from '../../core/api.ts';
import { Refusal } from '../../core/types.ts';
import { lang, t } from '../../i18n/index.ts';
import { chooseLang } from '../../look.ts';
import { go, route } from '../../routes.ts';
import { client, deviceName, enter, me, node } from '../../session.ts';
import { Button } from '../../ui/Button/Button.tsx';
import { Field } from '../../ui/Field/Field.tsx';
import { Problem } from '../../ui/Parts/Parts.tsx';
import s from './Auth.module.css';

const Invite = lazy(() => import('./Invite.tsx'));
const Setup = lazy(() => import('./Setup.tsx'));

export function Gate() {
  const { page } = route.value;
  const other = lang.value === 'en' ? 'zh' : 'en';
  return (
    <div class={s.gate}>
      <main class={s.center}>
        <Suspense fallback={null}>
          {page === 'invite' ? (
            <Invite />
          ) : me.value?.setup === 'phrase' || (page === 'setup' && me.value) ? (
            <Setup />
          ) : (
            <Login />
          )}
        </Suspense>
      </main>
      <footer class={s.foot}>
        <span>Startalk {node.value?.version}</span>
        <button type="button" lang={other === 'zh' ? 'zh-CN' : 'en'} onClick={() => void chooseLang(other)}>
          {other === 'zh' ? '中文' : 'English'}
        </button>
      </footer>
    </div>
  );
}

export function Card({
  title,
  text,
  wide,
  children,
}: {
  title: string;
  text?: string | undefined;
  wide?: boolean;
  children: ComponentChildren;
}) {
  return (
    <section class={wide ? `${s.card} ${s.wide}` : s.card}>
      <div class={s.brand}>
        <img src="/icon.svg" alt="" width={56} height={56} />
        <h1>{title}</h1>
        {text && <p>{text}</p>}
      </div>
      {children}
    </section>
  );
}

export function Login({ note }: { note?: string }) {
  const info = node.value;
  const [local, setLocal] = useState('');
  const [password, setPassword] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  useEffect(() => {
    if (client.value) go('/', true);
  }, []);
  const full = error instanceof Refusal && error.code === 'limit_reached';
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const body = {
        local: local.trim().toLowerCase().replace(/@.*$/, ''),
        password,
        device_name: deviceName(),
        mode: 'cookie' as const,
        ...(full ? { end_oldest: true } : {}),
      };
      const session = await http.login(body);
      await enter(session.me);
      const linked = route.value.page === 'invite' && location.hash.length > 1; // the invitation goes on by itself
      if (!linked && ['login', 'setup', 'invite'].includes(route.value.page)) go('/', true);
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  if (info?.setup === 'owner_needed') {
    return (
      <Card title={t('auth.new_node')} text={t('auth.owner_needed')}>
        <p class={s.note}>{t('auth.owner_hint')}</p>
      </Card>
    );
  }
  return (
    <Card title={info?.name || 'Startalk'} text={note ?? t('auth.welcome')}>
      <form class={s.form} onSubmit={submit}>
        <Field
          label={t('auth.user')}
          name="username"
          value={local}
          onInput={setLocal}
          autoComplete="username"
          autoFocus
          required
        />
        <Field
          label={t('auth.password')}
          name="password"
          type="password"
          value={password}
          onInput={setPassword}
          autoComplete="current-password"
          required
        />
        <Problem error={error} />
        <Button type="submit" look="primary" wide busy={busy}>
          {t(full ? 'auth.sign_in_anyway' : 'auth.sign_in')}
        </Button>
      </form>
      {info?.registration === 'open' ? (
        <Button look="ghost" wide onClick={() => go('/i')}>
          {t('auth.create_account')}
        </Button>
      ) : (
        <p class={s.note}>{t(info?.registration === 'closed' ? 'auth.closed' : 'auth.invite_only')}</p>
      )}
    </Card>
  );
}
