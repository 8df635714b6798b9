/** What can be done with one message; who has read it; erasing somebody's message. */
import { useEffect, useState } from 'preact/hooks';
import type * as http from '../../core/api.ts';
import { shownText } from '../../core/fold.ts';
import type { Entry, Room } from '../../core/types.ts';
import { momentOf, t } from '../../i18n/index.ts';
import { here } from '../../session.ts';
import { Avatar } from '../../ui/Avatar/Avatar.tsx';
import { Button } from '../../ui/Button/Button.tsx';
import { Actions, Dialog } from '../../ui/Dialog/Dialog.tsx';
import { Field } from '../../ui/Field/Field.tsx';
import { Icon } from '../../ui/Icon/Icon.tsx';
import { Menu, MenuBar, type MenuItem, type Place } from '../../ui/Menu/Menu.tsx';
import { copy, Problem } from '../../ui/Parts/Parts.tsx';
import { startEdit, startReply } from '../composer/model.ts';
import { Domain } from '../contacts/Domain.tsx';
import shell from '../shell/Shell.module.css';
import { type Allowed, hasIt, isStable, QUICK, reachOf, react, recall, redact } from './model.ts';

interface MessageMenuProps {
  entry: Entry;
  room: Room;
  may: Allowed;
  at: Place;
  onClose: () => void;
  onRedact: () => void;
  onReaders: () => void;
  onEmoji: (at: Place) => void;
}

export function MessageMenu({ entry, room, may, at, onClose, onRedact, onReaders, onEmoji }: MessageMenuProps) {
  const mine = entry.author === here().state.me;
  const items: (MenuItem | false)[] = [
    may.reply && { label: t('message.reply'), icon: 'reply', run: () => startReply(entry) },
    { label: t('message.copy'), icon: 'copy', run: () => void copy(shownText(entry)) },
    may.edit && { label: t('message.edit'), icon: 'pencil', run: () => startEdit(entry) },
    room.nodes.length > 0
      ? { label: t('message.details'), icon: 'info', run: onReaders }
      : mine && room.kind === 'group' && { label: t('message.readers'), icon: 'check-check', run: onReaders },
    may.recall && { label: t('message.recall'), icon: 'undo-2', run: () => void recall(entry) },
    may.redact && !(mine && may.recall) && { label: t('message.redact'), icon: 'trash-2', danger: true, run: onRedact },
  ];
  const bar = may.react && (
    <MenuBar label={t('message.react')}>
      {QUICK.map((value) => (
        <button
          key={value}
          type="button"
          role="menuitem"
          aria-label={t('message.react_with', { emoji: value })}
          onClick={() => {
            onClose();
            void react(entry, value);
          }}
        >
          {value}
        </button>
      ))}
      <button
        type="button"
        role="menuitem"
        aria-label={t('message.more_emoji')}
        onClick={() => {
          onClose();
          onEmoji(at);
        }}
      >
        <Icon name="plus" size={18} />
      </button>
    </MenuBar>
  );
  return (
    <Menu
      label={t('message.more')}
      at={at}
      onClose={onClose}
      items={items.filter((item) => item !== false)}
      top={bar}
    />
  );
}

export function RedactDialog({ entry, onClose }: { entry: Entry; onClose: () => void }) {
  const [reason, setReason] = useState('');
  const submit = (event: Event) => {
    event.preventDefault();
    onClose();
    void redact(entry, reason.trim());
  };
  return (
    <Dialog title={t('message.redact_title')} onClose={onClose}>
      <form onSubmit={submit} style={{ display: 'contents' }}>
        <p class={shell.muted}>{t('message.redact_text')}</p>
        <Field label={t('message.reason')} value={reason} onInput={setReason} maxLength={200} autoFocus />
        <Actions>
          <Button onClick={onClose}>{t('common.cancel')}</Button>
          <Button type="submit" look="danger">
            {t('message.redact')}
          </Button>
        </Actions>
      </form>
    </Dialog>
  );
}

/** The list of readers, with times; the members' marks are fetched once, then kept current by the feed. */
export function ReadBy({ entry, room, onClose }: { entry: Entry; room: Room; onClose: () => void }) {
  const client = here();
  const { state } = client;
  const [error, setError] = useState<unknown>(null);
  useEffect(() => {
    learn(room.room).catch(setError);
  }, []);
  const reach = reachOf(state.timeline(room.room), entry, state.me, room);
  const far = room.nodes.length > 0;
  return (
    <Dialog title={t(far ? 'message.details' : 'receipt.title')} onClose={onClose}>
      <Problem error={error} />
      {far && <Journey entry={entry} room={room} />}
      <Readers
        title={t('receipt.read_by', { n: reach.readers.length })}
        users={reach.readers.map(({ user, readMs }) => ({ user, note: readMs ? momentOf(readMs) : '' }))}
      />
      {reach.delivered.length > 0 && (
        <Readers
          title={t('receipt.delivered_to', { n: reach.delivered.length })}
          users={reach.delivered.map((user) => ({ user, note: '' }))}
        />
      )}
    </Dialog>
  );
}

/** On which nodes a message is, and whether its place can still change. */
function Journey({ entry, room }: { entry: Entry; room: Room }) {
  const { state } = here();
  const stable = isStable(room, entry, state.home);
  return (
    <section>
      <h3 class={shell.muted}>{t('receipt.nodes_title')}</h3>
      <ul>
        <NodeRow name={t('receipt.this_node')} has linked={true} hub={room.hub === state.home} />
        {room.nodes.map((mark) => (
          <NodeRow
            key={mark.node}
            name={state.nodeName(mark.node)}
            has={hasIt(room, mark, entry)}
            linked={state.isLinked(mark)}
            hub={room.hub === mark.node}
          />
        ))}
      </ul>
      <div class={shell.row}>
        <Icon name={stable ? 'shield-check' : 'hourglass'} />
        <div>
          <b>{t(stable ? 'receipt.stable' : 'receipt.unstable')}</b>
          <small class={shell.wrap}>{t(stable ? 'receipt.stable_text' : 'receipt.unstable_text')}</small>
        </div>
      </div>
    </section>
  );
}

function NodeRow({ name, has, linked, hub }: { name: string; has: boolean; linked: boolean; hub: boolean }) {
  return (
    <li class={shell.row}>
      <Icon name={has ? 'check-check' : 'clock'} />
      <div>
        <b>{name}</b>
        <small>
          {t(has ? 'receipt.has_it' : linked ? 'receipt.on_the_way' : 'receipt.not_linked')}
          {hub && ` · ${t('receipt.hub')}`}
        </small>
      </div>
    </li>
  );
}

function Readers({ title, users }: { title: string; users: { user: string; note: string }[] }) {
  const { state } = here();
  return (
    <section>
      <h3 class={shell.muted}>{title}</h3>
      <ul>
        {users.map(({ user, note }) => (
          <li key={user} class={shell.row}>
            <Avatar id={user} name={state.nameOf(user)} size={36} />
            <div>
              <b>{state.nameOf(user)}</b>
              {(note || state.isRemote(user)) && (
                <small>
                  {note} <Domain user={user} />
                </small>
              )}
            </div>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** Marks of all members of a room, for ticks of messages older than this device. */
export const learn = (room: string): Promise<http.api.Members> => here().learnMembers(room);
