/** A call on the whole screen: before it is answered, while it runs, and why it is over. */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { rank } from '../../core/roles.ts';
import type { Room } from '../../core/types.ts';
import { t } from '../../i18n/index.ts';
import { go } from '../../routes.ts';
import { here } from '../../session.ts';
import { Avatar } from '../../ui/Avatar/Avatar.tsx';
import { Button, IconButton } from '../../ui/Button/Button.tsx';
import { Confirm, Dialog } from '../../ui/Dialog/Dialog.tsx';
import { Icon } from '../../ui/Icon/Icon.tsx';
import { useLasting } from '../../ui/lasting.ts';
import { above, type Place as Corner, Menu, type MenuItem } from '../../ui/Menu/Menu.tsx';
import { faceOf, roomName } from '../chats/model.ts';
import s from './Call.module.css';
import { Control, Controls } from './Controls.tsx';
import { DeviceTest } from './DeviceTest.tsx';
import type { Session } from './engine/session.ts';
import { Since } from './Head.tsx';
import { placesOf, viewOf } from './layout.ts';
import { callAgain, session as current } from './model.ts';
import { Picture } from './Picture.tsx';
import { Stage } from './Stage.tsx';
import { barsOf, causeOf, endedText, isNews, mayRepeat, phaseText, qualityText, troubleText } from './text.ts';
import { useCallKeys } from './useCallKeys.ts';

export function CallPage({ session }: { session: Session }) {
  const { state } = here();
  const room = state.rooms.value.get(session.room);
  const phase = session.phase.value;
  const others = (session.roster.value?.participants ?? []).some(({ seat }) => seat !== session.seat.value);
  useCallKeys(session);
  if (phase === 'over') return <Ended session={session} room={room} />;
  if (phase === 'asking') return <AskingDevices session={session} room={room} />;
  return others || phase !== 'calling' ? (
    <Running session={session} room={room} />
  ) : (
    <Outgoing session={session} room={room} />
  );
}

const toChat = (room: string) => go(`/c/${room}`);

const ASKS_MS = 600; // a browser that was allowed before opens devices within this time

/** The browser asks for the microphone, or there is none. */
function AskingDevices({ session, room }: { session: Session; room: Room | undefined }) {
  const trouble = session.sources.trouble.value;
  const wantsCamera = session.begin.media === 'video';
  const asks = useLasting(true, ASKS_MS);
  return (
    <Front room={room} text={asks && !trouble ? t('call.phase.asking') : ''}>
      {trouble && (
        <>
          <p class={s.reason} role="alert">
            <Icon name={trouble.kind === 'mic' ? 'mic-off' : 'video-off'} size={18} />
            {troubleText(trouble)}
          </p>
          <div class={s.choices}>
            <Button look="primary" onClick={() => void session.start({ mic: true, camera: wantsCamera })}>
              {t('common.retry')}
            </Button>
            {trouble.why !== 'insecure' && (
              <Button onClick={() => void session.start({ mic: false, camera: false })}>{t('call.without_mic')}</Button>
            )}
          </div>
        </>
      )}
      <Control icon="phone-off" look="leave" wide label={t('common.cancel')} onClick={() => void session.leave()} />
    </Front>
  );
}

/** The others' devices ring. */
function Outgoing({ session, room }: { session: Session; room: Room | undefined }) {
  const { state } = here();
  const invited = session.roster.value?.invited ?? [];
  const preview = session.sources.preview.value;
  const { items, dialog } = useMore(session, room);
  return (
    <Front
      room={room}
      text={phaseText(session, invited, state)}
      back={<Minimise session={session} />}
      behind={preview && <Picture stream={preview} label={t('call.own_picture')} mirrored />}
    >
      {invited.length > 1 && <InvitedList session={session} />}
      <Trouble session={session} />
      <Controls session={session} more={() => items} brief onLeave={() => void session.leave()} />
      {dialog}
    </Front>
  );
}

