/** The Markdown subset as vnodes: the lexer's tokens become elements one by one, HTML stays text, images become links. */
import { lexer, type Token, type Tokens } from 'marked';
import type { ComponentChildren, VNode } from 'preact';
import { safeHref } from './plain.ts';

const OPTIONS = { gfm: true, breaks: true };
const DEPTH_MAX = 12;
const TOO_DEEP = /(?:>[ \t]*){40}|(?:[-+*][ \t]+){40}|\[{40}|(?:!\[){20}/;

export default function Markdown({ text }: { text: string }) {
  return <>{blocks(tokensOf(text), 0)}</>;
}

/** Nesting is counted before the lexer, which recurses: a text that is too deep is shown as it was written. */
function tokensOf(text: string): readonly Token[] {
  if (TOO_DEEP.test(text)) return [{ type: 'plain', raw: text }];
  try {
    return lexer(text, OPTIONS);
  } catch {
    return [{ type: 'plain', raw: text }];
  }
}

function blocks(tokens: readonly Token[], depth: number): ComponentChildren {
  if (depth > DEPTH_MAX) return tokens.map((token) => token.raw).join('');
  return tokens.map((token, i) => block(token, i, depth + 1));
}

function block(token: Token, key: number, depth: number): ComponentChildren {
  switch (token.type) {
    case 'space':
      return null;
    case 'paragraph':
      return <p key={key}>{inline(token.tokens ?? [], depth)}</p>;
    case 'heading':
      return (
        <p key={key}>
          <strong>{inline(token.tokens ?? [], depth)}</strong>
        </p>
      );
    case 'blockquote':
      return <blockquote key={key}>{blocks(token.tokens ?? [], depth)}</blockquote>;
    case 'code':
      return (
        <pre key={key}>
          <code>{(token as Tokens.Code).text}</code>
        </pre>
      );
    case 'hr':
      return <hr key={key} />;
    case 'list':
      return list(token as Tokens.List, key, depth);
    case 'text':
      return <p key={key}>{token.tokens ? inline(token.tokens, depth) : letters((token as Tokens.Text).text)}</p>;
    default:
      return <p key={key}>{token.raw}</p>; // tables, HTML and whatever else: as written
  }
}

function list(token: Tokens.List, key: number, depth: number): VNode {
  const items = token.items.map((item, i) => (
    <li key={i}>
      {item.tokens.map((inner, j) =>
        inner.type === 'text' ? inline(inner.tokens ?? [inner], depth) : block(inner, j, depth + 1),
      )}
    </li>
  ));
  return token.ordered ? (
    <ol key={key} start={Number(token.start) || 1}>
      {items}
    </ol>
  ) : (
    <ul key={key}>{items}</ul>
  );
}

function inline(tokens: readonly Token[], depth: number): ComponentChildren {
  if (depth > DEPTH_MAX) return tokens.map((token) => token.raw).join('');
  return tokens.map((token, i) => span(token, i, depth + 1));
}

function span(token: Token, key: number, depth: number): ComponentChildren {
  const inner = () => inline(('tokens' in token && token.tokens) || [], depth);
  switch (token.type) {
    case 'strong':
      return <strong key={key}>{inner()}</strong>;
    case 'em':
      return <em key={key}>{inner()}</em>;
    case 'del':
      return <del key={key}>{inner()}</del>;
    case 'codespan':
      return <code key={key}>{(token as Tokens.Codespan).text}</code>;
    case 'br':
      return <br key={key} />;
    case 'link':
      return link((token as Tokens.Link).href, inner(), key);
    case 'image':
      return link((token as Tokens.Image).href, (token as Tokens.Image).text || (token as Tokens.Image).href, key);
    case 'text':
    case 'escape':
      return 'tokens' in token && token.tokens ? inner() : letters((token as Tokens.Text).text);
    default:
      return token.raw;
  }
}

function link(href: string, children: ComponentChildren, key: number): ComponentChildren {
  const safe = safeHref(href);
  return safe ? (
    <a key={key} href={safe} target="_blank" rel="noopener noreferrer">
      {children}
    </a>
  ) : (
    children
  );
}

const NAMED: Readonly<Record<string, string>> = { '&amp;': '&', '&lt;': '<', '&gt;': '>', '&quot;': '"', '&#39;': "'" };

/** The lexer escapes for HTML in places; vnodes need the letters themselves. */
const letters = (text: string): string => text.replace(/&(?:amp|lt|gt|quot|#39);/g, (found) => NAMED[found] ?? found);
