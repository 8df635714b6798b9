/** The composer: writes offline too, answers, edits, mentions; Enter sends unless an input method is at work. */
import { lazy, Suspense } from 'preact/compat';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { shownText } from '../../core/fold.ts';
import { can } from '../../core/roles.ts';
import type { Room } from '../../core/types.ts';
import { momentOf, t } from '../../i18n/index.ts';
import { enterSends } from '../../look.ts';
import { here } from '../../session.ts';
import { Avatar } from '../../ui/Avatar/Avatar.tsx';
import { IconButton } from '../../ui/Button/Button.tsx';
import { Icon } from '../../ui/Icon/Icon.tsx';
import type { Place } from '../../ui/Menu/Menu.tsx';
import { roomName } from '../chats/model.ts';
import { Domain } from '../contacts/Domain.tsx';
import { learn } from '../message/MessageMenu.tsx';
import { editLast } from '../message/model.ts';
import { stopsWriting, troubleOf } from '../timeline/trouble.ts';
import s from './Composer.module.css';
import { modes, type Named, setMode, submit, TEXT_MAX, wanted } from './model.ts';

const EmojiGrid = lazy(() => import('../../ui/Emoji/EmojiGrid.tsx'));
const COUNT_FROM = 18_000;
const SUGGESTIONS_MAX = 8;

export function Composer({ room }: { room: Room }) {
  const reason = blocked(room);
  return (
    <footer class={s.composer}>
      <div class={s.inner}>
        {reason ? (
          <p class={s.blocked} role="status">
            <Icon name={troubleOf(here().state, room) ? 'lock' : 'mic-off'} size={18} />
            {reason}
          </p>
        ) : (
          <Writer room={room} />
        )}
      </div>
    </footer>
  );
}

/** Why nothing can be written here; empty when it can. */
function blocked(room: Room): string {
  if (room.state === 'left') return t('composer.left');
  const trouble = troubleOf(here().state, room);
  if (stopsWriting(trouble)) return t(`composer.${trouble}`, { name: here().state.nameOf(room.peer) });
  if (can(room, 'post', Date.now())) return '';
  if (room.role === 'muted')
    return room.mutedUntilMs > 0 ? t('refusal.muted_until', { time: momentOf(room.mutedUntilMs) }) : t('refusal.muted');
  return t(room.role === 'visitor' ? 'composer.visitor' : 'composer.muted_all');
}

function Writer({ room }: { room: Room }) {
  const client = here();
  const { state } = client;
  const mode = modes.value.get(room.room);
  const ref = useRef<HTMLTextAreaElement>(null);
  const draft = state.drafts.value.get(room.room) ?? '';
  const [text, setText] = useState(draft);
  const [picked, setPicked] = useState<readonly Named[]>([]);
  const [emoji, setEmoji] = useState<Place | null>(null);
  const [caret, setCaret] = useState(0);
  const composing = useRef(false);
  const name = roomName(state, room);

  useEffect(() => {
    learn(room.room).catch(() => undefined);
    if (matchMedia('(min-width: 720px)').matches) ref.current?.focus();
  }, [room.room]);
  // a text put into the draft from outside: written anew after a recall, or typed in another tab
  useEffect(() => {
    if (mode?.kind !== 'edit' && draft !== text) setText(draft);
  }, [draft]);
  useEffect(() => {
    if (mode?.kind !== 'edit') return;
    const old = shownText(mode.entry);
    setText(old);
    requestAnimationFrame(() => ref.current?.setSelectionRange(old.length, old.length));
  }, [mode]);
  useEffect(() => {
    if (wanted.value > 0) ref.current?.focus();
  }, [wanted.value]);
  useLayoutEffect(() => {
    const box = ref.current;
    if (!box) return;
    box.style.height = 'auto';
    box.style.height = `${box.scrollHeight}px`;
  }, [text]);

  const write = (next: string) => {
    setText(next);
    setCaret(ref.current?.selectionStart ?? next.length);
    if (mode?.kind === 'edit') return;
    client.draft(room.room, next);
    if (next.trim()) client.typing.say(room.room);
  };
  const leave = () => {
    setMode(room.room, null);
    if (mode?.kind === 'edit') setText(draft);
  };
  const send = () => {
    const editing = mode?.kind === 'edit';
    if (!submit(room.room, text, picked)) return;
    setText(editing ? draft : '');
    setPicked([]);
    if (!editing) client.draft(room.room, '');
    ref.current?.focus();
  };
  const insert = (piece: string) => {
    const at = ref.current?.selectionStart ?? text.length;
    write(text.slice(0, at) + piece + text.slice(ref.current?.selectionEnd ?? at));
    requestAnimationFrame(() => {
      ref.current?.focus();
      ref.current?.setSelectionRange(at + piece.length, at + piece.length);
    });
  };
  const mention = useMention(room, text, caret, (person, start) => {
    const at = ref.current?.selectionStart ?? text.length;
    setPicked([...picked.filter((other) => other.user !== person.user), person]);
    write(`${text.slice(0, start)}@${person.name} ${text.slice(at)}`);
    const end = start + person.name.length + 2;
    requestAnimationFrame(() => ref.current?.setSelectionRange(end, end));
  });
  const press = (event: KeyboardEvent) => {
    if (event.isComposing || composing.current || event.keyCode === 229) return; // the key belongs to the input method
    if (mention.press(event)) return;
    const sends = enterSends.value ? !event.shiftKey : event.ctrlKey || event.metaKey;
    if (event.key === 'Enter' && sends && !event.altKey) {
      event.preventDefault();
      send();
    } else if (event.key === 'ArrowUp' && !event.altKey && !text && !mode && editLast(room)) event.preventDefault();
    else if (event.key === 'Escape' && mode) {
      event.preventDefault();
      event.stopPropagation();
      leave();
    }
  };
  const length = text.length > COUNT_FROM ? [...text].length : 0;
  return (
    <>
      {mode && (
        <ModeBar
          kind={mode.kind}
          name={mode.entry.author === state.me ? t('chats.you') : state.nameOf(mode.entry.author)}
          text={shownText(mode.entry)}
          onLeave={leave}
        />
      )}
      {mention.list}
      <div class={s.row}>
        <IconButton
          icon="smile"
          size={22}
          label={t('composer.emoji')}
          aria-expanded={emoji !== null}
          onClick={(event: MouseEvent) => setEmoji(spot(event))}
        />
        <textarea
          ref={ref}
          class={s.input}
          rows={1}
          value={text}
          aria-label={t('composer.label', { name })}
          placeholder={t('composer.placeholder')}
          enterkeyhint={enterSends.value ? 'send' : 'enter'}
          aria-haspopup="listbox"
          aria-controls={mention.list ? 'mention-list' : undefined}
          aria-activedescendant={mention.active}
          aria-autocomplete="list"
          onInput={(event) => write(event.currentTarget.value)}
          onSelect={(event) => setCaret(event.currentTarget.selectionStart)}
          onKeyDown={press}
          onCompositionStart={() => {
            composing.current = true;
          }}
          onCompositionEnd={() => {
            composing.current = false;
          }}
        />
        {length > 0 && (
          <span class={length > TEXT_MAX ? `${s.count} ${s.over}` : s.count} role="status">
            {TEXT_MAX - length}
          </span>
        )}
        <IconButton
          class={s.send ?? ''}
          icon={mode?.kind === 'edit' ? 'check' : 'send-horizontal'}
          label={t(mode?.kind === 'edit' ? 'composer.save' : 'composer.send')}
          disabled={!text.trim() || length > TEXT_MAX}
          onClick={send}
        />
      </div>
      {emoji && (
        <Suspense fallback={null}>
          <EmojiGrid
            label={t('composer.emoji')}
            at={emoji}
            onClose={() => setEmoji(null)}
            onPick={(value) => {
              setEmoji(null);
              insert(value);
            }}
          />
        </Suspense>
      )}
    </>
  );
}

