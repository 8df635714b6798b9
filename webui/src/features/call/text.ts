/** What happened, in plain words. */
import type { Invited, Participant, Quality } from '../../core/calling.ts';
import type { State } from '../../core/store/state.ts';
import { Refusal } from '../../core/types.ts';
import { type Key, t } from '../../i18n/index.ts';
import { explain } from '../../i18n/refusal.ts';
import type { Why } from './engine/devices.ts';
import type { Ended, Phase, Session } from './engine/session.ts';

const REASONS: ReadonlySet<string> = new Set([
  'accepted_elsewhere',
  'declined_elsewhere',
  'cancelled',
  'cut_off',
  'missed',
  'declined',
  'busy',
  'unreachable',
  'failed',
  'ended',
  'left',
  'removed',
  'moved',
]);
const REFUSALS: Readonly<Record<string, Key>> = {
  unavailable: 'call.no_relay',
  not_found: 'call.over.ended',
  gone: 'call.over.ended',
  already_done: 'call.over.accepted_elsewhere',
  peer_offline: 'call.focus_away',
  peer_unreachable: 'call.focus_away',
};
const PASSING: ReadonlySet<string> = new Set(['not_found', 'gone', 'peer_offline', 'peer_unreachable']);

const keyOf = ({ code, detail }: Refusal): Key | undefined =>
  code === 'busy' ? (detail.call ? 'call.room_busy' : 'call.self_busy') : REFUSALS[code];

export function endedText({ reason, error }: Ended, name: string): string {
  if (reason !== 'refused') return t(`call.over.${REASONS.has(reason) ? reason : 'ended'}` as Key, { name });
  const key = error instanceof Refusal ? keyOf(error) : undefined;
  return key ? t(key) : explain(error).text;
}

/** Ends that a person should read before the screen goes away. */
export const isNews = ({ reason }: Ended): boolean => reason !== 'left' && reason !== 'ended' && reason !== 'moved';
/** Ends after which one may want to try again. */
export const mayRepeat = ({ reason, error }: Ended): boolean =>
  ['missed', 'busy', 'declined', 'unreachable', 'failed', 'cut_off'].includes(reason) ||
  (reason === 'refused' && error instanceof Refusal && (PASSING.has(error.code) || keyOf(error) === 'call.room_busy'));

export const troubleText = ({ kind, why }: { kind: 'mic' | 'camera' | 'screen'; why: Why }): string =>
  t(why === 'insecure' ? 'call.trouble.insecure' : (`call.trouble.${kind}_${why}` as Key));

const LEVELS = ['bad', 'poor', 'fair', 'good'] as const;
const levelOf = (quality: Quality): 0 | 1 | 2 | 3 =>
  Math.max(0, Math.min(3, Math.round(quality.level))) as 0 | 1 | 2 | 3;

/** Of four bars: how many are lit. */
export const barsOf = (quality: Quality | null): number => (quality ? levelOf(quality) : 3) + 1;
export const qualityText = (quality: Quality | null): string =>
  t(`call.quality.${quality ? LEVELS[levelOf(quality)] : 'unknown'}` as Key);

const LOSSY = 30; // per mille: below that nobody hears it
const SLOW_MS = 300;

/** What is wrong with the connection, and on which side; empty while nothing is. */
export function causeOf(quality: Quality | null): string {
  if (!quality) return '';
  if (quality.audioOnly) return t('call.quality.audio_only');
  if (quality.upLoss >= LOSSY && quality.upLoss >= quality.downLoss) return t('call.quality.up_loss');
  if (quality.downLoss >= LOSSY) return t('call.quality.down_loss');
  if (quality.rttMs >= SLOW_MS) return t('call.quality.slow');
  return '';
}

/** The line below the name of the call. */
export function phaseText(session: Session, invited: readonly Invited[], state: State): string {
  const phase: Phase = session.phase.value;
  if (phase !== 'calling') return t(`call.phase.${phase}` as Key);
  const rings = invited.some((one) => one.state === 'ringing');
  const first = invited[0];
  return invited.length === 1 && first
    ? t(rings ? 'call.phase.ringing_one' : 'call.phase.calling_one', { name: state.nameOf(first.user) })
    : t(rings ? 'call.phase.ringing' : 'call.phase.calling');
}

/** What a tile tells of a person, for those who do not see it. */
export function tileText(who: Participant, name: string, mine: boolean, screen: boolean): string {
  const parts = [
    screen ? (mine ? t('call.your_screen') : t('call.screen_of', { name })) : mine ? t('call.you', { name }) : name,
  ];
  if (!screen && !who.mic) parts.push(t(who.muted ? 'call.state.muted_by' : 'call.state.muted'));
  if (!screen && who.hand) parts.push(t('call.state.hand'));
  if (who.state === 'connecting' || who.state === 'reconnecting') parts.push(t(`call.state.${who.state}`));
  return parts.join(', ');
}
