/** The small admin page: invitations, people, and how the node presents itself. */
import { lazy, Suspense } from 'preact/compat';
import { useEffect, useState } from 'preact/hooks';
import * as http from '../../core/api.ts';
import { type Key, momentOf, t } from '../../i18n/index.ts';
import { explain } from '../../i18n/refusal.ts';
import { go } from '../../routes.ts';
import { isAdmin, me, node } from '../../session.ts';
import { Avatar } from '../../ui/Avatar/Avatar.tsx';
import { Button, IconButton } from '../../ui/Button/Button.tsx';
import { Confirm, Dialog } from '../../ui/Dialog/Dialog.tsx';
import { Field, Segments } from '../../ui/Field/Field.tsx';
import { below, Menu, type MenuItem, type Place } from '../../ui/Menu/Menu.tsx';
import { CopyLine, Empty, Problem, Qr, Skeleton } from '../../ui/Parts/Parts.tsx';
import { toast } from '../../ui/Toast/Toast.tsx';
import { modes } from '../auth/Setup.tsx';
import { withWords } from '../call/model.ts';
import details from '../group/Details.module.css';
import { LinkList, LinkMaker, Made } from '../group/LinkParts.tsx';
import { type PageOf, Panes } from '../shell/Panes.tsx';
import shell from '../shell/Shell.module.css';
import { Peers } from './Peers.tsx';

const AdminCalls = lazy(() => withWords(import('./AdminCalls.tsx')));
const CallsPage = () => (
  <Suspense fallback={<Skeleton rows={3} />}>
    <AdminCalls />
  </Suspense>
);

const PAGES: readonly PageOf[] = [
  { name: 'invites', icon: 'ticket', key: 'admin.invites', view: () => <Invites /> },
  { name: 'users', icon: 'users', key: 'admin.users', view: () => <Users /> },
  { name: 'peers', icon: 'network', key: 'peers.title', view: () => <Peers /> },
  { name: 'calls', icon: 'phone', key: 'settings.calls', view: () => <CallsPage /> },
  { name: 'node', icon: 'server', key: 'admin.node', view: () => <NodePage /> },
];

export default function Admin() {
  if (!isAdmin.value) {
    return (
      <main class={shell.main}>
        <Empty icon="lock" title={t('admin.forbidden')}>
          <Button onClick={() => go('/')}>{t('nav.chats')}</Button>
        </Empty>
      </main>
    );
  }
  return (
    <Panes
      root="/admin"
      title={t('nav.admin')}
      icon="shield"
      pick={t('admin.pick')}
      menu={t('admin.pages')}
      pages={PAGES}
    />
  );
}

const report = (error: unknown) => toast(explain(error).text);

function Invites() {
  const [list, setList] = useState<readonly http.api.Link[]>([]);
  const [made, setMade] = useState<http.api.Link | null>(null);
  const [error, setError] = useState<unknown>(null);
  const load = () => {
    http.invites().then(({ links }) => setList(links), setError);
  };
  useEffect(load, []);
  const make = async (expires_s: number, uses: number, role: 'user' | 'node_admin' | 'bot') => {
    try {
      setMade(await http.makeInvite({ expires_s, uses, role }));
      load();
    } catch (problem) {
      report(problem);
    }
  };
  const drop = async (id: string) => {
    await http.dropInvite(id).catch(report);
    if (made?.id === id) setMade(null);
    load();
  };
  const roles: { value: 'user' | 'node_admin'; label: string }[] = [
    { value: 'user', label: t('node_role.user') },
    { value: 'node_admin', label: t('node_role.node_admin') },
  ];
  return (
    <>
      <section class={shell.card}>
        <h2>{t('admin.invite_title')}</h2>
        {made ? <Made link={made} onMore={() => setMade(null)} /> : <LinkMaker onMake={make} roles={roles} />}
      </section>
      <Problem error={error} retry={load} />
      <LinkList title={t('group.live_links')} links={list} onDrop={drop} />
    </>
  );
}

type Account = http.api.Account;

