/** Settings: the menu on the left, one page on the right; each page has its URL. */
import { lazy, Suspense } from 'preact/compat';
import { useEffect, useState } from 'preact/hooks';
import * as http from '../../core/api.ts';
import { Refusal } from '../../core/types.ts';
import { type Lang, lang, momentOf, t } from '../../i18n/index.ts';
import { explain } from '../../i18n/refusal.ts';
import { chooseLang, enterSends, type Theme, theme } from '../../look.ts';
import { changed, me, node, signOut, VERSION } from '../../session.ts';
import { Avatar } from '../../ui/Avatar/Avatar.tsx';
import { Button, IconButton } from '../../ui/Button/Button.tsx';
import { Actions, Confirm, Dialog } from '../../ui/Dialog/Dialog.tsx';
import { Field, Segments, Switch } from '../../ui/Field/Field.tsx';
import { Icon } from '../../ui/Icon/Icon.tsx';
import { Problem, Skeleton } from '../../ui/Parts/Parts.tsx';
import { toast } from '../../ui/Toast/Toast.tsx';
import { withWords } from '../call/model.ts';
import { addressOf } from '../contacts/model.ts';
import { KeyTable } from '../keys/CheatSheet.tsx';
import { type PageOf, Panes } from '../shell/Panes.tsx';
import shell from '../shell/Shell.module.css';

const CallSettings = lazy(() => withWords(import('../call/CallSettings.tsx')));
const CallDevices = () => (
  <Suspense fallback={<Skeleton rows={3} />}>
    <CallSettings />
  </Suspense>
);

const PAGES: readonly PageOf[] = [
  { name: 'profile', icon: 'user', key: 'settings.profile', view: () => <Profile /> },
  { name: 'devices', icon: 'monitor', key: 'settings.devices', view: () => <Devices /> },
  { name: 'password', icon: 'key-round', key: 'settings.password', view: () => <Password /> },
  { name: 'look', icon: 'palette', key: 'settings.look', view: () => <Look /> },
  { name: 'calls', icon: 'phone', key: 'settings.calls', view: () => <CallDevices /> },
  { name: 'keyboard', icon: 'keyboard', key: 'settings.keyboard', view: () => <Keyboard /> },
  { name: 'about', icon: 'info', key: 'settings.about', view: () => <About /> },
];

export default function Settings() {
  const [leaving, setLeaving] = useState(false);
  const who = me.value;
  return (
    <>
      <Panes
        root="/settings"
        title={t('nav.settings')}
        icon="settings"
        pick={t('settings.pick')}
        menu={t('settings.pages')}
        pages={PAGES}
        above={
          who && (
            <div class={shell.row} style={{ padding: '0 20px 12px' }}>
              <Avatar id={who.user} name={who.name} size={52} />
              <div>
                <b>{who.name}</b>
                <small>{addressOf(who.local)}</small>
              </div>
            </div>
          )
        }
        below={
          <button type="button" onClick={() => setLeaving(true)}>
            <Icon name="log-out" />
            {t('settings.sign_out')}
          </button>
        }
      />
      {leaving && (
        <Confirm
          title={t('settings.sign_out')}
          text={t('settings.sign_out_text')}
          action={t('settings.sign_out')}
          danger
          onClose={() => setLeaving(false)}
          onConfirm={() => void signOut()}
        />
      )}
    </>
  );
}

function Profile() {
  const who = me.value;
  const [name, setName] = useState(who?.name ?? '');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const save = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      changed(await http.changeMe({ name: name.trim() }));
      toast(t('common.saved'));
    } catch (problem) {
      setError(problem);
    }
    setBusy(false);
  };
  if (!who) return null;
  return (
    <form class={shell.card} onSubmit={save}>
      <div class={shell.row}>
        <Avatar id={who.user} name={name || who.local} size={72} />
        <div>
          <b>{name || who.local}</b>
          <small>{addressOf(who.local)}</small>
        </div>
      </div>
      <Field
        label={t('auth.name')}
        hint={t('settings.name_hint')}
        value={name}
        onInput={setName}
        maxLength={60}
        autoComplete="name"
        required
      />
      <Problem error={error} />
      <Actions>
        <Button type="submit" look="primary" busy={busy} disabled={!name.trim() || name.trim() === who.name}>
          {t('common.save')}
        </Button>
      </Actions>
    </form>
  );
}