function InvitedList({ session }: { session: Session }) {
  const { state } = here();
  const invited = session.roster.value?.invited ?? [];
  if (!invited.length) return null;
  return (
    <ul class={s.invited} aria-label={t('call.invited')}>
      {invited.map(({ user, state: how }) => (
        <li key={user}>
          <Avatar id={user} name={state.nameOf(user)} size={28} />
          {state.nameOf(user)}
          <small>{t(`call.invited.${KNOWN.has(how) ? how : 'missed'}` as 'call.invited.missed')}</small>
        </li>
      ))}
    </ul>
  );
}
const KNOWN: ReadonlySet<string> = new Set(['invited', 'ringing', 'declined', 'busy', 'missed', 'unreachable']);

function Running({ session, room }: { session: Session; room: Room | undefined }) {
  const { state } = here();
  const [chosen, setChosen] = useState<'' | 'grid' | 'speaker'>('');
  const [pinned, setPinned] = useState('');
  const [leaving, setLeaving] = useState<Corner | null>(null);
  const { items, dialog } = useMore(session, room);
  const ref = useRef<HTMLElement>(null);
  const roster = session.roster.value;
  const places = placesOf(roster?.participants ?? [], session.seat.value).map((place) =>
    place.mine ? { ...place, who: { ...place.who, ...mineNow(session) } } : place,
  );
  const view = viewOf(pinned ? 'speaker' : chosen, places);
  const moderates = mayModerate(session, room, state.me);
  const phase = session.phase.value;
  const pin = (key: string) => setPinned(key);
  const more = (): MenuItem[] => [
    {
      label: t(view === 'speaker' ? 'call.view_grid' : 'call.view_speaker'),
      icon: view === 'speaker' ? 'layout-grid' : 'gallery-vertical',
      run: () => {
        setPinned('');
        setChosen(view === 'speaker' ? 'grid' : 'speaker');
      },
    },
    ...pictureInPicture(ref.current),
    ...(document.fullscreenEnabled
      ? [
          {
            label: t(document.fullscreenElement ? 'call.window' : 'call.full_screen'),
            icon: 'expand',
            run: () =>
              void (document.fullscreenElement ? document.exitFullscreen() : ref.current?.requestFullscreen())?.catch(
                () => undefined,
              ),
          },
        ]
      : []),
    ...items,
  ];
  return (
    <main ref={ref} class={s.page} data-phase={phase}>
      <header class={s.top}>
        <Minimise session={session} />
        <div class={s.title}>
          <h1>{room ? roomName(state, room) : t('call.call')}</h1>
          <p role="status">
            {phase !== 'live' && phaseText(session, roster?.invited ?? [], state)}
            {phase === 'live' && places.length === 1 && t('call.alone')}
          </p>
        </div>
        {phase === 'live' && session.liveMs.value > 0 && (
          <span class={s.clock}>
            <Since ms={roster?.startedMs || session.liveMs.value} />
          </span>
        )}
        <QualitySign session={session} />
      </header>
      <Stage session={session} places={places} view={view} pinned={pinned} onPin={pin} moderates={moderates} />
      <div class={s.notes}>
        {phase !== 'live' || places.length === 1 ? <InvitedList session={session} /> : <Waiting session={session} />}
        <Trouble session={session} />
      </div>
      <Controls
        session={session}
        more={more}
        onLeave={(event) =>
          moderates && room?.kind === 'group' && places.length > 1
            ? setLeaving(above(event.currentTarget as Element))
            : void session.leave()
        }
      />
      {leaving && (
        <Menu
          label={t('call.leave')}
          at={leaving}
          onClose={() => setLeaving(null)}
          items={[
            { label: t('call.leave'), icon: 'log-out', run: () => void session.leave() },
            { label: t('call.end_for_all'), icon: 'phone-off', danger: true, run: () => void session.leave(true) },
          ]}
        />
      )}
      {dialog}
    </main>
  );
}

/** Own switches are shown at once, not when the node has repeated them. */
const mineNow = (session: Session) => ({
  mic: session.sources.mic.value || session.sources.talking.value,
  camera: session.sources.camera.value,
  hand: session.hand.value,
  state: 'live',
});

