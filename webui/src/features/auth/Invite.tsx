/** An invitation link: what it is for, then a new account, entering a room, or a new password. */
import { useEffect, useState } from 'preact/hooks';
import * as http from '../../core/api.ts';
import { newClientId } from '../../core/bytes.ts';
import { carryTo, linkOf, parseFragment } from '../../core/link.ts';
import { Refusal } from '../../core/types.ts';
import { lang, momentOf, t } from '../../i18n/index.ts';
import { explain } from '../../i18n/refusal.ts';
import { go } from '../../routes.ts';
import { client, deviceName, enter, me, node } from '../../session.ts';
import { Avatar } from '../../ui/Avatar/Avatar.tsx';
import { Button } from '../../ui/Button/Button.tsx';
import { Field } from '../../ui/Field/Field.tsx';
import { Problem, Skeleton } from '../../ui/Parts/Parts.tsx';
import { toast } from '../../ui/Toast/Toast.tsx';
import { prefill } from '../contacts/model.ts';
import s from './Auth.module.css';
import { Card, Login } from './Gate.tsx';

export default function Invite() {
  const [hash, setHash] = useState(location.hash);
  const [info, setInfo] = useState<http.api.InviteInfo | null>(null);
  const [error, setError] = useState<unknown>(null);
  const link = parseFragment(hash);
  const away = link !== null && link.node !== node.value?.node; // made on another node
  const personal = link?.kind === 'contact';
  const [elsewhere, setElsewhere] = useState(false);
  useEffect(() => {
    const moved = () => setHash(location.hash);
    addEventListener('hashchange', moved);
    return () => removeEventListener('hashchange', moved);
  }, []);
  useEffect(() => {
    setError(null);
    setInfo(null);
    setElsewhere(false);
    if (away || personal) return;
    if (link) http.inspectInvite(link.token).then(setInfo, setError);
    else if (hash.length > 1) setError(new Refusal('invite_invalid', ''));
  }, [hash]);
  if (hash.length <= 1)
    return node.value?.registration === 'open' ? (
      <RegisterCard token="" nodeRole="" />
    ) : (
      <Broken error={new Refusal('invite_needed', '')} />
    );
  if (error) return <Broken error={error} />;
  if (link && (away || personal)) {
    if (me.value && client.value) return <Opened hash={hash} away={away} local={link.subject} />;
    return away ? <Login note={t('elsewhere.sign_in')} /> : <Greeting hash={hash} hint={link.hint || link.subject} />;
  }
  if (link && elsewhere) return <Elsewhere hash={hash} onBack={() => setElsewhere(false)} />;
  if (!info || !link) return <Skeleton rows={1} />;
  if (info.kind === 'reset') return <ResetCard token={link.token} local={info.local} />;
  if (info.room && me.value && client.value) return <JoinCard token={link.token} room={info.room} />;
  return (
    <RegisterCard
      token={link.token}
      nodeRole={info.role}
      room={info.room}
      onElsewhere={info.room ? () => setElsewhere(true) : undefined}
    />
  );
}

/** A link for people elsewhere, opened on the reader's own node: the dialog that adds people takes it from here. */
function Opened({ hash, away, local }: { hash: string; away: boolean; local: string }) {
  useEffect(() => {
    if (!away) {
      go(`/contacts/${encodeURIComponent(local)}`, true);
      return;
    }
    prefill.value = linkOf(hash, location.host);
    go('/add', true);
  }, []);
  return <Skeleton rows={1} />;
}

/** Somebody's contact link on their own node's page: whoever reads it most likely lives elsewhere. */
function Greeting({ hash, hint }: { hash: string; hint: string }) {
  const [elsewhere, setElsewhere] = useState(false);
  if (elsewhere) return <Elsewhere hash={hash} onBack={() => setElsewhere(false)} />;
  return (
    <Card title={t('elsewhere.contact_title', { name: hint })} text={t('elsewhere.contact_text', { name: hint })}>
      <Button look="primary" wide onClick={() => setElsewhere(true)}>
        {t('elsewhere.have_account')}
      </Button>
      <Button wide onClick={() => go('/login')}>
        {t('elsewhere.here', { node: node.value?.name || 'Startalk' })}
      </Button>
    </Card>
  );
}

const OWN_NODE = 'startalk.own-node';

/** The reader names their own node; its page opens the same link. What stands after # is never sent to a server. */
function Elsewhere({ hash, onBack }: { hash: string; onBack: () => void }) {
  const [typed, setTyped] = useState(localStorage.getItem(OWN_NODE) ?? '');
  const [wrong, setWrong] = useState(false);
  const submit = (event: Event) => {
    event.preventDefault();
    const target = carryTo(typed, hash, location.host);
    setWrong(target === null);
    if (target === null) return;
    localStorage.setItem(OWN_NODE, typed.trim());
    location.assign(target);
  };
  return (
    <Card title={t('elsewhere.title')} text={t('elsewhere.text')}>
      <form class={s.form} onSubmit={submit}>
        <Field
          label={t('elsewhere.address')}
          hint={t('elsewhere.hint')}
          error={wrong ? t('elsewhere.wrong') : undefined}
          value={typed}
          onInput={setTyped}
          placeholder="casa.example"
          autoFocus
          required
        />
        <Button type="submit" look="primary" wide>
          {t('elsewhere.go')}
        </Button>
      </form>
      <Button look="ghost" wide onClick={onBack}>
        {t('common.back')}
      </Button>
    </Card>
  );
}

function Broken({ error }: { error: unknown }) {
  return (
    <Card title={t('invite.broken')}>
      <Problem error={error} />
      <Button wide onClick={() => go('/', true)}>
        {t(client.value ? 'nav.chats' : 'auth.sign_in')}
      </Button>
    </Card>
  );
}