function Devices() {
  const [list, setList] = useState<readonly http.api.Device[] | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [renaming, setRenaming] = useState<http.api.Device | null>(null);
  const [ending, setEnding] = useState<http.api.Device | 'others' | null>(null);
  const load = () => {
    http.devices().then(({ devices }) => {
      setError(null);
      setList([...devices].sort((a, b) => Number(b.current) - Number(a.current) || b.seen_ms - a.seen_ms));
    }, setError);
  };
  useEffect(load, []);
  const run = (work: Promise<unknown>) => void work.then(load, (problem) => toast(explain(problem).text));
  if (!list) return error ? <Problem error={error} retry={load} /> : <Skeleton rows={3} />;
  return (
    <section class={shell.card} aria-label={t('settings.devices')}>
      <ul>
        {list.map((device) => (
          <li key={device.id} class={shell.row} style={{ minHeight: '64px' }}>
            <Icon name={/Android|iOS/.test(device.name) ? 'smartphone' : 'monitor'} size={24} />
            <div>
              <b>{device.name || device.client || t('settings.device_unnamed')}</b>
              <small>
                {device.current
                  ? t('settings.this_device')
                  : device.online
                    ? t('presence.online')
                    : t('settings.seen', { time: momentOf(device.seen_ms) })}
                {device.address && ` · ${device.address}`}
              </small>
            </div>
            <IconButton
              icon="pencil"
              size={18}
              label={t('settings.rename_device', { name: device.name })}
              onClick={() => setRenaming(device)}
            />
            {!device.current && (
              <IconButton
                icon="log-out"
                size={18}
                label={t('settings.end_device', { name: device.name })}
                onClick={() => setEnding(device)}
              />
            )}
          </li>
        ))}
      </ul>
      {list.length > 1 && (
        <Button look="danger" icon="log-out" onClick={() => setEnding('others')}>
          {t('settings.end_others')}
        </Button>
      )}
      {renaming && <RenameDevice device={renaming} onClose={() => setRenaming(null)} onDone={load} />}
      {ending === 'others' && (
        <Confirm
          title={t('settings.end_others')}
          text={t('settings.end_others_text')}
          action={t('settings.end_others')}
          danger
          onClose={() => setEnding(null)}
          onConfirm={() => run(http.endOthers())}
        />
      )}
      {ending && ending !== 'others' && (
        <Confirm
          title={t('settings.end')}
          text={t('settings.end_text', { name: ending.name })}
          action={t('settings.end')}
          danger
          onClose={() => setEnding(null)}
          onConfirm={() => run(http.endDevice(ending.id))}
        />
      )}
    </section>
  );
}

function RenameDevice({
  device,
  onClose,
  onDone,
}: {
  device: http.api.Device;
  onClose: () => void;
  onDone: () => void;
}) {
  const [name, setName] = useState(device.name);
  const [error, setError] = useState<unknown>(null);
  const save = async (event: Event) => {
    event.preventDefault();
    try {
      await http.renameDevice(device.id, name.trim());
      onDone();
      onClose();
    } catch (problem) {
      setError(problem);
    }
  };
  return (
    <Dialog title={t('settings.rename')} onClose={onClose}>
      <form onSubmit={save} style={{ display: 'contents' }}>
        <Field label={t('settings.device_name')} value={name} onInput={setName} maxLength={60} autoFocus required />
        <Problem error={error} />
        <Actions>
          <Button onClick={onClose}>{t('common.cancel')}</Button>
          <Button type="submit" look="primary" disabled={!name.trim()}>
            {t('common.save')}
          </Button>
        </Actions>
      </form>
    </Dialog>
  );
}

