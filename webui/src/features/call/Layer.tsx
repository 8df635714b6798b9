/** Everything of calls that lies on the screen: who rings, the call on the whole screen or in a small window, and dialogs. */
import { useEffect, useRef } from 'preact/hooks';
import type { Roster } from '../../core/calling.ts';
import { t } from '../../i18n/index.ts';
import { go, route } from '../../routes.ts';
import { here } from '../../session.ts';
import { Button } from '../../ui/Button/Button.tsx';
import { toast } from '../../ui/Toast/Toast.tsx';
import { Joining, RingWhom } from './Asking.tsx';
import s from './Call.module.css';
import { CallPage, Front } from './CallPage.tsx';
import type { Session } from './engine/session.ts';
import * as tones from './engine/tones.ts';
import { Mini } from './Mini.tsx';
import { ask, callAgain, comeBack, session } from './model.ts';
import { Ringing } from './Ringing.tsx';
import { endedText, isNews } from './text.ts';
import { forget, unfinished } from './unfinished.ts';

export { ready } from './words.ts';

export default function Layer() {
  const { calls, state } = here();
  const mine = session.value;
  const asked = ask.value;
  const whole = route.value.page === 'call';
  const ring = calls.rings.value.find(({ call }) => call !== mine?.call.value);
  return (
    <>
      {whole ? mine ? <CallPage key={mine.begin} session={mine} /> : <NoCall id={route.value.call ?? ''} /> : null}
      {!whole && mine && <Mini session={mine} />}
      {mine && <Sounds session={mine} whole={whole} />}
      <Elsewhere />
      {ring && <Ringing key={ring.call} ring={ring} />}
      {asked?.what === 'ring' && <RingWhom room={state.rooms.value.get(asked.room.room) ?? asked.room} />}
      {asked?.what === 'join' && <Joining key={asked.roster.call} roster={asked.roster} />}
    </>
  );
}

/** The sounds of a call that runs, and what there is to say when it ends while one reads something else. */
function Sounds({ session: mine, whole }: { session: Session; whole: boolean }) {
  const { state } = here();
  const phase = mine.phase.value;
  const count = mine.roster.value?.participants.length ?? 0;
  const rings = phase === 'calling' && (mine.roster.value?.invited ?? []).some((one) => one.state === 'ringing');
  const was = useRef({ phase, count, hushed: mine.hushed.value });
  useEffect(() => (rings ? tones.ringBack() : undefined), [rings]);
  useEffect(() => {
    const before = was.current;
    was.current = { phase, count, hushed: mine.hushed.value };
    if (phase === 'live' && count > before.count && before.phase === 'live') tones.joined();
    if (mine.hushed.value > before.hushed) toast(t('call.hushed'));
    if (phase === 'over' && before.phase !== 'over') tones.ended();
  }, [phase, count, mine.hushed.value]);
  useEffect(() => {
    if (phase !== 'over' || whole) return;
    const ended = mine.ended.value;
    const room = state.rooms.value.get(mine.room);
    const again = room &&
      ended?.reason === 'cut_off' && { label: t('calls.call_again'), run: () => callAgain(room, mine) };
    const text = ended && isNews(ended) && endedText(ended, room?.peer ? state.nameOf(room.peer) : '');
    if (text) toast(text, again || undefined, true);
    if (session.value === mine) session.value = null;
  }, [phase, whole]);
  return null;
}

/** It rang here and was answered on another device of the same person. */
function Elsewhere() {
  const { calls } = here();
  useEffect(() => {
    let ringing = new Set(calls.rings.peek().map(({ call }) => call));
    const unring = calls.rings.subscribe((rings) => {
      for (const { call } of rings) ringing.add(call);
    });
    const unhear = calls.listen((frame) => {
      if (frame.t !== 'call_over') return;
      const rang = ringing.delete(frame.call);
      if (rang && (frame.reason === 'accepted_elsewhere' || frame.reason === 'declined_elsewhere'))
        toast(t(`call.over.${frame.reason}`));
      if (ringing.size > 32) ringing = new Set();
    });
    return () => {
      unring();
      unhear();
    };
  }, [calls]);
  return null;
}

/** The address of a call, but this page is not in it: it was loaded anew, or came by a link. */
function NoCall({ id }: { id: string }) {
  const { calls, state } = here();
  const old = unfinished();
  const roster: Roster | undefined = [...calls.rosters.value.values()].find(({ call }) => call === id);
  const room = state.rooms.value.get(roster?.room ?? old?.room ?? '');
  const mine = old?.call === id ? old : null;
  const leave = () => {
    forget();
    if (mine)
      here()
        .ask({ t: 'call_leave', call: mine.call, seat: mine.seat, everybody: false })
        .catch(() => undefined);
    go(room ? `/c/${room.room}` : '/', true);
  };
  return (
    <Front room={room} text={t(mine ? 'call.was_in' : roster ? 'call.not_in' : 'call.over.ended')}>
      <div class={s.choices}>
        {mine && (
          <Button look="primary" icon="phone" onClick={() => comeBack(mine)}>
            {t('calls.come_back')}
          </Button>
        )}
        {!mine && roster && (
          <Button look="primary" icon="phone" onClick={() => (ask.value = { what: 'join', roster })}>
            {t('calls.join')}
          </Button>
        )}
        <Button onClick={leave}>{t(mine ? 'call.leave' : 'common.close')}</Button>
      </div>
    </Front>
  );
}