const roomText = (room: http.api.RoomPreview): string => t('invite.room_text', { room: room.name, n: room.members });

/** The node speaks of the person who joins; here that is the reader. */
function aboutMe(problem: unknown): unknown {
  if (!(problem instanceof Refusal && problem.code === 'forbidden' && typeof problem.detail.until_ms === 'number'))
    return problem;
  const until = problem.detail.until_ms;
  return new Refusal(
    'banned',
    until > 0 ? t('invite.banned_until', { time: momentOf(until) }) : t('invite.banned'),
    problem.detail,
  );
}

function JoinCard({ token, room }: { token: string; room: http.api.RoomPreview }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const join = async () => {
    setBusy(true);
    try {
      await http.joinByLink({ token, client_id: newClientId(Date.now()) });
    } catch (problem) {
      if (!(problem instanceof Refusal && problem.code === 'already_done')) {
        setError(aboutMe(problem));
        setBusy(false);
        return;
      }
    }
    go(`/c/${room.room}`, true);
  };
  return (
    <Card title={t('invite.join_title')}>
      <div class={s.brand}>
        <Avatar id={room.room} name={room.name} size={72} group />
        <p>{roomText(room)}</p>
        {room.topic && <p class={s.note}>{room.topic}</p>}
      </div>
      <Problem error={error} />
      <Button look="primary" wide busy={busy} onClick={() => void join()}>
        {t('invite.join')}
      </Button>
      <Button wide onClick={() => go('/', true)}>
        {t('common.not_now')}
      </Button>
    </Card>
  );
}

const FIELD_OF: Record<string, string> = {
  name_taken: 'local',
  name_invalid: 'local',
  password_too_short: 'password',
  password_too_long: 'password',
  password_too_common: 'password',
  password_has_name: 'password',
};

function RegisterCard({
  token,
  nodeRole,
  room,
  onElsewhere,
}: {
  token: string;
  nodeRole: string;
  room?: http.api.RoomPreview | null;
  onElsewhere?: (() => void) | undefined;
}) {
  const [local, setLocal] = useState('');
  const [name, setName] = useState('');
  const [password, setPassword] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const owner = nodeRole === 'node_owner';
  const field = error instanceof Refusal ? (FIELD_OF[error.code] ?? (error.detail.field as string | undefined)) : '';
  const note = (which: string) => (field === which ? explain(error).text : undefined);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const account = {
        local: local.trim().toLowerCase(),
        name: name.trim() || local.trim(),
        password,
        lang: lang.value,
        device_name: deviceName(),
        mode: 'cookie' as const,
      };
      const session = await http.register(token ? { ...account, token } : account);
      await enter(session.me);
      if (room) await joinAfter(token, room.room);
      else go(session.me.setup === 'phrase' ? '/setup' : '/', true);
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  const title = owner ? t('auth.owner_title') : t('auth.join_node', { node: node.value?.name || 'Startalk' });
  return (
    <Card title={title} text={owner ? t('auth.owner_text') : room ? roomText(room) : t('auth.register_text')}>
      <form class={s.form} onSubmit={submit}>
        <Field
          label={t('auth.user')}
          name="username"
          hint={t('auth.user_hint')}
          error={note('local')}
          value={local}
          onInput={setLocal}
          autoComplete="username"
          maxLength={32}
          autoFocus
          required
        />
        <Field
          label={t('auth.name')}
          name="name"
          hint={t('auth.name_hint')}
          error={note('name')}
          value={name}
          onInput={setName}
          autoComplete="name"
          maxLength={60}
        />
        <Field
          label={t('auth.password')}
          name="password"
          type="password"
          hint={t('auth.password_hint')}
          error={note('password')}
          value={password}
          onInput={setPassword}
          autoComplete="new-password"
          required
        />
        {!(field === 'local' || field === 'name' || field === 'password') && <Problem error={error} />}
        <Button type="submit" look="primary" wide busy={busy}>
          {t('auth.create_account')}
        </Button>
      </form>
      {onElsewhere && !client.value && (
        <Button wide icon="globe" onClick={onElsewhere}>
          {t('elsewhere.have_account')}
        </Button>
      )}
      {!owner && !client.value && (
        <Button look="ghost" wide onClick={() => go('/login', true)}>
          {t('auth.have_account')}
        </Button>
      )}
    </Card>
  );
}

async function joinAfter(token: string, room: string): Promise<void> {
  try {
    await http.joinByLink({ token, client_id: newClientId(Date.now()) });
    go(`/c/${room}`, true);
  } catch (problem) {
    toast(explain(aboutMe(problem)).text);
    go('/', true);
  }
}

function ResetCard({ token, local }: { token: string; local: string }) {
  const [password, setPassword] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await http.resetPassword({ token, password });
      const session = await http.login({ local, password, device_name: deviceName(), mode: 'cookie' });
      await enter(session.me);
      go('/', true);
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  return (
    <Card title={t('auth.reset_title')} text={t('auth.reset_text', { user: local })}>
      <form class={s.form} onSubmit={submit}>
        <input type="text" name="username" autocomplete="username" value={local} readOnly hidden />
        <Field
          label={t('auth.new_password')}
          type="password"
          hint={t('auth.password_hint')}
          value={password}
          onInput={setPassword}
          autoComplete="new-password"
          autoFocus
          required
        />
        <Problem error={error} />
        <Button type="submit" look="primary" wide busy={busy}>
          {t('auth.set_password')}
        </Button>
      </form>
    </Card>
  );
}
