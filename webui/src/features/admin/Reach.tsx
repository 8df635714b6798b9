/** How other nodes reach this one, and how this one looks for another: what there is to see when a connection fails. */
import { useEffect, useState } from 'preact/hooks';
import * as http from '../../core/api.ts';
import { number, t } from '../../i18n/index.ts';
import { explain } from '../../i18n/refusal.ts';
import { Button } from '../../ui/Button/Button.tsx';
import { Icon } from '../../ui/Icon/Icon.tsx';
import { CopyLine, Problem } from '../../ui/Parts/Parts.tsx';
import { explainMeeting } from '../contacts/model.ts';
import shell from '../shell/Shell.module.css';
import s from './Peers.module.css';
import { causeText, Raw, sourceText } from './Why.tsx';

const FINE: ReadonlySet<string> = new Set(['public']);

/** Whether people elsewhere can connect to this node, and what its domain should say. */
export function Outlook({ nameOf }: { nameOf: (node: string) => string }) {
  const [reach, setReach] = useState<http.api.Reach | null>(null);
  const [calls, setCalls] = useState<readonly http.api.CallBack[] | null>(null);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const load = () => {
    http.reach().then(setReach, setError);
  };
  useEffect(load, []);
  const call = async () => {
    setBusy(true);
    setError(null);
    try {
      setCalls((await http.callBack()).calls);
      load();
    } catch (problem) {
      setError(problem);
    }
    setBusy(false);
  };
  if (!reach) return <Problem error={error} retry={load} />;
  const seen = [...reach.published, ...reach.unproved];
  return (
    <section class={shell.card} aria-label={t('reach.title')}>
      <h2>{t('reach.title')}</h2>
      <p class={s.standing} data-fine={FINE.has(reach.standing) ? 'yes' : 'no'}>
        <Icon name={FINE.has(reach.standing) ? 'check' : 'info'} size={18} />
        <span>{t(`reach_standing.${reach.standing}`, { port: String(reach.port) })}</span>
      </p>
      {seen.length > 0 && <p class={s.addresses}>{seen.join(', ')}</p>}
      {reach.mapping_problem && <p class={shell.muted}>{t('reach.mapping', { why: reach.mapping_problem })}</p>}
      {reach.domain && reach.txt && <CopyLine label={t('reach.txt', { domain: reach.domain })} text={reach.txt} />}
      {reach.domain && reach.txt && <p class={shell.muted}>{t('reach.txt', { domain: reach.domain })}</p>}
      <div class={s.actions}>
        <Button icon="refresh-cw" busy={busy} disabled={reach.standing === 'no_https'} onClick={() => void call()}>
          {t('reach.call')}
        </Button>
      </div>
      <Problem error={error} />
      {calls?.length === 0 && <p class={shell.muted}>{t('reach.nobody')}</p>}
      {calls && calls.length > 0 && (
        <ul aria-label={t('reach.call')}>
          {calls.map(({ node, reached, text }) => (
            <li key={node} class={s.step} data-fine={reached ? 'yes' : 'no'}>
              <Icon name={reached ? 'check' : 'x'} size={18} label={t(reached ? 'reach.reached' : 'reach.missed')} />
              <div>
                <b>{nameOf(node)}</b>
                <small>{reached ? t('reach.reached') : text}</small>
              </div>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

/** Each source that was asked where a node is, and each address that was tried. */
export function Trace({ address }: { address: string }) {
  const [found, setFound] = useState<http.api.Trace | null>(null);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState('');
  const look = async () => {
    setBusy(true);
    setError('');
    try {
      setFound(await http.trace(address));
    } catch (problem) {
      setError(problem instanceof Error ? explainMeeting(problem, address) : explain(problem).text);
    }
    setBusy(false);
  };
  return (
    <section class={shell.card} aria-label={t('trace.title')}>
      <h2>{t('trace.title')}</h2>
      <p class={shell.muted}>{t('trace.text')}</p>
      <div class={s.actions}>
        <Button icon="user-round-search" busy={busy} onClick={() => void look()}>
          {t('trace.start')}
        </Button>
      </div>
      {error && (
        <p class={s.why} role="alert">
          {error}
        </p>
      )}
      {found?.steps.length === 0 && <p class={shell.muted}>{t('trace.nothing')}</p>}
      {found && found.steps.length > 0 && (
        <ol aria-label={t('trace.title')}>
          {found.steps.map((step, i) => (
            <li key={i} class={s.step} data-fine={step.fine ? 'yes' : 'no'}>
              <Icon name={step.fine ? 'check' : 'x'} size={18} label={t(step.fine ? 'trace.fine' : 'trace.missed')} />
              <div>
                <b>{step.url || sourceText(step.source) || t('trace.end')}</b>
                <small>{outcomeOf(step)}</small>
                <Raw text={step.text} />
              </div>
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}

/** What came of asking a source, or of trying an address. */
function outcomeOf({ url, source, fine, cause, took_ms }: http.api.TraceStep): string {
  if (!url) return t(fine ? 'trace.fine' : 'trace.missed');
  const took = t('peers.ms', { n: number(Math.round(took_ms)) });
  return [sourceText(source), fine ? t('trace.answers') : causeText(cause), took].filter(Boolean).join(' · ');
}
