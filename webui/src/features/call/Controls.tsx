/** The buttons of a running call. What is on looks on, what is off looks off, and each says so in words. */
import { useState } from 'preact/hooks';
import { t } from '../../i18n/index.ts';
import { Icon } from '../../ui/Icon/Icon.tsx';
import { above, Menu, type MenuItem, type Place } from '../../ui/Menu/Menu.tsx';
import s from './Call.module.css';
import { canShare } from './engine/devices.ts';
import type { Session } from './engine/session.ts';

interface ControlProps {
  icon: string;
  label: string;
  look?: 'on' | 'off' | 'leave';
  pressed?: boolean;
  menu?: boolean;
  wide?: boolean;
  onClick: (event: MouseEvent) => void;
}

export function Control({ icon, label, look = 'on', pressed, menu, wide, onClick }: ControlProps) {
  return (
    <button
      type="button"
      class={s.control}
      data-look={look}
      data-wide={wide ? 'yes' : 'no'}
      aria-label={label}
      title={label}
      aria-pressed={pressed}
      aria-haspopup={menu ? 'menu' : undefined}
      onClick={onClick}
    >
      <Icon name={icon} size={22} />
    </button>
  );
}

interface ControlsProps {
  session: Session;
  more: () => readonly MenuItem[]; // asked when it opens: what is possible depends on what is shown then
  brief?: boolean; // nobody is there yet who would see a screen or a hand
  onLeave: (event: MouseEvent) => void;
}

export function Controls({ session, more, brief, onLeave }: ControlsProps) {
  const [menu, setMenu] = useState<{ at: Place; items: readonly MenuItem[] } | null>(null);
  const mic = session.sources.mic.value || session.sources.talking.value;
  const camera = session.sources.camera.value;
  const screen = session.sources.screen.value;
  const hand = session.hand.value;
  return (
    <footer class={s.controls} role="group" aria-label={t('call.controls')}>
      <Control
        icon={mic ? 'mic' : 'mic-off'}
        look={mic ? 'on' : 'off'}
        label={t(mic ? 'call.mic_off' : 'call.mic_on')}
        onClick={() => void session.sources.setMic(!session.sources.mic.value)}
      />
      {session.video.value && (
        <Control
          icon={camera ? 'video' : 'video-off'}
          look={camera ? 'on' : 'off'}
          label={t(camera ? 'call.camera_off' : 'call.camera_on')}
          onClick={() => void session.sources.setCamera(!camera)}
        />
      )}
      {!brief && session.video.value && canShare() && (
        <Control
          icon={screen ? 'monitor-off' : 'monitor-up'}
          pressed={screen}
          label={t(screen ? 'call.screen_off' : 'call.screen_on')}
          onClick={() => void session.sources.setScreen(!screen)}
        />
      )}
      {!brief && (
        <Control
          icon="hand"
          pressed={hand}
          label={t(hand ? 'call.hand_down' : 'call.hand_up')}
          onClick={() => session.setHand(!hand)}
        />
      )}
      <Control
        icon="ellipsis"
        label={t('call.more')}
        menu
        onClick={(event) => setMenu({ at: above(event.currentTarget as Element), items: more() })}
      />
      <Control icon="phone-off" look="leave" wide label={t('call.leave')} onClick={onLeave} />
      {menu && <Menu label={t('call.more')} {...menu} onClose={() => setMenu(null)} />}
    </footer>
  );
}
