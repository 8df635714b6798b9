/** One sentence for each room event. Refers to the actor as "you" where the grammar of the language needs it. */
import type { State } from '../../core/store/state.ts';
import type { Entry } from '../../core/types.ts';
import { type Key, momentOf, t } from '../../i18n/index.ts';

const SIMPLE = new Set([
  'create',
  'invite',
  'uninvite',
  'decline',
  'join',
  'leave',
  'kick',
  'ban',
  'unban',
  'role',
  'transfer',
  'mute',
  'unmute',
  'name',
  'topic',
  'settings',
]);

/** Sentences begin with a capital. */
export function noticeOf(state: State, entry: Entry): string {
  const text = sentence(state, entry);
  return text.startsWith(t('notice.you')) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
}

function sentence(state: State, entry: Entry): string {
  const body = entry.body ?? {};
  const text = (key: string): string => (typeof body[key] === 'string' ? (body[key] as string) : '');
  const who = (user: string): string => (user === state.me ? t('notice.you') : state.nameOf(user));
  const values = { actor: who(entry.author), user: who(text('user')), name: text('name'), reason: text('reason') };
  if (entry.kind === 'ban_node' || entry.kind === 'unban_node')
    return t(`notice_node.${entry.kind}`, { ...values, node: state.nodeName(text('node')) });
  if (entry.kind === 'create' && body.replaces) return t('notice.create_successor', values);
  if (entry.kind === 'mute_all') return t(body.on === true ? 'notice.mute_all_on' : 'notice.mute_all_off', values);
  if (entry.kind === 'join' && body.via === 'link') return t('notice.join_link', values);
  if (entry.kind === 'role') return t('notice.role', { ...values, role: t(`role.${text('role') || 'member'}` as Key) });
  if (entry.kind === 'mute' && typeof body.until_ms === 'number' && body.until_ms > 0) {
    return t('notice.mute_until', { ...values, time: momentOf(body.until_ms) });
  }
  if (entry.kind === 'kick' && values.reason) return t('notice.kick_reason', values);
  if (entry.kind === 'ban' && values.reason) return t('notice.ban_reason', values);
  return SIMPLE.has(entry.kind) ? t(`notice.${entry.kind}` as Key, values) : '';
}
