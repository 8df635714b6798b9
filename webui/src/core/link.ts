/** The content of an invitation link, /i#<base64url(msgpack)> (node/wire/address.py). Only a token and a claim. */
import { decode } from '@msgpack/msgpack';
import { fromText, toBase32, toText } from './bytes.ts';

export interface Invitation {
  readonly kind: 'account' | 'contact' | 'room';
  readonly node: string;
  readonly subject: string;
  readonly hint: string;
  readonly token: string;
}

const KINDS = ['account', 'contact', 'room'] as const;

/** Null when the link is damaged. */
export function parseFragment(text: string): Invitation | null {
  try {
    const raw = decode(fromText(text.replace(/^#/, '')));
    if (!Array.isArray(raw)) return null;
    const [version, kind, nid, subject, hint, , token] = raw as unknown[];
    const name = KINDS[kind as number];
    if (version !== 1 || !name || typeof hint !== 'string') return null;
    if (!(nid instanceof Uint8Array) || !(token instanceof Uint8Array) || !(subject instanceof Uint8Array)) return null;
    if (nid.length !== 32 || token.length !== 16) return null;
    const about = name === 'room' ? toText(subject) : new TextDecoder().decode(subject);
    return { kind: name, node: toBase32(nid), subject: about, hint, token: toText(token) };
  } catch {
    return null;
  }
}
