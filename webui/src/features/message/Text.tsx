/** The words of a message: plain ones at once, Markdown when its renderer has been fetched. */
import { lazy, memo, Suspense } from 'preact/compat';
import type { Entry } from '../../core/types.ts';
import s from './Message.module.css';
import { looksLikeMarkdown, partsOf } from './plain.ts';

const Markdown = lazy(() => import('./Markdown.tsx'));

interface Shown {
  text?: unknown;
  format?: unknown;
  mentions?: unknown;
}

export const MessageText = memo(function MessageText({
  text,
  body,
  me,
}: {
  text: string;
  body: Entry['body'];
  me: string;
}) {
  const { format, mentions } = (body ?? {}) as Shown;
  const marks = Array.isArray(mentions) ? mentions : [];
  if (format === 'md' && !marks.length && looksLikeMarkdown(text)) {
    return (
      <div class={s.rich}>
        <Suspense fallback={<Plain text={text} mentions={[]} me={me} />}>
          <Markdown text={text} />
        </Suspense>
      </div>
    );
  }
  return <Plain text={text} mentions={marks} me={me} />;
});

function Plain({
  text,
  mentions,
  me,
}: {
  text: string;
  mentions: { user: string; start: number; len: number }[];
  me: string;
}) {
  return (
    <>
      {partsOf(text, mentions).map((part, i) => {
        if (part.href) {
          return (
            <a key={i} href={part.href} target="_blank" rel="noopener noreferrer">
              {part.text}
            </a>
          );
        }
        if (part.user)
          return (
            <span key={i} class={part.user === me || part.user === 'all' ? s.mentionMe : s.mention}>
              {part.text}
            </span>
          );
        return part.text;
      })}
    </>
  );
}
