/** Why a node could not be reached: a sentence in the language of the reader, and what the node wrote of it, for experts. */
import { type Key, t } from '../../i18n/index.ts';
import s from './Peers.module.css';

const CAUSES: ReadonlySet<string> = new Set([
  'revoked',
  'other_node',
  'closed',
  'certificate',
  'not_a_node',
  'refused',
  'timeout',
  'no_route',
  'no_name',
  'not_allowed',
  'no_address',
]);

/** A cause that this page does not know yet is told like any other failure. */
export const causeText = (cause: string): string => t(`cause.${CAUSES.has(cause) ? cause : 'other'}` as Key);

/** What the node wrote, as it wrote it. */
export const Raw = ({ text }: { text: string }) => (
  <small class={s.raw} lang="en">
    {text}
  </small>
);

const SOURCES: ReadonlySet<string> = new Set([
  'last',
  'mdns',
  'link',
  'domain',
  'record',
  'well-known',
  'txt',
  'dht',
  'contacts',
]);

/** Who was asked for addresses. */
export const sourceText = (source: string): string =>
  SOURCES.has(source) ? t(`trace.source.${source}` as Key) : source;