/** Who may mute, remove and end: who began the call, and owner and admins of the room. */
export const mayModerate = (session: Session, room: Room | undefined, me: string): boolean =>
  session.roster.value?.by === me || (room?.kind === 'group' && rank(room.role) >= 3);

/** Those who still ring while others talk. */
function Waiting({ session }: { session: Session }) {
  const { state } = here();
  const ringing = (session.roster.value?.invited ?? []).filter(
    (one) => one.state === 'ringing' || one.state === 'invited',
  );
  if (!ringing.length) return null;
  return (
    <p class={s.note}>{t('call.still_ringing', { names: ringing.map(({ user }) => state.nameOf(user)).join(', ') })}</p>
  );
}

/** What is wrong or worth knowing just now, one line each. */
function Trouble({ session }: { session: Session }) {
  const trouble = session.sources.trouble.value;
  const cause = session.phase.value === 'live' ? causeOf(session.quality.value) : '';
  return (
    <>
      {session.silent.value && (
        <Button look="primary" icon="volume-2" onClick={() => session.unsilence()}>
          {t('call.unsilence')}
        </Button>
      )}
      {trouble && (
        <p class={s.reason} role="alert">
          <Icon name="circle-alert" size={18} />
          {troubleText(trouble)}
        </p>
      )}
      {cause && (
        <p class={s.note} role="status">
          <Bars lit={barsOf(session.quality.value)} size={16} />
          {cause}
        </p>
      )}
      {session.sources.screen.value && (
        <p class={s.note} role="status">
          <Icon name="monitor-up" size={16} />
          {t('call.you_share')}
        </p>
      )}
      {session.sources.loud.value && !session.sources.mic.value && (
        <p class={s.note} role="status">
          <Icon name="mic-off" size={16} />
          {t('call.you_are_muted')}
        </p>
      )}
      {session.sources.talking.value && (
        <p class={s.note} role="status">
          <Icon name="mic" size={16} />
          {t('call.talking')}
        </p>
      )}
    </>
  );
}

/** Four bars that grow; those that are not lit stay to be seen. */
const Bars = ({ lit, size }: { lit: number; size: number }) => (
  <svg class={s.bars} width={size} height={size} viewBox="0 0 20 20" aria-hidden="true">
    {[0, 1, 2, 3].map((i) => (
      <rect
        key={i}
        x={1.5 + 4.5 * i}
        y={14 - 4 * i}
        width={3}
        height={4 + 4 * i}
        rx={1}
        data-lit={i < lit ? 'yes' : 'no'}
      />
    ))}
  </svg>
);

function QualitySign({ session }: { session: Session }) {
  const [open, setOpen] = useState(false);
  const quality = session.quality.value;
  const known = (value: number, text: string) => (value < 0 ? '–' : text);
  return (
    <>
      <button
        type="button"
        class={s.quality}
        data-level={quality?.level ?? 3}
        aria-label={t('call.quality', { level: qualityText(quality) })}
        title={t('call.quality', { level: qualityText(quality) })}
        onClick={() => setOpen(true)}
      >
        <Bars lit={barsOf(quality)} size={20} />
        {quality && quality.level < 2 && <span>{qualityText(quality)}</span>}
      </button>
      {open && (
        <Dialog title={t('call.quality', { level: qualityText(quality) })} onClose={() => setOpen(false)}>
          <p>{causeOf(quality) || t(quality ? 'call.quality.fine' : 'call.quality.none_yet')}</p>
          {quality && (
            <dl class={s.numbers}>
              <dt>{t('call.quality.up')}</dt>
              <dd>
                {known(quality.upKbps, t('call.quality.kbps', { n: quality.upKbps }))} ·{' '}
                {known(quality.upLoss, t('call.quality.loss', { n: (quality.upLoss / 10).toFixed(1) }))}
              </dd>
              <dt>{t('call.quality.down')}</dt>
              <dd>
                {known(quality.downKbps, t('call.quality.kbps', { n: quality.downKbps }))} ·{' '}
                {known(quality.downLoss, t('call.quality.loss', { n: (quality.downLoss / 10).toFixed(1) }))}
              </dd>
              <dt>{t('call.quality.rtt')}</dt>
              <dd>{known(quality.rttMs, t('call.quality.ms', { n: quality.rttMs }))}</dd>
            </dl>
          )}
        </Dialog>
      )}
    </>
  );
}

