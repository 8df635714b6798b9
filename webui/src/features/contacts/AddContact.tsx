/**
 * Adding somebody on another node: an address or a link is typed, pasted or scanned, or a node nearby is chosen; then it
 * is shown who was found there, and they are asked with a few words. Links into groups end in the group.
 */
import { lazy, Suspense } from 'preact/compat';
import { useEffect, useRef, useState } from 'preact/hooks';
import * as http from '../../core/api.ts';
import { newClientId } from '../../core/bytes.ts';
import { localOf } from '../../core/store/state.ts';
import { Refusal } from '../../core/types.ts';
import { type Key, t } from '../../i18n/index.ts';
import { explain } from '../../i18n/refusal.ts';
import { go } from '../../routes.ts';
import { here } from '../../session.ts';
import { Avatar } from '../../ui/Avatar/Avatar.tsx';
import { Button } from '../../ui/Button/Button.tsx';
import { Actions, Dialog } from '../../ui/Dialog/Dialog.tsx';
import { Field } from '../../ui/Field/Field.tsx';
import { Icon } from '../../ui/Icon/Icon.tsx';
import { toast } from '../../ui/Toast/Toast.tsx';
import { openWhenIn } from '../chats/model.ts';
import shell from '../shell/Shell.module.css';
import s from './AddContact.module.css';
import { NodeBadge } from './Domain.tsx';
import { contactOf, explainMeeting, looksLikeAddress, placeIn, prefill, shortAddress, startChat } from './model.ts';

const Scan = lazy(() => import('./Scan.tsx'));
const TEXT_MAX = 300;
const NEARBY_EACH_MS = 3_000;

interface Found {
  what: string;
  one: http.api.Introduction;
}

export default function AddContact({ onClose }: { onClose: () => void }) {
  const [text, setText] = useState(prefill.value);
  const [looking, setLooking] = useState('');
  const [error, setError] = useState('');
  const [found, setFound] = useState<Found | null>(null);
  const [scanning, setScanning] = useState(false);
  const [near, setNear] = useState<http.api.NearbyNode | null>(null);
  const turn = useRef(0);

  const look = async (what: string) => {
    const mine = ++turn.current;
    setScanning(false);
    setError('');
    setLooking(placeIn(what) || what);
    try {
      const one = await http.introduce(what.trim());
      if (mine !== turn.current) return;
      if (one.home && one.kind === 'person') go(`/contacts/${encodeURIComponent(localOf(one.user))}`, true);
      else setFound({ what: what.trim(), one });
    } catch (problem) {
      if (mine === turn.current) setError(explainMeeting(problem, what));
    }
    if (mine === turn.current) setLooking('');
  };
  const stop = () => {
    turn.current++;
    setLooking('');
  };
  useEffect(() => {
    const what = prefill.value;
    prefill.value = '';
    if (what) void look(what);
    return () => void turn.current++;
  }, []);
  const write = (value: string) => {
    setText(value);
    setError('');
    if (value.includes('/i#') && looksLikeAddress(value)) void look(value);
  };

  if (found) {
    return (
      <Dialog title={t(TITLES[found.one.kind])} onClose={onClose}>
        <FoundThere found={found} onBack={() => setFound(null)} onClose={onClose} />
      </Dialog>
    );
  }
  if (scanning) {
    return (
      <Dialog title={t('scan.title')} onClose={onClose}>
        <Suspense fallback={null}>
          <Scan
            onFound={(value) => {
              setText(value);
              void look(value);
            }}
            onBack={() => setScanning(false)}
          />
        </Suspense>
      </Dialog>
    );
  }
  return (
    <Dialog title={t('add.title')} onClose={onClose}>
      <form
        class={s.form}
        onSubmit={(event) => {
          event.preventDefault();
          void look(text);
        }}
      >
        <Field
          label={t('add.address')}
          value={text}
          onInput={write}
          hint={t('add.address_hint')}
          error={error || undefined}
          placeholder="alice@casa.example"
          autoFocus
          required
        />
        {looking ? (
          <div class={s.looking} role="status">
            <span class={s.turn} aria-hidden="true" />
            <span>{t('add.looking', { node: looking })}</span>
            <Button small look="ghost" onClick={stop}>
              {t('common.cancel')}
            </Button>
          </div>
        ) : (
          <div class={s.ways}>
            <Button icon="qr-code" onClick={() => setScanning(true)}>
              {t('add.scan')}
            </Button>
            <Button type="submit" look="primary" icon="search" disabled={!text.trim()}>
              {t('add.find')}
            </Button>
          </div>
        )}
      </form>
      {near ? (
        <NearbyName
          place={near}
          busy={looking !== ''}
          onBack={() => setNear(null)}
          onName={(local) => {
            const address = `${local}@${near.node}.startalk.alt`;
            setText(address);
            void look(address);
          }}
        />
      ) : (
        <Nearby onPick={setNear} />
      )}
    </Dialog>
  );
}

