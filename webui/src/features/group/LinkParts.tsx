/** Making, showing and listing invitation links; shared by groups and the admin page. */
import { useState } from 'preact/hooks';
import type * as http from '../../core/api.ts';
import { type Key, momentOf, t } from '../../i18n/index.ts';
import { Button, IconButton } from '../../ui/Button/Button.tsx';
import { type Option, Select } from '../../ui/Field/Field.tsx';
import { CopyLine, Qr } from '../../ui/Parts/Parts.tsx';
import shell from '../shell/Shell.module.css';
import s from './Details.module.css';

const DAY_S = 86_400;
const EXPIRIES = ['3600', String(DAY_S), String(7 * DAY_S), String(30 * DAY_S), '0'] as const;
const USES = ['1', '5', '25', '100', '1000'] as const;

function expiryLabel(seconds: string): string {
  const n = Number(seconds);
  if (n === 0) return t('link.never');
  return n < DAY_S ? t('group.hours', { n: n / 3_600 }) : t('group.days', { n: n / DAY_S });
}

interface LinkMakerProps<R extends string> {
  onMake: (expiresS: number, uses: number, role: R) => Promise<void>;
  roles?: readonly Option<R>[];
}

export function LinkMaker<R extends string>({ onMake, roles }: LinkMakerProps<R>) {
  const [expiry, setExpiry] = useState<(typeof EXPIRIES)[number]>(String(7 * DAY_S) as (typeof EXPIRIES)[number]);
  const [uses, setUses] = useState<(typeof USES)[number]>('1');
  const [role, setRole] = useState<R>((roles?.[0]?.value ?? 'user') as R);
  const [busy, setBusy] = useState(false);
  const make = async () => {
    setBusy(true);
    await onMake(Number(expiry), Number(uses), role);
    setBusy(false);
  };
  return (
    <>
      <div class={s.pair}>
        <Select
          label={t('link.expires')}
          value={expiry}
          onChange={setExpiry}
          options={EXPIRIES.map((value) => ({ value, label: expiryLabel(value) }))}
        />
        <Select
          label={t('link.uses')}
          value={uses}
          onChange={setUses}
          options={USES.map((value) => ({ value, label: t('link.uses_n', { n: Number(value) }) }))}
        />
      </div>
      {roles && <Select label={t('link.role')} value={role} onChange={setRole} options={roles} />}
      <Button look="primary" icon="link" wide busy={busy} onClick={() => void make()}>
        {t('link.make')}
      </Button>
    </>
  );
}

export function Made({ link, onMore }: { link: http.api.Link; onMore: () => void }) {
  return (
    <>
      <Qr text={link.url} label={t('invite.qr')} />
      <CopyLine label={t('invite.link')} text={link.url} />
      <p class={shell.muted}>{t('link.once')}</p>
      <Button wide icon="plus" onClick={onMore}>
        {t('link.another')}
      </Button>
    </>
  );
}

export function LinkList({
  title,
  links,
  onDrop,
}: {
  title: string;
  links: readonly http.api.Link[];
  onDrop: (id: string) => Promise<void>;
}) {
  if (!links.length) return null;
  return (
    <section style={{ display: 'grid', gap: '8px' }} aria-label={title}>
      <h3 class={s.section}>{title}</h3>
      {links.map((link) => (
        <div key={link.id} class={s.link}>
          <div>
            <span>
              {t('link.used', { used: link.uses, max: link.uses_max })}
              {link.role && link.role !== 'user' && ` · ${t(`node_role.${link.role}` as Key)}`}
              <br />
              <small class={shell.muted}>
                {link.expires_ms ? t('link.until', { time: momentOf(link.expires_ms) }) : t('link.never')}
              </small>
            </span>
            <IconButton icon="trash-2" size={18} label={t('link.revoke')} onClick={() => void onDrop(link.id)} />
          </div>
        </div>
      ))}
    </section>
  );
}
