/** One message with everything about it: author, quote, words, time and ticks, reactions, and what can be done with it. */
import { useRef, useState } from 'preact/hooks';
import { MARKS, shownText } from '../../core/fold.ts';
import type { Entry, Pending, Room } from '../../core/types.ts';
import { Refusal } from '../../core/types.ts';
import { momentOf, t, timeOf } from '../../i18n/index.ts';
import { explain } from '../../i18n/refusal.ts';
import { here } from '../../session.ts';
import { Avatar } from '../../ui/Avatar/Avatar.tsx';
import { IconButton } from '../../ui/Button/Button.tsx';
import { Icon } from '../../ui/Icon/Icon.tsx';
import { below, type Place } from '../../ui/Menu/Menu.tsx';
import { toast } from '../../ui/Toast/Toast.tsx';
import { rewrite, startReply } from '../composer/model.ts';
import { jump, pulse } from '../timeline/jump.ts';
import s from './Message.module.css';
import { MessageMenu, ReadBy, RedactDialog } from './MessageMenu.tsx';
import { allowed, type Progress, progressText, reachOf, recalled } from './model.ts';
import { isOnlyEmoji, wordsOf } from './plain.ts';
import { ReactionPicker, Reactions } from './Reactions.tsx';
import { MessageText } from './Text.tsx';

interface FeedProps {
  first: boolean;
  last: boolean;
  place: number;
  size: number;
  focused: boolean;
  onFocus: () => void;
}

type Layer = { name: 'menu' | 'emoji'; at: Place } | { name: 'redact' | 'readers' } | null;
const LONG_PRESS_MS = 450;

interface MessageProps extends FeedProps {
  entry: Entry;
  marks: readonly Pending[]; // own changes that wait or were refused
}

export function MessageRow({ room, ...message }: { room: Room } & MessageProps) {
  return message.entry.mark?.erased ? <Tombstone {...message} /> : <Alive room={room} {...message} />;
}

function classesOf(mine: boolean, direct: boolean, ...more: (string | false | undefined)[]): string {
  return [s.message, mine && s.mine, direct && s.direct, ...more].filter(Boolean).join(' ');
}

