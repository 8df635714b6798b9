/** What the composer is doing in each chat: writing, answering or editing; and what a text becomes when it is sent. */
import { signal } from '@preact/signals';
import { shownText } from '../../core/fold.ts';
import type { Body, Entry } from '../../core/types.ts';
import { here } from '../../session.ts';
import { looksLikeMarkdown, wordsOf } from '../message/plain.ts';

export const TEXT_MAX = 20_000;
const QUOTE_CHARS = 200;

export interface Mode {
  kind: 'reply' | 'edit';
  entry: Entry;
}

export const modes = signal<ReadonlyMap<string, Mode>>(new Map());
export const wanted = signal(0); // grows when the composer should take the focus

export function setMode(room: string, mode: Mode | null): void {
  const next = new Map(modes.value);
  if (mode) next.set(room, mode);
  else next.delete(room);
  modes.value = next;
}

export function startReply(entry: Entry): void {
  setMode(entry.room, { kind: 'reply', entry });
  wanted.value += 1;
}

export function startEdit(entry: Entry): void {
  setMode(entry.room, { kind: 'edit', entry });
  wanted.value += 1;
}

/** Puts a recalled text back into the composer. */
export function rewrite(room: string, text: string): void {
  here().draft(room, text);
  wanted.value += 1;
}

export interface Named {
  user: string;
  name: string;
}

/** Ranges of the picked names that are still in the text; positions count characters. */
export function mentionsIn(text: string, picked: readonly Named[]): { user: string; start: number; len: number }[] {
  const found: { user: string; start: number; len: number }[] = [];
  for (const { user, name } of picked) {
    const at = text.indexOf(`@${name}`);
    if (at < 0 || found.some((other) => other.user === user)) continue;
    found.push({ user, start: [...text.slice(0, at)].length, len: [...name].length + 1 });
  }
  return found.sort((a, b) => a.start - b.start);
}

export function bodyOf(text: string, picked: readonly Named[], mode: Mode | undefined): Body {
  const mentions = mentionsIn(text, picked);
  const common: Body = {
    text,
    format: looksLikeMarkdown(text) ? 'md' : 'plain',
    ...(mentions.length ? { mentions } : {}),
  };
  if (mode?.kind === 'edit') return { ...common, target: mode.entry.id };
  if (mode?.kind !== 'reply') return common;
  const quote = [...wordsOf(mode.entry)].slice(0, QUOTE_CHARS).join('');
  return { ...common, reply_to: { event: mode.entry.id, author: mode.entry.author, quote } };
}

/** Sends what stands in the composer; true when it may be cleared. */
export function submit(room: string, text: string, picked: readonly Named[]): boolean {
  const clean = text.trim();
  if (!clean || [...clean].length > TEXT_MAX) return false;
  const mode = modes.value.get(room);
  if (mode?.kind === 'edit' && clean === shownText(mode.entry)) {
    setMode(room, null);
    return true;
  }
  const body = bodyOf(clean, picked, mode);
  void here().send(room, mode?.kind === 'edit' ? 'edit' : 'text', body);
  setMode(room, null);
  return true;
}