function Password() {
  const [old, setOld] = useState('');
  const [fresh, setFresh] = useState('');
  const [others, setOthers] = useState(true);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const wrong = error instanceof Refusal && error.code === 'bad_credentials';
  const save = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await http.changePassword({ old, new: fresh, end_others: others });
      setOld('');
      setFresh('');
      toast(t('settings.password_changed'));
    } catch (problem) {
      setError(problem);
    }
    setBusy(false);
  };
  return (
    <form class={shell.card} onSubmit={save}>
      <input type="text" name="username" autocomplete="username" value={me.value?.local} readOnly hidden />
      <Field
        label={t('settings.old_password')}
        type="password"
        value={old}
        onInput={setOld}
        autoComplete="current-password"
        error={wrong ? t('settings.wrong_password') : undefined}
        required
      />
      <Field
        label={t('auth.new_password')}
        type="password"
        hint={t('auth.password_hint')}
        value={fresh}
        onInput={setFresh}
        autoComplete="new-password"
        required
      />
      <Switch label={t('settings.end_others_too')} on={others} onChange={setOthers} />
      {!wrong && <Problem error={error} />}
      <Actions>
        <Button type="submit" look="primary" busy={busy} disabled={!old || !fresh}>
          {t('settings.change_password')}
        </Button>
      </Actions>
    </form>
  );
}

function Look() {
  const choose = async (next: Lang) => {
    await chooseLang(next);
    http.changeMe({ lang: next }).then(changed, () => undefined);
  };
  return (
    <section class={shell.card}>
      <Segments<Theme>
        label={t('settings.theme')}
        value={theme.value}
        onChange={(next) => {
          theme.value = next;
        }}
        options={[
          { value: 'system', label: t('theme.system'), icon: 'sun-moon' },
          { value: 'light', label: t('theme.light'), icon: 'sun' },
          { value: 'dark', label: t('theme.dark'), icon: 'moon' },
          { value: 'contrast', label: t('theme.contrast'), icon: 'contrast' },
        ]}
      />
      <Segments<Lang>
        label={t('settings.language')}
        value={lang.value}
        onChange={(next) => void choose(next)}
        options={[
          { value: 'en', label: 'English' },
          { value: 'zh', label: '中文' },
        ]}
      />
    </section>
  );
}

function Keyboard() {
  return (
    <>
      <section class={shell.card}>
        <Switch
          label={t('settings.enter_sends')}
          on={enterSends.value}
          onChange={(on) => {
            enterSends.value = on;
          }}
        />
      </section>
      <section class={shell.card}>
        <KeyTable />
      </section>
    </>
  );
}

function About() {
  const [build, setBuild] = useState('');
  useEffect(() => {
    fetch('/build.json')
      .then((answer) => answer.json())
      .then((data: { hash?: string }) => setBuild(data.hash ?? ''))
      .catch(() => undefined);
  }, []);
  const info = node.value;
  const lines: [string, string][] = [
    [t('about.node'), info?.name || info?.domain || ''],
    [t('about.node_version'), info?.version ?? ''],
    [t('about.ui_version'), build ? `${VERSION} (${build.slice(0, 8)})` : VERSION],
    [t('about.node_id'), info?.node ?? ''],
  ];
  return (
    <section class={shell.card}>
      <div class={shell.row}>
        <img src="/icon.svg" alt="" width={48} height={48} />
        <div>
          <b>Startalk</b>
          <small>{t('about.text')}</small>
        </div>
      </div>
      <dl style={{ display: 'grid', gap: '12px' }}>
        {lines.map(([name, value]) => (
          <div key={name}>
            <dt class={shell.muted}>{name}</dt>
            <dd style={{ overflowWrap: 'anywhere' }}>{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