function Alive({ entry, marks, room, first, last, place, size, focused, onFocus }: { room: Room } & MessageProps) {
  const { state } = here();
  const [layer, setLayer] = useState<Layer>(null);
  const [near, setNear] = useState(false); // the tools of a row are made when a mouse comes
  const mine = entry.author === state.me;
  const author = mine ? t('chats.you') : state.nameOf(entry.author);
  const text = shownText(entry) || t('message.unknown');
  const may = allowed(entry, room, state.me, '', Date.now());
  const emoji = isOnlyEmoji(text) && !entry.body?.reply_to;
  const press = usePress((at) => setLayer({ name: 'menu', at }));
  const close = () => setLayer(null);
  const act = (event: KeyboardEvent) => {
    if (event.target !== event.currentTarget || event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase();
    const spot = () =>
      below((event.currentTarget as Element).querySelector('[data-bubble]') ?? (event.currentTarget as Element));
    if (key === 'r' && may.reply) startReply(entry);
    else if (key === 'e' && may.react) setLayer({ name: 'emoji', at: spot() });
    else if (key === 'delete' && may.redact && !mine) setLayer({ name: 'redact' });
    else if (key === 'enter' || key === ' ' || (key === 'f10' && event.shiftKey))
      setLayer({ name: 'menu', at: spot() });
    else return;
    event.preventDefault();
  };
  return (
    <article
      class={classesOf(mine, !mine && room.kind === 'direct', pulse.value === entry.id && s.pulse, emoji && s.emoji)}
      data-first={first ? 'yes' : 'no'}
      data-last={last ? 'yes' : 'no'}
      tabIndex={focused ? 0 : -1}
      aria-posinset={place}
      aria-setsize={size}
      aria-label={t('message.label', { name: author, time: timeOf(entry.atMs) })}
      onFocus={onFocus}
      onKeyDown={act}
      onMouseEnter={() => setNear(true)}
      onMouseLeave={() => setNear(false)}
    >
      {!mine && room.kind === 'group' && (
        <span class={s.face}>{first && <Avatar id={entry.author} name={author} size={38} />}</span>
      )}
      <div class={s.body}>
        <div class={s.line} {...press}>
          <div class={s.bubble} data-bubble>
            {!mine && room.kind === 'group' && first && !emoji && <span class={s.author}>{author}</span>}
            <Quote entry={entry} />
            <div
              class={emoji ? `${s.text} ${s.large}` : s.text}
              style={{ '--meta': emoji ? '0px' : metaWidth(entry, mine, marks) }}
            >
              <MessageText text={text} body={entry.mark?.edited ?? entry.body} me={state.me} />
            </div>
            <Meta entry={entry} marks={marks} room={room} mine={mine} onReaders={() => setLayer({ name: 'readers' })} />
          </div>
          {(near || focused || layer) && (
            <div class={s.tools} data-open={layer ? 'yes' : 'no'}>
              {may.react && (
                <IconButton
                  icon="smile"
                  size={18}
                  tabIndex={focused ? 0 : -1}
                  label={t('message.react')}
                  onClick={(event: MouseEvent) =>
                    setLayer({ name: 'emoji', at: below(event.currentTarget as Element) })
                  }
                />
              )}
              {may.reply && (
                <IconButton
                  icon="reply"
                  size={18}
                  tabIndex={focused ? 0 : -1}
                  label={t('message.reply')}
                  onClick={() => startReply(entry)}
                />
              )}
              <IconButton
                icon="ellipsis-vertical"
                size={18}
                tabIndex={focused ? 0 : -1}
                label={t('message.more')}
                aria-haspopup="menu"
                aria-expanded={layer?.name === 'menu'}
                onClick={(event: MouseEvent) => setLayer({ name: 'menu', at: below(event.currentTarget as Element) })}
              />
            </div>
          )}
        </div>
        <Reactions entry={entry} marks={marks} enabled={may.react} />
        {marks.filter(isRefused).map((item) => (
          <Refused key={item.clientId} item={item} />
        ))}
      </div>
      {layer?.name === 'menu' && (
        <MessageMenu
          entry={entry}
          room={room}
          may={may}
          at={layer.at}
          onClose={close}
          onRedact={() => setLayer({ name: 'redact' })}
          onReaders={() => setLayer({ name: 'readers' })}
          onEmoji={(at) => setLayer({ name: 'emoji', at })}
        />
      )}
      {layer?.name === 'emoji' && <ReactionPicker entry={entry} at={layer.at} onClose={close} />}
      {layer?.name === 'redact' && <RedactDialog entry={entry} onClose={close} />}
      {layer?.name === 'readers' && <ReadBy entry={entry} room={room} onClose={close} />}
    </article>
  );
}

const metaWidth = (entry: Entry, mine: boolean, marks: readonly Pending[]): string =>
  `${12 + timeOf(entry.atMs).length * 6.4 + (mine ? 20 : 0) + (entry.mark?.edits ? 46 : 0) + (marks.some(waits) ? 18 : 0)}px`;

/** Right click, or a long press on a touch screen; letting go then presses nothing in the menu that lies below. */
function usePress(open: (at: Place) => void) {
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const opened = useRef(false);
  const show = (at: Place) => {
    opened.current = true;
    open(at);
  };
  const stop = () => clearTimeout(timer.current);
  return {
    onContextMenu: (event: MouseEvent) => {
      if ((event.target as Element).closest('a') || getSelection()?.toString()) return;
      event.preventDefault();
      stop();
      if (!opened.current) show({ x: event.clientX, y: event.clientY });
    },
    onTouchStart: (event: TouchEvent) => {
      opened.current = false;
      const touch = event.touches[0];
      if (touch) timer.current = setTimeout(() => show({ x: touch.clientX, y: touch.clientY }), LONG_PRESS_MS);
    },
    onPointerDown: (event: PointerEvent) => {
      if (event.pointerType === 'mouse') opened.current = false;
    },
    onTouchMove: stop,
    onTouchCancel: stop,
    onTouchEnd: (event: TouchEvent) => {
      stop();
      if (opened.current && event.cancelable) event.preventDefault();
    },
  };
}

function Quote({ entry }: { entry: Entry }) {
  const { state } = here();
  const reply = entry.body?.reply_to as { event: string; author: string; quote?: string } | null | undefined;
  if (!reply) return null;
  const target = state.timeline(entry.room).entries.value.find((other) => other.id === reply.event);
  const gone = target?.mark?.erased;
  const name = reply.author === state.me ? t('chats.you') : state.nameOf(reply.author);
  return (
    <button
      type="button"
      class={s.quote}
      tabIndex={-1}
      title={t('message.jump', { name })}
      onClick={() => (jump.value = { room: entry.room, id: reply.event })}
    >
      <b>{name}</b>
      <span>{gone ? t('message.removed_short') : target ? wordsOf(target) : reply.quote || t('message.quoted')}</span>
    </button>
  );
}

const isRefused = (item: Pending): boolean => item.state === 'failed';
const waits = (item: Pending): boolean =>
  item.state === 'queued' || item.state === 'sending' || (item.state === 'accepted' && item.waits !== undefined);

/** Where a post is, in words. */
function whereIs(item: Pending): string {
  const { state, status } = here();
  if (item.state === 'failed') return t(item.waits === undefined ? 'receipt.failed' : 'receipt.refused');
  if (item.waits !== undefined) return t('receipt.waiting', { node: state.nodeName(item.waits) });
  if (item.state === 'accepted') return t('receipt.sent');
  return t(status.value === 'online' ? 'receipt.sending' : 'receipt.queued');
}

/** A clock for what has not reached its node, after a moment. */
function Clock({ marks }: { marks: readonly Pending[] }) {
  const offline = here().status.value !== 'online';
  const item = marks.find(waits);
  if (!item) return null;
  return (
    <span class={offline ? undefined : s.late} title={whereIs(item)}>
      <Icon name="clock" size={14} label={whereIs(item)} />
    </span>
  );
}

/** Why a post was refused, and what to do about it. */
function Refused({ item }: { item: Pending }) {
  const client = here();
  const mark = MARKS.has(item.kind);
  const far = item.waits !== undefined;
  const reason = explain(new Refusal(item.code, item.text, item.detail)).text;
  const run = (work: Promise<void>) => void work.catch((error) => toast(explain(error).text));
  return (
    <div class={s.failed} role="alert">
      <span>{t(mark ? 'message.not_changed' : far ? 'message.not_accepted' : 'message.not_sent', { reason })}</span>
      <button type="button" onClick={() => run(client.waiting.sendAgain(item))}>
        {t(far ? 'message.send_again' : 'common.retry')}
      </button>
      <button type="button" onClick={() => run(client.waiting.dismiss(item))}>
        {t(far ? 'message.dismiss' : mark ? 'common.discard' : 'common.delete')}
      </button>
    </div>
  );
}

function Meta({
  entry,
  marks,
  room,
  mine,
  onReaders,
}: {
  entry: Entry;
  marks: readonly Pending[];
  room: Room;
  mine: boolean;
  onReaders: () => void;
}) {
  const { state } = here();
  const edited = (entry.mark?.edits ?? 0) > 0;
  const reach = mine ? reachOf(state.timeline(entry.room), entry, state.me, room) : null;
  return (
    <span class={s.meta}>
      {edited && <span>{t('message.edited')}</span>}
      <time dateTime={new Date(entry.atMs).toISOString()} title={momentOf(entry.atMs)}>
        {timeOf(entry.atMs)}
      </time>
      <Clock marks={marks} />
      {reach &&
        (room.kind === 'group' ? (
          <button
            type="button"
            tabIndex={-1}
            class={tickOf(reach.progress)}
            aria-label={progressText(room, reach)}
            title={progressText(room, reach)}
            onClick={onReaders}
          >
            <Icon name={reach.progress === 'sent' ? 'check' : 'check-check'} size={15} />
          </button>
        ) : (
          <span class={tickOf(reach.progress)} title={progressText(room, reach)}>
            <Icon
              name={reach.progress === 'sent' ? 'check' : 'check-check'}
              size={15}
              label={progressText(room, reach)}
            />
          </span>
        ))}
    </span>
  );
}

const tickOf = (progress: Progress): string =>
  [s.tick, progress === 'read' && s.read, progress === 'node' && s.node].filter(Boolean).join(' ');

function Tombstone({ entry, marks, place, size, focused, onFocus }: MessageProps) {
  const { state } = here();
  const mark = entry.mark;
  const mine = entry.author === state.me;
  const again = recalled.value.get(entry.id);
  const actor = mark?.erasedBy === state.me ? t('chats.you') : state.nameOf(mark?.erasedBy ?? '');
  const text =
    mark?.erased === 'recall'
      ? mine
        ? t('message.you_recalled')
        : t('message.recalled', { name: state.nameOf(entry.author) })
      : t(mark?.reason ? 'message.removed_reason' : 'message.removed', { name: actor, reason: mark?.reason ?? '' });
  return (
    <article
      class={s.centred}
      tabIndex={focused ? 0 : -1}
      aria-posinset={place}
      aria-setsize={size}
      aria-label={text}
      onFocus={onFocus}
    >
      <span class={s.tombstone}>
        <Icon name={mark?.erased === 'recall' ? 'undo-2' : 'trash-2'} size={14} />
        {text}
        <Clock marks={marks} />
        {again && (
          <button type="button" onClick={() => rewrite(entry.room, again.text)}>
            {t('message.reedit')}
          </button>
        )}
      </span>
    </article>
  );
}

interface PendingProps extends FeedProps {
  item: Pending;
  room: Room;
}

/** A message that is still on its way, or was refused. */
export function PendingRow({ item, room, first, last, place, size, focused, onFocus }: PendingProps) {
  const client = here();
  const failed = item.state === 'failed';
  const text = typeof item.body.text === 'string' ? item.body.text : '';
  const offline = client.status.value !== 'online';
  const far = item.waits !== undefined;
  const icon = failed ? 'circle-alert' : item.state === 'accepted' && !far ? 'check' : 'clock';
  const label = whereIs(item);
  const away = far && !failed && client.state.hubIsAway(room);
  return (
    <article
      class={classesOf(true, false, !failed && s.waiting)}
      data-first={first ? 'yes' : 'no'}
      data-last={last ? 'yes' : 'no'}
      tabIndex={focused ? 0 : -1}
      aria-posinset={place}
      aria-setsize={size}
      aria-label={t('message.label', { name: t('chats.you'), time: timeOf(item.atMs) })}
      onFocus={onFocus}
    >
      <div class={s.body}>
        <div class={s.line}>
          <div class={s.bubble} data-bubble>
            <div class={s.text} style={{ '--meta': '78px' }}>
              <MessageText text={text} body={item.body} me={client.state.me} />
            </div>
            <span class={s.meta}>
              <time>{timeOf(item.atMs)}</time>
              <span class={(item.state === 'sending' && !offline) || (far && !away) ? s.late : undefined} title={label}>
                <Icon name={icon} size={14} label={label} />
              </span>
            </span>
          </div>
        </div>
        {failed && <Refused item={item} />}
        {away && last && <small class={s.away}>{label}</small>}
      </div>
    </article>
  );
}

/** An event of the chat, a kick or a new name, that waits for the node that orders the chat. */
export function PendingChange({ item, text }: { item: Pending; text: string }) {
  return (
    <div class={s.centred}>
      <div class={s.change}>
        <span class={s.tombstone}>
          <Icon name={item.state === 'failed' ? 'circle-alert' : 'clock'} size={14} label={whereIs(item)} />
          {text}
        </span>
        {item.state === 'failed' && <Refused item={item} />}
      </div>
    </div>
  );
}
