/** The content of an invitation link, /i#<base64url(msgpack)> (node/wire/address.py). Only a token and a claim. */
import { decode } from '@msgpack/msgpack';
import { fromText, toBase32, toText } from './bytes.ts';

export interface Invitation {
  readonly kind: 'account' | 'contact' | 'room';
  readonly node: string;
  readonly subject: string;
  readonly hint: string;
  readonly token: string;
  /** Where the link was opened first, host and port; empty = here. */
  readonly from: string;
}

const KINDS = ['account', 'contact', 'room'] as const;

/** What follows `#`, and the host behind `@` that another node's page added when it handed the link on. */
function split(text: string): [fragment: string, from: string] {
  const [fragment = '', from = ''] = text.replace(/^#/, '').split('@');
  return [fragment, HOST.test(from) ? from : ''];
}

const HOST = /^(?:\[[0-9a-f:.]{2,45}\]|[a-z0-9.-]{1,253})(?::[1-9][0-9]{0,4})?$/;

/** The link as its maker wrote it, for a fragment that was opened at `host`. */
export function linkOf(text: string, host: string): string {
  const [fragment, from] = split(text);
  return `https://${from || host}/i#${fragment}`;
}

/** The same link on the reader's own node, whose address they typed; null when that is no address. */
export function carryTo(typed: string, text: string, host: string): string | null {
  const [fragment, from] = split(text);
  const clean = typed.trim().replace(/^[^@/]*@/, '');
  try {
    const url = new URL(/^https?:\/\//i.test(clean) ? clean : `https://${clean}`);
    if (!url.hostname || url.username || /\s/.test(clean)) return null;
    return `${url.origin}/i#${fragment}@${from || host}`;
  } catch {
    return null;
  }
}

/** Null when the link is damaged. */
export function parseFragment(text: string): Invitation | null {
  try {
    const [fragment, from] = split(text);
    const raw = decode(fromText(fragment));
    if (!Array.isArray(raw)) return null;
    const [version, kind, nid, subject, hint, , token] = raw as unknown[];
    const name = KINDS[kind as number];
    if (version !== 1 || !name || typeof hint !== 'string') return null;
    if (!(nid instanceof Uint8Array) || !(token instanceof Uint8Array) || !(subject instanceof Uint8Array)) return null;
    if (nid.length !== 32 || token.length !== 16) return null;
    const about = name === 'room' ? toText(subject) : new TextDecoder().decode(subject);
    return { kind: name, node: toBase32(nid), subject: about, hint, token: toText(token), from };
  } catch {
    return null;
  }
}
