/** Before a call of a group: whom to ring; before entering a running one: how one looks and sounds. */
import { useEffect, useState } from 'preact/hooks';
import type { Roster } from '../../core/calling.ts';
import type { Room } from '../../core/types.ts';
import { t } from '../../i18n/index.ts';
import { here } from '../../session.ts';
import { Avatar } from '../../ui/Avatar/Avatar.tsx';
import { Button } from '../../ui/Button/Button.tsx';
import { Actions, Dialog } from '../../ui/Dialog/Dialog.tsx';
import { Switch } from '../../ui/Field/Field.tsx';
import { Icon } from '../../ui/Icon/Icon.tsx';
import { Problem, Skeleton } from '../../ui/Parts/Parts.tsx';
import picker from '../contacts/Picker.module.css';
import shell from '../shell/Shell.module.css';
import { DeviceTest } from './DeviceTest.tsx';
import { ask, enter, TARGETS_MAX } from './model.ts';
import { unfinished } from './unfinished.ts';

const close = () => {
  ask.value = null;
};

export function RingWhom({ room }: { room: Room }) {
  const { state } = here();
  const [people, setPeople] = useState<readonly { user: string; name: string }[] | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const load = () => {
    here()
      .learnMembers(room.room)
      .then(({ members }) => {
        const others = members.filter(({ user }) => user !== state.me);
        setPeople(others);
        if (others.length <= 3) setChosen(new Set(others.map(({ user }) => user)));
      }, setError);
  };
  useEffect(load, []);
  const toggle = (user: string) => {
    const next = new Set(chosen);
    if (!next.delete(user)) next.add(user);
    setChosen(next);
  };
  const start = (media: 'audio' | 'video') =>
    void enter(
      { how: 'start', room: room.room, media, targets: [...chosen] },
      { mic: true, camera: media === 'video' },
    );
  const many = chosen.size > TARGETS_MAX;
  return (
    <Dialog title={t('call.whom_title', { room: room.name })} onClose={close}>
      <p class={shell.muted}>{t('call.whom_text')}</p>
      <Problem error={error} retry={load} />
      {!people && !error && <Skeleton rows={3} />}
      <div class={picker.list} role="group" aria-label={t('call.whom')} tabIndex={0}>
        <div class={picker.people}>
          {people?.map(({ user, name }) => (
            <button
              key={user}
              type="button"
              class={picker.person}
              role="checkbox"
              aria-checked={chosen.has(user)}
              aria-label={name}
              onClick={() => toggle(user)}
            >
              <Avatar id={user} name={name} size={40} presence={state.presence.value.get(user)} />
              <span>
                <b>{name}</b>
              </span>
              <span class={picker.check} aria-hidden="true">
                <Icon name="check" size={16} />
              </span>
            </button>
          ))}
        </div>
      </div>
      {many && <p role="alert">{t('call.too_many', { n: TARGETS_MAX })}</p>}
      <Actions>
        <Button icon="phone" disabled={many || !people} onClick={() => start('audio')}>
          {t('calls.audio')}
        </Button>
        <Button look="primary" icon="video" disabled={many || !people} onClick={() => start('video')}>
          {t('calls.video')}
        </Button>
      </Actions>
    </Dialog>
  );
}

export function Joining({ roster }: { roster: Roster }) {
  const { state, calls } = here();
  const [mic, setMic] = useState(true);
  const [camera, setCamera] = useState(roster.media === 'video');
  const room = state.rooms.value.get(roster.room);
  const there = calls.rosters.value.get(roster.room)?.call === roster.call;
  const names = roster.participants.map(({ user }) => state.nameOf(user));
  const old = unfinished();
  const join = () =>
    void enter(
      {
        how: 'join',
        room: roster.room,
        media: roster.media,
        call: roster.call,
        seat: old?.call === roster.call ? old.seat : '',
      },
      { mic, camera },
    );
  return (
    <Dialog title={t('call.join_title', { room: room?.name || names.join(', ') })} onClose={close}>
      <p class={shell.muted}>{there ? t('call.join_text', { names: names.join(', ') }) : t('call.over.ended')}</p>
      <DeviceTest brief withCamera={camera} {...(camera ? {} : { camera: null })} />
      <Switch label={t('call.with_mic')} on={mic} onChange={setMic} />
      <Switch label={t('call.with_camera')} on={camera} onChange={setCamera} />
      <Actions>
        <Button onClick={close}>{t('common.cancel')}</Button>
        <Button look="primary" icon="phone" disabled={!there} onClick={join}>
          {t('calls.join')}
        </Button>
      </Actions>
    </Dialog>
  );
}
