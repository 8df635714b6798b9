/** Somebody calls: name, sound, and three answers. It lies above everything and takes no focus away from what is written. */
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import type { Ring } from '../../core/calling.ts';
import { t } from '../../i18n/index.ts';
import { here } from '../../session.ts';
import { Avatar } from '../../ui/Avatar/Avatar.tsx';
import { Icon } from '../../ui/Icon/Icon.tsx';
import s from './Call.module.css';
import * as tones from './engine/tones.ts';
import { enter, session } from './model.ts';

export function Ringing({ ring }: { ring: Ring }) {
  const { state, leads, calls } = here();
  const ref = useRef<HTMLElement>(null);
  const running = session.value !== null && session.value.phase.value !== 'over';
  const room = state.rooms.value.get(ring.room);
  const name = state.nameOf(ring.by);
  const group = room?.kind === 'group' ? room.name : '';
  const title = t(ring.media === 'video' ? 'call.incoming_video' : 'call.incoming_audio', { name });
  useLayoutEffect(() => {
    ref.current?.showPopover?.();
  }, []);
  useEffect(() => {
    here().tell({ t: 'call_ringing', call: ring.call });
    // one tab makes the noise: the one that has the connection
    const stop = leads.value ? (running ? tones.knock() : tones.ring()) : () => undefined;
    const notice = leads.value ? notify(title, group, ring.call) : null;
    const before = document.title;
    document.title = title;
    return () => {
      stop();
      notice?.close();
      document.title = before;
    };
  }, [ring.call, running]);
  const accept = (camera: boolean) => {
    calls.hush(ring.call);
    void enter({ how: 'join', room: ring.room, media: ring.media, call: ring.call, seat: '' }, { mic: true, camera });
  };
  const decline = () => {
    calls.hush(ring.call);
    here()
      .ask({ t: 'call_decline', call: ring.call, busy: false })
      .catch(() => undefined);
  };
  return (
    <section
      ref={ref}
      class={s.ring}
      popover="manual"
      role="alertdialog"
      aria-labelledby="ring-title"
      aria-describedby="ring-text"
    >
      <div class={s.caller}>
        <span class={s.pulse}>
          <Avatar id={ring.by} name={name} size={72} />
        </span>
        <div>
          <h2 id="ring-title">{name}</h2>
          <p id="ring-text">
            {t(ring.media === 'video' ? 'call.calls_video' : 'call.calls_audio')}
            {group && ` · ${group}`}
          </p>
          {running && <p class={s.note}>{t('call.leaves_other')}</p>}
        </div>
      </div>
      <div class={s.answers}>
        <Answer look="no" icon="phone-off" label={t('call.decline')} onClick={decline} />
        <Answer look="yes" icon="phone" label={t('call.accept_audio')} onClick={() => accept(false)} />
        <Answer look="yes" icon="video" label={t('call.accept_video')} onClick={() => accept(true)} />
      </div>
    </section>
  );
}

function Answer(props: { look: 'yes' | 'no'; icon: string; label: string; onClick: () => void }) {
  return (
    <button type="button" class={s.answer} onClick={props.onClick}>
      <span data-look={props.look}>
        <Icon name={props.icon} size={24} />
      </span>
      {props.label}
    </button>
  );
}

/** A notice of the system while the page is not looked at, where the reader allowed it. */
function notify(title: string, body: string, call: string): Notification | null {
  if (document.visibilityState === 'visible' || typeof Notification === 'undefined') return null;
  if (Notification.permission !== 'granted') return null;
  try {
    const notice = new Notification(title, { body, tag: call, requireInteraction: true });
    notice.onclick = () => {
      focus();
      notice.close();
    };
    return notice;
  } catch {
    return null; // phones allow it to service workers only
  }
}