const Minimise = ({ session }: { session: Session }) => (
  <IconButton
    class={s.onDark ?? ''}
    icon="minimize-2"
    label={t('call.minimise')}
    onClick={() => toChat(session.room)}
  />
);

/** Things one needs seldom: devices, ending it for all. */
function useMore(session: Session, room: Room | undefined) {
  const [devices, setDevices] = useState(false);
  const [ending, setEnding] = useState(false);
  const items: MenuItem[] = [
    { label: t('call.devices'), icon: 'headphones', run: () => setDevices(true) },
    ...(mayModerate(session, room, here().state.me) && session.phase.value === 'live' && room?.kind === 'group'
      ? [{ label: t('call.end_for_all'), icon: 'phone-off', danger: true, run: () => setEnding(true) }]
      : []),
  ];
  const dialog = (
    <>
      {devices && (
        <Dialog title={t('call.devices')} onClose={() => setDevices(false)}>
          <DeviceTest
            camera={session.sources.preview.value}
            onChange={(kind) => void session.sources.switchDevice(kind)}
          />
        </Dialog>
      )}
      {ending && (
        <Confirm
          title={t('call.end_for_all')}
          text={t('call.end_for_all_text')}
          action={t('call.end_for_all')}
          danger
          onClose={() => setEnding(false)}
          onConfirm={() => void session.leave(true)}
        />
      )}
    </>
  );
  return { items, dialog };
}

/** The large picture in a small window of the system, above other programs. */
function pictureInPicture(page: HTMLElement | null): MenuItem[] {
  if (!document.pictureInPictureEnabled) return [];
  const video = page?.querySelector<HTMLVideoElement>('[data-look=main] video, [data-look=grid] video');
  if (!video) return [];
  return [
    {
      label: t('call.pip'),
      icon: 'picture-in-picture-2',
      run: () =>
        void (
          document.pictureInPictureElement ? document.exitPictureInPicture() : video.requestPictureInPicture()
        ).catch(() => undefined),
    },
  ];
}

/** Why it is over, for as long as that is news. */
function Ended({ session, room }: { session: Session; room: Room | undefined }) {
  const ended = session.ended.value;
  const close = () => {
    if (current.value === session) current.value = null;
    go(`/c/${session.room}`, true);
  };
  useEffect(() => {
    if (!ended || !isNews(ended)) close();
  }, []);
  if (!ended || !isNews(ended)) return null;
  const again = room && mayRepeat(ended);
  return (
    <Front room={room} text={endedText(ended, room?.peer ? here().state.nameOf(room.peer) : '')}>
      <div class={s.choices}>
        {again && (
          <Button
            look="primary"
            icon={session.begin.media === 'video' ? 'video' : 'phone'}
            onClick={() => {
              current.value = null;
              callAgain(room, session);
            }}
          >
            {t('calls.call_again')}
          </Button>
        )}
        <Button onClick={close}>{t('common.close')}</Button>
      </div>
    </Front>
  );
}

interface FrontProps {
  room: Room | undefined;
  text: string;
  back?: ComponentChildren;
  behind?: ComponentChildren;
  children: ComponentChildren;
}

/** A face, a name, and what is going on. */
export function Front({ room, text, back, behind, children }: FrontProps) {
  const { state } = here();
  const name = room ? roomName(state, room) : t('call.call');
  return (
    <main class={s.page} data-front="yes" data-picture={behind ? 'yes' : 'no'}>
      {behind && <div class={s.behind}>{behind}</div>}
      <header class={s.top}>{back}</header>
      <div class={s.face}>
        <Avatar id={room ? faceOf(room) : ''} name={name} size={112} group={room?.kind === 'group'} />
        <h1>{name}</h1>
        <p role="status">{text}</p>
      </div>
      <div class={s.foot}>{children}</div>
    </main>
  );
}
