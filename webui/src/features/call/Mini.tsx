/** A call that goes on while one reads chats: a small window, a bar on phones. */
import { useEffect } from 'preact/hooks';
import { t } from '../../i18n/index.ts';
import { here } from '../../session.ts';
import { Icon } from '../../ui/Icon/Icon.tsx';
import { roomName } from '../chats/model.ts';
import s from './Call.module.css';
import { Control } from './Controls.tsx';
import type { Session } from './engine/session.ts';
import { Since, toCall } from './Head.tsx';
import { mainOf, placesOf } from './layout.ts';
import { Tile } from './Tile.tsx';

export function Mini({ session }: { session: Session }) {
  const { state } = here();
  useEffect(() => {
    document.documentElement.dataset.call = 'yes';
    return () => {
      delete document.documentElement.dataset.call;
    };
  }, []);
  const room = state.rooms.value.get(session.room);
  const name = room ? roomName(state, room) : t('call.call');
  const places = placesOf(session.roster.value?.participants ?? [], session.seat.value);
  const main = mainOf(places, '', session.speakers.value.find((seat) => seat !== session.seat.value) ?? '');
  const phase = session.phase.value;
  const mic = session.sources.mic.value;
  return (
    <section class={s.mini} aria-label={t('call.running_call')}>
      {main && main.who.seat !== session.seat.value && (
        <Tile session={session} place={main} pinned="" onPin={undefined} moderates={false} look="mini" />
      )}
      <button type="button" class={s.miniName} onClick={toCall}>
        <Icon name="maximize" size={16} />
        <span>{name}</span>
        {phase === 'live' ? <Since ms={session.roster.value?.startedMs || session.liveMs.value} /> : null}
        {phase !== 'live' && <small>{t(`call.phase.${phase === 'over' ? 'connecting' : phase}`)}</small>}
        <span class="visually-hidden">{t('call.back_to')}</span>
      </button>
      <div class={s.miniControls}>
        <Control
          icon={mic ? 'mic' : 'mic-off'}
          look={mic ? 'on' : 'off'}
          label={t(mic ? 'call.mic_off' : 'call.mic_on')}
          onClick={() => void session.sources.setMic(!mic)}
        />
        <Control icon="phone-off" look="leave" label={t('call.leave')} onClick={() => void session.leave()} />
      </div>
    </section>
  );
}