const TITLES: Record<http.api.Introduction['kind'], Key> = {
  person: 'add.title',
  room: 'invite.join_title',
  account: 'add.account_title',
};

/** Nodes of the same local network, asked for again and again while the dialog is open. */
function Nearby({ onPick }: { onPick: (node: http.api.NearbyNode) => void }) {
  const [nodes, setNodes] = useState<readonly http.api.NearbyNode[] | null>(null);
  useEffect(() => {
    const ask = () =>
      http.nearby().then(
        (answer) => setNodes(answer.nodes),
        () => setNodes((before) => before ?? []),
      );
    void ask();
    const timer = setInterval(() => void ask(), NEARBY_EACH_MS);
    return () => clearInterval(timer);
  }, []);
  return (
    <section class={s.near} aria-label={t('nearby.title')}>
      <h3>
        <Icon name="wifi" size={16} />
        {t('nearby.title')}
      </h3>
      {nodes?.length ? (
        <ul>
          {nodes.map((node) => (
            <li key={node.node}>
              <button type="button" onClick={() => onPick(node)}>
                <Icon name="house" />
                <span>
                  <b>{nameOf(node)}</b>
                  <small>{node.addresses[0] ?? ''}</small>
                </span>
                <Icon name="chevron-right" size={18} />
              </button>
            </li>
          ))}
        </ul>
      ) : (
        <p class={shell.muted}>{t(nodes ? 'nearby.none' : 'nearby.looking')}</p>
      )}
    </section>
  );
}

const nameOf = ({ name, node }: http.api.NearbyNode): string => (name && name !== node ? name : `${node.slice(0, 8)}…`);

/** Who is meant on a node nearby. */
function NearbyName({
  place,
  busy,
  onBack,
  onName,
}: {
  place: http.api.NearbyNode;
  busy: boolean;
  onBack: () => void;
  onName: (local: string) => void;
}) {
  const [local, setLocal] = useState('');
  return (
    <form
      class={s.form}
      onSubmit={(event) => {
        event.preventDefault();
        onName(local.trim().toLowerCase());
      }}
    >
      <Field
        label={t('nearby.who', { node: nameOf(place) })}
        hint={t('nearby.who_hint')}
        value={local}
        onInput={setLocal}
        maxLength={32}
        autoFocus
        required
      />
      <div class={s.ways}>
        <Button icon="arrow-left" onClick={onBack}>
          {t('common.back')}
        </Button>
        <Button type="submit" look="primary" icon="search" busy={busy} disabled={!local.trim()}>
          {t('add.find')}
        </Button>
      </div>
    </form>
  );
}

function FoundThere(props: { found: Found; onBack: () => void; onClose: () => void }) {
  if (props.found.one.kind === 'person') return <FoundPerson {...props} />;
  if (props.found.one.kind === 'room') return <FoundRoom {...props} />;
  return <FoundAccount {...props} />;
}

