/** The states every screen shares: nothing here yet, loading, something went wrong; and a link to copy or scan. */
import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { t } from '../../i18n/index.ts';
import { explain } from '../../i18n/refusal.ts';
import { Button } from '../Button/Button.tsx';
import { Icon } from '../Icon/Icon.tsx';
import { toast } from '../Toast/Toast.tsx';
import s from './Parts.module.css';

export function Empty({
  icon,
  title,
  text,
  children,
}: {
  icon: string;
  title: string;
  text?: string;
  children?: ComponentChildren;
}) {
  return (
    <div class={s.empty}>
      <span class={s.disc}>
        <Icon name={icon} size={32} />
      </span>
      <p class={s.title}>{title}</p>
      {text && <p>{text}</p>}
      {children}
    </div>
  );
}

export function Skeleton({ rows = 6 }: { rows?: number }) {
  return (
    <div role="status" aria-label={t('common.loading')}>
      {Array.from({ length: rows }, (_, i) => (
        <div key={i} class={s.skeleton} aria-hidden="true">
          <i />
          <div>
            <b />
            <b />
          </div>
        </div>
      ))}
    </div>
  );
}

/** What happened, what to do, and the id the admin can look up. */
export function Problem({ error, retry }: { error: unknown; retry?: (() => void) | undefined }) {
  if (!error) return null;
  const { text, id } = explain(error);
  return (
    <div class={s.problem} role="alert">
      <Icon name="circle-alert" size={18} />
      <div>
        <span>{text}</span>
        {id && <small>{id}</small>}
        {retry && (
          <Button small look="ghost" onClick={retry}>
            {t('common.retry')}
          </Button>
        )}
      </div>
    </div>
  );
}

export async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    toast(t('common.copied'));
  } catch {
    toast(t('common.copy_failed'));
  }
}

export function CopyLine({ label, text }: { label: string; text: string }) {
  return (
    <div class={s.copy}>
      <input readOnly aria-label={label} value={text} onFocus={(event) => event.currentTarget.select()} />
      <Button icon="copy" onClick={() => void copy(text)}>
        {t('common.copy')}
      </Button>
    </div>
  );
}

/** A QR code; the encoder is fetched when the first one is shown. */
export function Qr({ text, label, size = 208 }: { text: string; label: string; size?: number }) {
  const [cells, setCells] = useState<boolean[][] | null>(null);
  useEffect(() => {
    let here = true;
    void import('qr').then(({ encodeQR }) => here && setCells(encodeQR(text, 'raw', { ecc: 'medium', border: 1 })));
    return () => {
      here = false;
    };
  }, [text]);
  const n = cells?.length ?? 1;
  const path = cells?.flatMap((row, y) => row.flatMap((on, x) => (on ? [`M${x} ${y}h1v1h-1z`] : []))).join('') ?? '';
  return (
    <div class={s.qr}>
      <svg
        role="img"
        aria-label={label}
        width={size}
        height={size}
        viewBox={`0 0 ${n} ${n}`}
        shape-rendering="crispEdges"
      >
        <path d={path} fill="currentColor" />
      </svg>
    </div>
  );
}
