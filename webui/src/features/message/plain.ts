/** Plain text as parts: words, links and mentions. Whether Markdown is needed at all is decided here, cheaply. */
import { shownText } from '../../core/fold.ts';
import type { Entry } from '../../core/types.ts';

export interface Part {
  text: string;
  href?: string;
  user?: string;
}

/** The words of a message on one line, without the signs of Markdown. */
export const wordsOf = (entry: Entry): string => plainWords(shownText(entry));

export function plainWords(text: string): string {
  const plain = looksLikeMarkdown(text)
    ? text.replace(/^ {0,3}(?:>|#{1,6} |[-+*] )/gmu, '').replace(/(\*\*|__|~~|[*`])(?=\S)(.+?)\1/gu, '$2')
    : text;
  return plain.replace(/\s+/g, ' ').trim();
}

interface Mention {
  user: string;
  start: number;
  len: number;
}

const LINK = /\bhttps?:\/\/[^\s<>"'）】」，。；！？]+[^\s<>"'.,;:!?)\]}）】」，。；！？]/giu;
const MARKDOWN = /[*_~`]|^ {0,3}(?:>|#{1,6} |[-+*] |\d+[.)] )|\[[^\]]+\]\(/mu;

export const looksLikeMarkdown = (text: string): boolean => MARKDOWN.test(text);

/** Only web and mail addresses become links; everything else stays words. */
export function safeHref(url: string): string | null {
  try {
    const parsed = new URL(url);
    return ['http:', 'https:', 'mailto:'].includes(parsed.protocol) ? parsed.href : null;
  } catch {
    return null;
  }
}

export function partsOf(text: string, mentions: readonly Mention[] = []): Part[] {
  if (!mentions.length) return linksOf(text);
  const chars = [...text]; // positions of mentions count characters, not UTF-16 units
  const parts: Part[] = [];
  let at = 0;
  for (const { user, start, len } of [...mentions].sort((a, b) => a.start - b.start)) {
    if (start < at || start + len > chars.length) continue;
    parts.push(...linksOf(chars.slice(at, start).join('')), { text: chars.slice(start, start + len).join(''), user });
    at = start + len;
  }
  return [...parts, ...linksOf(chars.slice(at).join(''))];
}

function linksOf(text: string): Part[] {
  const parts: Part[] = [];
  let at = 0;
  for (const found of text.matchAll(LINK)) {
    const href = safeHref(found[0]);
    if (!href) continue;
    if (found.index > at) parts.push({ text: text.slice(at, found.index) });
    parts.push({ text: found[0], href });
    at = found.index + found[0].length;
  }
  if (at < text.length) parts.push({ text: text.slice(at) });
  return parts;
}

/** One to three emoji and nothing else are shown large. */
export const isOnlyEmoji = (text: string): boolean =>
  text.length <= 36 &&
  /^(?:(?:\p{Extended_Pictographic}|\p{Regional_Indicator}{2}|[0-9#*]\ufe0f\u20e3)(?:\p{Emoji_Modifier}|\ufe0f|\u200d\p{Extended_Pictographic})*\s*){1,3}$/u.test(
    text,
  );