function FoundPerson({ found, onBack, onClose }: { found: Found; onBack: () => void; onClose: () => void }) {
  const { state } = here();
  const { one, what } = found;
  const [words, setWords] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState('');
  const contact = contactOf(state, one.user);
  const name = contact?.person.name || one.hint || localOf(one.user);
  const invited = what.includes('/i#');
  const length = [...words].length;
  const ask = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError('');
    try {
      await http.askContact({ address: what, text: words.trim() });
      await here().refreshContacts();
      if (contact?.state === 'asking' || invited) toast(t('add.agreed', { name }));
      go(`/contacts/${encodeURIComponent(one.user)}`, true);
    } catch (problem) {
      if (problem instanceof Refusal && problem.code === 'already_done') void startChat(one.user);
      else setError(explainMeeting(problem, what));
      setBusy(false);
    }
  };
  return (
    <form class={s.form} onSubmit={ask}>
      <div class={s.found}>
        <Avatar id={one.user} name={name} size={72} />
        <b>{name}</b>
        <NodeBadge node={one.node} />
        <small>{shortAddress(state, one.user)}</small>
      </div>
      {contact?.state === 'contact' ? (
        <>
          <p class={shell.muted}>{t('add.known')}</p>
          <Actions>
            <Button onClick={onClose}>{t('common.close')}</Button>
            <Button look="primary" icon="message-circle" onClick={() => void startChat(one.user)}>
              {t('contacts.message')}
            </Button>
          </Actions>
        </>
      ) : (
        <>
          <Field
            label={t('add.words')}
            hint={t(invited ? 'add.words_invited' : 'add.words_hint', { n: TEXT_MAX - length })}
            value={words}
            onInput={setWords}
            error={error || (length > TEXT_MAX ? t('add.words_long', { n: length - TEXT_MAX }) : undefined)}
            lines
            autoFocus
          />
          <Actions>
            <Button onClick={onBack}>{t('common.back')}</Button>
            <Button type="submit" look="primary" icon="user-plus" busy={busy} disabled={length > TEXT_MAX}>
              {t(invited ? 'add.add' : 'add.ask')}
            </Button>
          </Actions>
        </>
      )}
    </form>
  );
}

function FoundRoom({ found, onBack, onClose }: { found: Found; onBack: () => void; onClose: () => void }) {
  const { state } = here();
  const { one, what } = found;
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState('');
  const member = state.rooms.value.get(one.room)?.state === 'member';
  const name = one.hint || t('group.unnamed');
  const join = async () => {
    if (member) {
      go(`/c/${one.room}`, true);
      return;
    }
    setBusy(true);
    setError('');
    try {
      const posted = await http.joinElsewhere({ link: what, client_id: newClientId(Date.now()) });
      if (posted.idx === 0) {
        toast(t('add.joining', { room: name }));
        go('/', true);
      }
      openWhenIn(one.room);
    } catch (problem) {
      setError(explainMeeting(problem, what));
      setBusy(false);
    }
  };
  return (
    <>
      <div class={s.found}>
        <Avatar id={one.room} name={name} size={72} group />
        <b>{name}</b>
        <NodeBadge node={one.node} />
      </div>
      <p class={shell.muted}>
        {t(member ? 'group.is_member_you' : 'add.room_text', { node: state.nodeName(one.node) })}
      </p>
      {error && (
        <p class={s.error} role="alert">
          {error}
        </p>
      )}
      <Actions>
        <Button onClick={member ? onClose : onBack}>{t(member ? 'common.close' : 'common.back')}</Button>
        <Button look="primary" busy={busy} onClick={() => void join()}>
          {t(member ? 'add.open_chat' : 'invite.join')}
        </Button>
      </Actions>
    </>
  );
}

function FoundAccount({ found, onBack }: { found: Found; onBack: () => void }) {
  const { state } = here();
  const open = () => {
    if (found.one.home) toast(explain(new Refusal('already_done', t('add.account_here'))).text);
    else location.assign(found.what);
  };
  return (
    <>
      <div class={s.found}>
        <NodeBadge node={found.one.node} />
      </div>
      <p class={shell.muted}>{t('add.account_text', { node: state.nodeName(found.one.node) })}</p>
      <Actions>
        <Button onClick={onBack}>{t('common.back')}</Button>
        <Button look="primary" onClick={open}>
          {t('add.account_open')}
        </Button>
      </Actions>
    </>
  );
}
