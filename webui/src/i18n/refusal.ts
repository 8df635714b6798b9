/** Refusals in the reader's language: codes of node/base/errors.py, with the details that say what to do. */
import { Refusal } from '../core/types.ts';
import en from './en.json';
import { type Key, lang, momentOf, t } from './index.ts';

// codes that stand for many situations: in English the node's own sentence is more exact
const BROAD = new Set([
  'bad_request',
  'conflict',
  'forbidden',
  'limit_reached',
  'role_too_low',
  'not_found',
  'already_done',
  'gone',
]);

/** The sentence and, for faults of the node, an id to quote. */
export function explain(error: unknown): { text: string; id: string } {
  if (!(error instanceof Refusal)) return { text: t('refusal.internal'), id: '' };
  const { code, detail, message, id } = error;
  if (code === 'rate_limited' && typeof detail.retry_after_s === 'number') {
    return { text: t('refusal.rate_limited_wait', { n: Math.max(1, Math.ceil(detail.retry_after_s)) }), id: '' };
  }
  if (code === 'muted' && typeof detail.until_ms === 'number' && detail.until_ms > 0) {
    return { text: t('refusal.muted_until', { time: momentOf(detail.until_ms) }), id: '' };
  }
  const key = `refusal.${code}`;
  const exact = lang.value === 'en' && BROAD.has(code);
  const text = key in en && !exact ? t(key as Key) : message;
  return { text, id: code === 'internal' ? id : '' };
}
