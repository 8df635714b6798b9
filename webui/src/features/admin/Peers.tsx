/** Other nodes, for admins: who is linked and how, what waits for them, and why a connection failed. */
import { useEffect, useState } from 'preact/hooks';
import * as http from '../../core/api.ts';
import { Refusal } from '../../core/types.ts';
import { type Key, momentOf, number, t } from '../../i18n/index.ts';
import { explain } from '../../i18n/refusal.ts';
import { go, route } from '../../routes.ts';
import { Button } from '../../ui/Button/Button.tsx';
import { Confirm } from '../../ui/Dialog/Dialog.tsx';
import { Field } from '../../ui/Field/Field.tsx';
import { Icon } from '../../ui/Icon/Icon.tsx';
import { CopyLine, Empty, Problem, Skeleton } from '../../ui/Parts/Parts.tsx';
import { toast } from '../../ui/Toast/Toast.tsx';
import { explainMeeting } from '../contacts/model.ts';
import shell from '../shell/Shell.module.css';
import { AllowButton, CircleCard } from './Circle.tsx';
import s from './Peers.module.css';
import { Outlook, Trace } from './Reach.tsx';
import { causeText, Raw } from './Why.tsx';

type Peer = http.api.Peer;
const EACH_MS = 5_000;

export function Peers() {
  const { item } = route.value;
  return item ? <PeerPage key={item} node={item} /> : <PeerList />;
}

const nameOf = (peer: Peer): string => peer.domain || `${peer.node.slice(0, 8)}…`;
const verified = (peer: Peer): boolean => peer.domain !== '' && peer.domain_state === 'verified';
/** What is known of the node's name: its owner may have ended it for good. */
const wordOf = (peer: Peer): 'peers.verified' | 'peers.unverified' | 'peers.revoked' =>
  peer.domain_state === 'revoked' ? 'peers.revoked' : verified(peer) ? 'peers.verified' : 'peers.unverified';
const stateOf = (peer: Peer): 'linked' | 'dialling' | 'offline' | 'blocked' =>
  peer.policy === 'block' ? 'blocked' : peer.state;

/** What `ask` answers, asked again while the page is open. */
function useWatched<T>(ask: () => Promise<T>): { value: T | null; error: unknown; again: () => void } {
  const [value, setValue] = useState<T | null>(null);
  const [error, setError] = useState<unknown>(null);
  const again = () => {
    ask().then((answer) => {
      setError(null);
      setValue(answer);
    }, setError);
  };
  useEffect(() => {
    again();
    const timer = setInterval(() => document.visibilityState === 'visible' && again(), EACH_MS);
    return () => clearInterval(timer);
  }, []);
  return { value, error, again };
}

function PeerList() {
  const { value, error, again } = useWatched(http.peers);
  const peers = value?.peers;
  return (
    <>
      <AddPeer onAdded={again} />
      <Problem error={peers ? null : error} retry={again} />
      {!peers && !error && <Skeleton rows={3} />}
      {peers?.length === 0 && <Empty icon="network" title={t('peers.none')} text={t('peers.none_text')} />}
      {peers && peers.length > 0 && (
        <section class={shell.card} aria-label={t('peers.title')}>
          <ul>
            {peers.map((peer) => (
              <li key={peer.node}>
                <a class={s.peer} href={`/admin/peers/${peer.node}`}>
                  <span class={s.dot} data-state={stateOf(peer)} />
                  <span>
                    <b>{nameOf(peer)}</b>
                    <small>{lineOf(peer)}</small>
                    {peer.dial_error && peer.state !== 'linked' && peer.policy !== 'block' && (
                      <small class={s.why}>{t('peers.failed', { why: causeText(peer.dial_cause) })}</small>
                    )}
                  </span>
                  {peer.queue_rows > 0 && (
                    <span class={s.count} title={t('peers.queue_n', { n: peer.queue_rows })}>
                      {number(peer.queue_rows)}
                    </span>
                  )}
                  {peer.refused > 0 && (
                    <Icon
                      name="triangle-alert"
                      size={18}
                      class={s.bad}
                      label={t('peers.refused_n', { n: peer.refused })}
                    />
                  )}
                  <Icon name="chevron-right" size={18} />
                </a>
              </li>
            ))}
          </ul>
        </section>
      )}
      <CircleCard onChanged={again} />
      <Outlook
        nameOf={(node) => {
          const peer = peers?.find((one) => one.node === node);
          return peer ? nameOf(peer) : `${node.slice(0, 8)}…`;
        }}
      />
    </>
  );
}

/** State, way and figures on one line. */
function lineOf(peer: Peer): string {
  const state = stateOf(peer);
  const seen = peer.seen_ms ? t('settings.seen', { time: momentOf(peer.seen_ms) }) : t('admin.never_seen');
  if (state !== 'linked') return `${t(`peers.${state}`)} · ${seen}`;
  const rtt = peer.rtt_ms === null ? [] : [t('peers.ms', { n: number(Math.round(peer.rtt_ms)) })];
  return [t('peers.linked'), t(peer.path.startsWith('out') ? 'peers.path_out' : 'peers.path_in'), ...rtt].join(' · ');
}

