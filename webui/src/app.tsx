/** The shell: which page the URL asks for, and what stands around it. */
import { lazy, Suspense } from 'preact/compat';
import { useEffect } from 'preact/hooks';
import { Refusal } from './core/types.ts';
import { Gate } from './features/auth/Gate.tsx';
import { present, withWords } from './features/call/model.ts';
import { Chats } from './features/chats/Chats.tsx';
import { useKeys } from './features/keys/keys.ts';
import shell from './features/shell/Shell.module.css';
import { Announcer, Banner, Rail } from './features/shell/Shell.tsx';
import { t } from './i18n/index.ts';
import { explain } from './i18n/refusal.ts';
import { go, route } from './routes.ts';
import { begin, boot, client, isAdmin, lastError, me, node } from './session.ts';
import { Button } from './ui/Button/Button.tsx';
import { Empty, Problem, Skeleton } from './ui/Parts/Parts.tsx';
import { Toasts, toast } from './ui/Toast/Toast.tsx';

const Contacts = lazy(() => import('./features/contacts/Contacts.tsx'));
const Settings = lazy(() => import('./features/settings/Settings.tsx'));
const Admin = lazy(() => import('./features/admin/Admin.tsx'));
const CallLayer = lazy(() => withWords(import('./features/call/Layer.tsx')));
const CheatSheet = lazy(() => import('./features/keys/CheatSheet.tsx'));

export function App() {
  return (
    <>
      <Page />
      <Toasts />
    </>
  );
}

function Page() {
  if (boot.value === 'starting') return <div class={shell.starting} role="status" aria-label={t('common.loading')} />;
  if (boot.value === 'failed') {
    return (
      <main class={shell.failed}>
        <h1>Startalk</h1>
        <Problem error={lastError.value} retry={() => void begin()} />
      </main>
    );
  }
  const { page } = route.value;
  const outside =
    !client.value || page === 'login' || page === 'invite' || page === 'setup' || me.value?.setup === 'phrase';
  return outside ? <Gate /> : <Inside />;
}

function Inside() {
  const [sheet, setSheet] = useKeys();
  const unread = client.value?.state.unread.value ?? 0;
  const { page, room, sub } = route.value;
  const forgotten = client.value?.forgotten.value;
  useEffect(() => {
    if (forgotten) toast(explain(new Refusal(forgotten.code, forgotten.text, forgotten.detail)).text);
  }, [forgotten]);
  useEffect(() => {
    document.title = unread
      ? `(${unread > 999 ? '999+' : unread}) ${node.value?.name || 'Startalk'}`
      : node.value?.name || 'Startalk';
  }, [unread, node.value]);
  return (
    <>
      {page !== 'call' && (
        <Places deep={Boolean(room || sub || page === 'lost' || (page === 'admin' && !isAdmin.value))} />
      )}
      <Announcer />
      {present.value && (
        <Suspense fallback={page === 'call' ? <div class={shell.starting} /> : null}>
          <CallLayer />
        </Suspense>
      )}
      {sheet && (
        <Suspense fallback={null}>
          <CheatSheet onClose={() => setSheet(false)} />
        </Suspense>
      )}
    </>
  );
}

/** The rail and the page beside it. */
function Places({ deep }: { deep: boolean }) {
  const { page } = route.value;
  return (
    <div class={shell.app} data-deep={deep ? 'yes' : 'no'}>
      <Rail />
      <div class={shell.page}>
        <Banner />
        <div class={shell.panes}>
          <Suspense fallback={<Skeleton />}>
            {page === 'chats' && <Chats />}
            {page === 'contacts' && <Contacts />}
            {page === 'settings' && <Settings />}
            {page === 'admin' && <Admin />}
            {page === 'lost' && <Lost />}
          </Suspense>
        </div>
      </div>
    </div>
  );
}

const Lost = () => (
  <main class={shell.main}>
    <Empty icon="search" title={t('app.lost')} text={t('app.lost_text')}>
      <Button look="primary" onClick={() => go('/')}>
        {t('nav.chats')}
      </Button>
    </Empty>
  </main>
);
