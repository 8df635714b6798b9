/** Reactions below a message, and the grid to pick one from. */
import { lazy, Suspense } from 'preact/compat';
import type { Entry, Pending } from '../../core/types.ts';
import { t } from '../../i18n/index.ts';
import { here } from '../../session.ts';
import type { Place } from '../../ui/Menu/Menu.tsx';
import s from './Message.module.css';
import { react } from './model.ts';

const EmojiGrid = lazy(() => import('../../ui/Emoji/EmojiGrid.tsx'));

interface ReactionsProps {
  entry: Entry;
  marks: readonly Pending[];
  enabled: boolean;
}

export function Reactions({ entry, marks, enabled }: ReactionsProps) {
  const { state } = here();
  const all = Object.entries(entry.mark?.reactions ?? {});
  if (!all.length) return null;
  return (
    <div class={s.reactions}>
      {all.map(([value, users]) => {
        const names = users.map((user) => (user === state.me ? t('chats.you') : state.nameOf(user)));
        return (
          <button
            key={value}
            type="button"
            class={s.reaction}
            data-waiting={marks.some((item) => item.kind === 'reaction' && item.body.value === value) ? 'yes' : 'no'}
            disabled={!enabled}
            aria-pressed={users.includes(state.me)}
            aria-label={t('message.reaction_label', { emoji: value, n: users.length, names: names.join(', ') })}
            title={names.join(', ')}
            onClick={() => void react(entry, value)}
          >
            <span aria-hidden="true">{value}</span>
            <b>{users.length}</b>
          </button>
        );
      })}
    </div>
  );
}

export function ReactionPicker({ entry, at, onClose }: { entry: Entry; at: Place; onClose: () => void }) {
  return (
    <Suspense fallback={null}>
      <EmojiGrid
        label={t('message.react')}
        at={at}
        onClose={onClose}
        onPick={(value) => {
          onClose();
          void react(entry, value);
        }}
      />
    </Suspense>
  );
}