function AddPeer({ onAdded }: { onAdded: () => void }) {
  const [text, setText] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState('');
  const [failed, setFailed] = useState('');
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError('');
    setFailed('');
    try {
      const peer = await http.addPeer(text.trim());
      setText('');
      onAdded();
      go(`/admin/peers/${peer.node}`);
    } catch (problem) {
      setError(explainMeeting(problem, text));
      if (problem instanceof Refusal && problem.code === 'peer_unreachable') setFailed(text.trim());
    }
    setBusy(false);
  };
  return (
    <>
      <form class={shell.card} onSubmit={submit}>
        <Field
          label={t('peers.add')}
          hint={t('peers.add_hint')}
          error={error || undefined}
          value={text}
          onInput={setText}
          placeholder="casa.example"
          required
        />
        <Button type="submit" look="primary" icon="network" busy={busy} disabled={!text.trim()}>
          {t('peers.connect')}
        </Button>
      </form>
      {failed && <Trace key={failed} address={failed} />}
    </>
  );
}

function PeerPage({ node }: { node: string }) {
  const { value: peer, error, again } = useWatched(() => http.peer(node));
  const [busy, setBusy] = useState(false);
  const [asking, setAsking] = useState(false);
  const act = async (work: Promise<Peer | http.api.PingPeer>, done: Key) => {
    setBusy(true);
    try {
      const answer = await work;
      const n = number(Math.round(answer.rtt_ms ?? 0));
      toast(t(done, { n }));
    } catch (problem) {
      toast(problem instanceof Error ? explainMeeting(problem, peer?.domain || node) : explain(problem).text);
    }
    again();
    setBusy(false);
  };
  if (!peer) {
    return (
      <>
        <BackToList />
        {error ? <Problem error={error} retry={again} /> : <Skeleton rows={3} />}
      </>
    );
  }
  const blocked = peer.policy === 'block';
  return (
    <>
      <BackToList />
      <section class={shell.card} aria-label={nameOf(peer)}>
        <div class={s.title}>
          <span class={s.dot} data-state={stateOf(peer)} />
          <h2>{nameOf(peer)}</h2>
          <span class={s.tag} data-ok={verified(peer) ? 'yes' : 'no'}>
            {t(wordOf(peer))}
          </span>
        </div>
        <dl class={s.facts}>
          {facts(peer).map(([name, value]) => (
            <div key={name}>
              <dt>{t(name)}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
        {peer.dial_error && peer.state !== 'linked' && (
          <div>
            <p class={s.why}>{t('peers.failed', { why: causeText(peer.dial_cause) })}</p>
            <Raw text={peer.dial_error} />
          </div>
        )}
        <CopyLine label={t('about.node_id')} text={peer.node} />
        <div class={s.actions}>
          <Button
            look="primary"
            icon="refresh-cw"
            busy={busy}
            disabled={blocked}
            onClick={() =>
              peer.state === 'linked'
                ? void act(http.pingPeer(node), 'peers.answered')
                : void act(http.dialPeer(node), 'peers.linked')
            }
          >
            {t(peer.state === 'linked' ? 'peers.measure' : 'peers.dial')}
          </Button>
          <AllowButton peer={peer} onChange={(policy) => void act(http.changePeer(node, { policy }), 'common.saved')} />
          {blocked ? (
            <Button
              icon="user-check"
              onClick={() => void act(http.changePeer(node, { policy: 'open' }), 'common.saved')}
            >
              {t('contacts.unblock')}
            </Button>
          ) : (
            <Button look="danger" icon="ban" onClick={() => setAsking(true)}>
              {t('peers.block')}
            </Button>
          )}
        </div>
      </section>
      {peer.state !== 'linked' && !blocked && <Trace address={peer.domain || peer.node} />}
      {peer.safety && (
        <section class={shell.card}>
          <h2>{t('peers.safety')}</h2>
          <p class={shell.muted}>{t('peers.safety_text')}</p>
          <ol class={s.words}>
            {peer.safety.split(' ').map((word, i) => (
              <li key={i}>{word}</li>
            ))}
          </ol>
        </section>
      )}
      {peer.addresses.length > 0 && (
        <section class={shell.card}>
          <h2>{t('peers.addresses')}</h2>
          <ul class={s.addresses}>
            {peer.addresses.map((address) => (
              <li key={address}>{address}</li>
            ))}
          </ul>
        </section>
      )}
      {asking && (
        <Confirm
          title={t('peers.block')}
          text={t('peers.block_text', { node: nameOf(peer) })}
          action={t('peers.block')}
          danger
          onClose={() => setAsking(false)}
          onConfirm={() => void act(http.changePeer(node, { policy: 'block' }), 'peers.blocked_done')}
        />
      )}
    </>
  );
}

const BackToList = () => (
  <div>
    <Button look="ghost" icon="arrow-left" small onClick={() => go('/admin/peers')}>
      {t('peers.all')}
    </Button>
  </div>
);

function facts(peer: Peer): [Key, string][] {
  const skew = peer.skew_ms / 1_000;
  return [
    ['peers.state', t(`peers.${stateOf(peer)}`)],
    ['peers.path', peer.path.replace(/^(?:out|in) /, '') || '—'],
    ['peers.seen', peer.seen_ms ? momentOf(peer.seen_ms) : t('admin.never_seen')],
    ['peers.rtt', peer.rtt_ms === null ? '—' : t('peers.ms', { n: number(Math.round(peer.rtt_ms)) })],
    ['peers.skew', Math.abs(skew) < 1 ? t('peers.skew_none') : t('peers.skew_s', { n: number(Math.round(skew)) })],
    ['peers.queue', t('peers.queue_text', { n: peer.queue_rows, kb: number(Math.ceil(peer.queue_bytes / 1_000)) })],
    ['peers.under_way', number(peer.under_way)],
    ['peers.refused', number(peer.refused)],
    ['peers.dialled', peer.dialled_ms ? momentOf(peer.dialled_ms) : '—'],
    ['peers.incarnation', number(peer.incarnation)],
    ['peers.rotations', number(peer.rotations)],
  ];
}