const spot = (event: MouseEvent): Place => {
  const box = (event.currentTarget as Element).getBoundingClientRect();
  return { x: box.left - 4, y: box.bottom };
};

function ModeBar({
  kind,
  name,
  text,
  onLeave,
}: {
  kind: 'reply' | 'edit';
  name: string;
  text: string;
  onLeave: () => void;
}) {
  return (
    <div class={s.mode}>
      <Icon name={kind === 'edit' ? 'pencil' : 'reply'} size={18} />
      <div>
        <b>{kind === 'edit' ? t('composer.editing') : t('composer.replying', { name })}</b>
        <span>{text}</span>
      </div>
      <IconButton
        icon="x"
        size={18}
        label={t(kind === 'edit' ? 'composer.cancel_edit' : 'composer.cancel_reply')}
        onClick={onLeave}
      />
    </div>
  );
}

/** The list that opens after @ in a group. */
function useMention(room: Room, text: string, caret: number, choose: (person: Named, start: number) => void) {
  const { state } = here();
  const [at, setAt] = useState(0);
  const [closed, setClosed] = useState('');
  const found = room.kind === 'group' ? /(?:^|\s)@([^\s@]{0,24})$/u.exec(text.slice(0, caret)) : null;
  const word = found?.[1] ?? '';
  const start = found ? caret - word.length - 1 : -1;
  const people: Named[] = found && closed !== `${start}` ? candidates(room, word) : [];
  const index = Math.min(at, people.length - 1);
  const press = (event: KeyboardEvent): boolean => {
    if (!people.length) return false;
    const person = people[index];
    if (event.key === 'ArrowDown') setAt((index + 1) % people.length);
    else if (event.key === 'ArrowUp') setAt((index - 1 + people.length) % people.length);
    else if ((event.key === 'Enter' || event.key === 'Tab') && person) choose(person, start);
    else if (event.key === 'Escape') setClosed(`${start}`);
    else return false;
    event.preventDefault();
    event.stopPropagation();
    return true;
  };
  const list =
    people.length > 0 ? (
      <ul id="mention-list" class={s.suggest} role="listbox" aria-label={t('composer.mention')}>
        {people.map((person, i) => (
          <li
            key={person.user}
            id={`mention-${i}`}
            role="option"
            aria-selected={i === index}
            onMouseDown={(event) => event.preventDefault()}
            onClick={() => choose(person, start)}
          >
            <Avatar id={person.user} name={person.name} size={30} group={person.user === 'all'} />
            <span>{person.name}</span>
            <Domain user={person.user} />
            {person.user === 'all' && <small>{t('composer.everyone')}</small>}
          </li>
        ))}
      </ul>
    ) : null;
  return { press, list, active: list ? `mention-${index}` : undefined, state };
}

function candidates(room: Room, word: string): Named[] {
  const { state } = here();
  const users = [...state.timeline(room.room).receipts.value.keys()].filter((user) => user !== state.me);
  const people = users.map((user) => ({ user, name: state.nameOf(user) }));
  const everyone = can(room, 'mention_all', Date.now()) ? [{ user: 'all', name: 'all' }] : [];
  const low = word.toLowerCase();
  return [...everyone, ...people]
    .filter(({ user, name }) => name.toLowerCase().includes(low) || user.startsWith(low))
    .slice(0, SUGGESTIONS_MAX);
}
