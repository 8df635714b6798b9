/** Calls of this node, for its admins: whether the relay works and what it costs, who is in which call, and the limits. */
import { useEffect, useState } from 'preact/hooks';
import * as http from '../../core/api.ts';
import { localOf } from '../../core/store/state.ts';
import { type Key, number, t } from '../../i18n/index.ts';
import { explain } from '../../i18n/refusal.ts';
import { here } from '../../session.ts';
import { Button } from '../../ui/Button/Button.tsx';
import { Field } from '../../ui/Field/Field.tsx';
import { Icon } from '../../ui/Icon/Icon.tsx';
import { Problem, Skeleton } from '../../ui/Parts/Parts.tsx';
import { toast } from '../../ui/Toast/Toast.tsx';
import { Since } from '../call/Head.tsx';
import shell from '../shell/Shell.module.css';
import s from './AdminCalls.module.css';

export { ready } from '../call/words.ts';

const EACH_MS = 3_000;
type Report = http.api.AdminCalls;

export default function AdminCalls() {
  const [report, setReport] = useState<Report | null>(null);
  const [error, setError] = useState<unknown>(null);
  const load = () =>
    http.calls().then((found) => {
      setError(null);
      setReport(found);
    }, setError);
  useEffect(() => {
    void load();
    const timer = setInterval(() => document.visibilityState === 'visible' && void load(), EACH_MS);
    return () => clearInterval(timer);
  }, []);
  return (
    <>
      <Problem error={error} retry={() => void load()} />
      {!report && !error && <Skeleton rows={3} />}
      {report && <Relay report={report} />}
      {report && (
        <section class={shell.card} aria-label={t('call.admin.live')}>
          <h2>{t('call.admin.live')}</h2>
          {report.calls.length === 0 && <p class={shell.muted}>{t('call.admin.none')}</p>}
          {report.calls.map((call) => (
            <OneCall key={call.call} call={call} />
          ))}
        </section>
      )}
      <Limits />
    </>
  );
}

function Relay({ report }: { report: Report }) {
  const dropped = Object.entries(report.dropped).filter(([, count]) => count > 0);
  const level = report.level > 1 ? 2 : report.level;
  return (
    <section class={shell.card}>
      <h2>{t('call.admin.relay')}</h2>
      <p class={s.standing} data-fine={level > 0 ? 'yes' : 'no'}>
        <Icon name={level > 0 ? 'check' : 'circle-alert'} size={18} />
        {t(`call.admin.level_${level}` as Key, { reason: report.reason })}
      </p>
      <dl class={s.facts}>
        <dt>{t('call.admin.port')}</dt>
        <dd>{report.port || t('call.admin.no_port')}</dd>
        <dt>{t('call.admin.cpu')}</dt>
        <dd>{t('call.admin.of_core', { n: number(Math.round(report.cpu * 100)) })}</dd>
        <dt>{t('call.admin.packets')}</dt>
        <dd>{t('call.admin.in_out', { in: number(report.packets_in), out: number(report.packets_out) })}</dd>
        {dropped.length > 0 && <dt>{t('call.admin.dropped')}</dt>}
        {dropped.length > 0 && <dd>{dropped.map(([why, count]) => `${why}: ${number(count)}`).join(' · ')}</dd>}
      </dl>
    </section>
  );
}

function OneCall({ call }: { call: http.api.AdminCall }) {
  const known = (value: number, text: string): string => (value < 0 ? '–' : text);
  const loss = (value: number) => known(value, t('call.quality.loss', { n: (value / 10).toFixed(1) }));
  const rate = (value: number) => t('call.quality.kbps', { n: number(value) });
  return (
    <article class={s.call}>
      <h3>
        <Icon name={call.media === 'video' ? 'video' : 'phone'} size={18} />
        <span>{t(call.kind === 'group' ? 'call.admin.group' : 'call.admin.direct')}</span>
        <small>{call.state === 'live' ? <Since ms={call.started_ms} /> : t('call.admin.ringing')}</small>
      </h3>
      <p class={shell.muted}>
        {t('call.admin.rates', { in: number(call.in_kbps), out: number(call.out_kbps) })}
        {call.pipes.length > 0 && ` · ${t('call.admin.with_nodes', { n: call.pipes.length })}`}
      </p>
      <div class={s.scroll} role="region" aria-label={t('call.people')} tabIndex={0}>
        <table>
          <thead>
            <tr>
              {(['who', 'sends', 'gets', 'delay'] as const).map((head) => (
                <th key={head} scope="col">
                  {t(`call.admin.${head}`)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {call.seats.map((seat) => (
              <tr key={seat.seat}>
                <th scope="row">
                  {here().state.people.value.get(seat.user) ?? localOf(seat.user)}
                  <small>{seat.state === 'live' ? seat.path.toUpperCase() : t(`call.state.${seat.state}`)}</small>
                </th>
                {seat.here ? (
                  <>
                    <td>
                      {rate(seat.up_kbps)}
                      <small>{loss(seat.up_loss)}</small>
                    </td>
                    <td>
                      {rate(seat.down_kbps)}
                      <small>{loss(seat.down_loss)}</small>
                    </td>
                    <td>{known(seat.rtt_ms, t('call.quality.ms', { n: seat.rtt_ms }))}</td>
                  </>
                ) : (
                  <td colSpan={3}>{t('call.admin.elsewhere')}</td>
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </article>
  );
}

const LIMITS = ['participants', 'cameras', 'up_kbps', 'hours'] as const;

function Limits() {
  const [values, setValues] = useState<Readonly<Record<string, string>> | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const show = (calls: Record<string, number>) =>
    setValues(Object.fromEntries(LIMITS.map((name) => [name, String(calls[name] ?? '')])));
  const load = () => http.settings().then(({ calls }) => show(calls), setError);
  useEffect(() => void load(), []);
  const save = async () => {
    setBusy(true);
    try {
      const wanted = Object.fromEntries(LIMITS.map((name) => [name, Number(values?.[name])]));
      show((await http.changeSettings({ calls: wanted })).calls);
      toast(t('common.saved'));
    } catch (problem) {
      toast(explain(problem).text);
    }
    setBusy(false);
  };
  return (
    <section class={shell.card}>
      <h2>{t('call.admin.limits')}</h2>
      <Problem error={error} retry={() => void load()} />
      {values && (
        <form
          class={s.limits}
          onSubmit={(event) => {
            event.preventDefault();
            void save();
          }}
        >
          {LIMITS.map((name) => (
            <Field
              key={name}
              type="number"
              label={t(`call.admin.${name}`)}
              value={values[name] ?? ''}
              onInput={(value) => setValues({ ...values, [name]: value })}
              required
            />
          ))}
          <Button type="submit" look="primary" busy={busy}>
            {t('call.admin.save')}
          </Button>
        </form>
      )}
    </section>
  );
}