function Users() {
  const [list, setList] = useState<readonly Account[] | null>(null);
  const [after, setAfter] = useState('');
  const [error, setError] = useState<unknown>(null);
  const [menu, setMenu] = useState<{ account: Account; at: Place } | null>(null);
  const [link, setLink] = useState<http.api.Link | null>(null);
  const [freezing, setFreezing] = useState<Account | null>(null);
  const load = (from = '') => {
    http.accounts(from).then((page) => {
      setError(null);
      setList((before) => (from ? [...(before ?? []), ...page.accounts] : page.accounts));
      setAfter(page.after);
    }, setError);
  };
  useEffect(() => load(), []);
  const change = (account: Account, body: http.api.ChangeAccount) =>
    void http.changeAccount(account.user, body).then(() => load(), report);
  const choices = (account: Account): MenuItem[] => [
    {
      label: t('admin.reset'),
      icon: 'key-round',
      run: () => void http.resetAccount(account.user).then(setLink, report),
    },
    ...(me.value?.role === 'node_owner'
      ? [
          account.role === 'node_admin'
            ? { label: t('admin.make_user'), icon: 'user', run: () => change(account, { role: 'user' }) }
            : { label: t('admin.make_admin'), icon: 'shield', run: () => change(account, { role: 'node_admin' }) },
        ]
      : []),
    account.frozen
      ? { label: t('admin.unfreeze'), icon: 'user', run: () => change(account, { frozen: false }) }
      : { label: t('admin.freeze'), icon: 'ban', danger: true, run: () => setFreezing(account) },
  ];
  if (!list) return error ? <Problem error={error} retry={() => load()} /> : <Skeleton />;
  return (
    <section class={shell.card} aria-label={t('admin.users')}>
      <ul>
        {list.map((account) => (
          <li key={account.user} class={shell.row} style={{ minHeight: '64px' }}>
            <Avatar id={account.user} name={account.name} size={40} />
            <div>
              <b>{account.name}</b>
              <small>
                @{account.local} ·{' '}
                {account.seen_ms ? t('settings.seen', { time: momentOf(account.seen_ms) }) : t('admin.never_seen')}
              </small>
            </div>
            {account.frozen && <span class={details.role}>{t('admin.frozen')}</span>}
            {account.role !== 'user' && (
              <span class={details.role} data-role={account.role === 'node_owner' ? 'owner' : 'admin'}>
                {t(`node_role.${account.role}` as Key)}
              </span>
            )}
            {account.user !== me.value?.user && account.role !== 'node_owner' && (
              <IconButton
                icon="ellipsis-vertical"
                label={t('admin.user_menu', { name: account.name })}
                aria-haspopup="menu"
                onClick={(event: MouseEvent) => setMenu({ account, at: below(event.currentTarget as Element) })}
              />
            )}
          </li>
        ))}
      </ul>
      {after && <Button onClick={() => load(after)}>{t('common.more')}</Button>}
      {menu && (
        <Menu
          label={t('admin.user_menu', { name: menu.account.name })}
          at={menu.at}
          items={choices(menu.account)}
          onClose={() => setMenu(null)}
        />
      )}
      {freezing && (
        <Confirm
          title={t('admin.freeze')}
          text={t('admin.freeze_text', { name: freezing.name })}
          action={t('admin.freeze')}
          danger
          onClose={() => setFreezing(null)}
          onConfirm={() => change(freezing, { frozen: true })}
        />
      )}
      {link && (
        <Dialog title={t('admin.reset')} onClose={() => setLink(null)}>
          <p class={shell.muted}>{t('admin.reset_text')}</p>
          <Qr text={link.url} label={t('invite.qr')} />
          <CopyLine label={t('invite.link')} text={link.url} />
        </Dialog>
      )}
    </section>
  );
}

function NodePage() {
  const [settings, setSettings] = useState<http.api.NodeSettings | null>(null);
  const [name, setName] = useState('');
  const [error, setError] = useState<unknown>(null);
  const show = (answer: http.api.NodeSettings) => {
    setSettings(answer);
    setName(answer.name);
  };
  const load = () => {
    http.settings().then(show, setError);
  };
  useEffect(load, []);
  const save = (body: http.api.ChangeSettings) =>
    void http.changeSettings(body).then(async (answer) => {
      show(answer);
      toast(t('common.saved'));
      node.value = await http.node();
    }, report);
  if (!settings) return error ? <Problem error={error} retry={load} /> : <Skeleton rows={2} />;
  return (
    <form
      class={shell.card}
      onSubmit={(event) => {
        event.preventDefault();
        save({ name: name.trim() });
      }}
    >
      <Field
        label={t('setup.node_name')}
        hint={t('setup.node_name_hint')}
        value={name}
        onInput={setName}
        maxLength={60}
      />
      {name.trim() !== settings.name && (
        <Button type="submit" look="primary" disabled={!name.trim()}>
          {t('common.save')}
        </Button>
      )}
      <Segments
        label={t('setup.registration')}
        value={settings.registration}
        onChange={(registration) => save({ registration })}
        options={modes()}
      />
      <p class={shell.muted}>{t(`registration.${settings.registration}_text`)}</p>
    </form>
  );
}
