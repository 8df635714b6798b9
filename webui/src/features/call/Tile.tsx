/** One picture of a call, with who it is and how they are. It tells the session how large it is shown. */
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { t } from '../../i18n/index.ts';
import { explain } from '../../i18n/refusal.ts';
import { here } from '../../session.ts';
import { Avatar } from '../../ui/Avatar/Avatar.tsx';
import { IconButton } from '../../ui/Button/Button.tsx';
import { Icon } from '../../ui/Icon/Icon.tsx';
import { below, type Place as Corner, Menu, type MenuItem } from '../../ui/Menu/Menu.tsx';
import { toast } from '../../ui/Toast/Toast.tsx';
import s from './Call.module.css';
import type { Session } from './engine/session.ts';
import type { Place } from './layout.ts';
import { Picture } from './Picture.tsx';
import { tileText } from './text.ts';

interface TileProps {
  session: Session;
  place: Place;
  pinned: string;
  onPin: ((key: string) => void) | undefined;
  moderates: boolean;
  size?: { width: number; height: number } | undefined;
  look?: 'main' | 'strip' | 'corner' | 'mini';
}

export function Tile({ session, place, pinned, onPin, moderates, size, look }: TileProps) {
  const { state } = here();
  const { who, source, mine, key } = place;
  const ref = useRef<HTMLElement>(null);
  const [width, setWidth] = useState(0);
  const [still, setStill] = useState(false);
  const [menu, setMenu] = useState<Corner | null>(null);
  const screen = source === 'screen';
  const name = state.nameOf(who.user);
  const stream = mine
    ? screen
      ? session.sources.shared.value
      : session.sources.preview.value
    : (screen ? who.screen : who.camera)
      ? session.streams.value.get(key)
      : undefined;
  useLayoutEffect(() => {
    const tile = ref.current;
    if (!tile || mine) return;
    const look = () => setWidth(tile.clientWidth);
    look();
    if (typeof ResizeObserver === 'undefined') return;
    const watch = new ResizeObserver(look);
    watch.observe(tile);
    return () => watch.disconnect();
  }, [mine]);
  useEffect(() => {
    if (mine || !width) return;
    return session.wishes.shows(key, width * devicePixelRatio, pinned === key || look === 'main');
  }, [key, width, pinned, mine, look]);
  const speaks = !screen && who.mic && session.speakers.value.includes(who.seat);
  const items = menuOf(session, place, pinned, onPin, moderates, name);
  const faces = look === 'strip' || look === 'mini' || look === 'corner' ? 44 : 88;
  return (
    <figure
      ref={ref}
      class={s.tile}
      data-look={look ?? 'grid'}
      data-speaks={speaks ? 'yes' : 'no'}
      aria-label={tileText(who, name, mine, screen)}
      style={size ? { width: `${size.width}px`, height: `${size.height}px` } : undefined}
    >
      <Avatar id={who.user} name={name} size={faces} />
      {stream && (
        <Picture
          stream={stream}
          label={t('call.picture_of', { name })}
          mirrored={mine && !screen}
          whole={screen}
          {...(mine || screen ? {} : { onStill: setStill })}
        />
      )}
      {(who.state === 'connecting' || who.state === 'reconnecting') && !mine && (
        <span class={s.veil}>{t(`call.state.${who.state}`)}</span>
      )}
      {still && who.state === 'live' && <span class={s.veil}>{t('call.state.still')}</span>}
      {who.hand && !screen && (
        <span class={s.hand}>
          <Icon name="hand" size={18} />
        </span>
      )}
      <figcaption class={s.caption}>
        {!screen && !who.mic && <Icon name="mic-off" size={14} />}
        {screen && <Icon name="monitor-up" size={14} />}
        <span>{captionOf(mine, screen, name)}</span>
      </figcaption>
      {items.length > 0 && look !== 'mini' && (
        <IconButton
          class={s.tileMenu ?? ''}
          icon="ellipsis"
          size={18}
          label={t('call.actions_for', { name })}
          aria-haspopup="menu"
          aria-expanded={menu !== null}
          onClick={(event) => setMenu(below(event.currentTarget as Element))}
        />
      )}
      {menu && <Menu label={t('call.actions_for', { name })} at={menu} onClose={() => setMenu(null)} items={items} />}
    </figure>
  );
}

const captionOf = (mine: boolean, screen: boolean, name: string): string =>
  screen ? (mine ? t('call.your_screen') : t('call.screen_of', { name })) : mine ? t('call.you_short') : name;

function menuOf(
  session: Session,
  { key, who, mine }: Place,
  pinned: string,
  onPin: ((key: string) => void) | undefined,
  moderates: boolean,
  name: string,
): MenuItem[] {
  const act = (mute: boolean) => () =>
    void session.removeSeat(who.seat, mute).catch((error) => toast(explain(error).text));
  const pin: MenuItem[] = onPin
    ? [
        pinned === key
          ? { label: t('call.unpin'), icon: 'pin-off', run: () => onPin('') }
          : { label: t('call.pin'), icon: 'pin', run: () => onPin(key) },
      ]
    : [];
  if (!moderates || mine) return pin;
  return [
    ...pin,
    ...(who.mic ? [{ label: t('call.mute_them', { name }), icon: 'mic-off', run: act(true) }] : []),
    { label: t('call.remove_them', { name }), icon: 'user-x', danger: true, run: act(false) },
  ];
}
