/** The pictures of a call: everybody alike, one large with the others beside it, or two people face to face. */
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { t } from '../../i18n/index.ts';
import s from './Call.module.css';
import type { Session } from './engine/session.ts';
import { type Box, gridOf, mainOf, type Place, type View } from './layout.ts';
import { Tile } from './Tile.tsx';

const GAP = 10;

interface StageProps {
  session: Session;
  places: readonly Place[];
  view: View;
  pinned: string;
  onPin: (key: string) => void;
  moderates: boolean;
}

export function Stage({ session, places, view, pinned, onPin, moderates }: StageProps) {
  const ref = useRef<HTMLDivElement>(null);
  const [box, setBox] = useState<Box>({ width: 0, height: 0 });
  useLayoutEffect(() => {
    const stage = ref.current;
    if (!stage) return;
    const look = () => setBox({ width: stage.clientWidth, height: stage.clientHeight });
    look();
    if (typeof ResizeObserver === 'undefined') return;
    const watch = new ResizeObserver(look);
    watch.observe(stage);
    return () => watch.disconnect();
  }, []);
  const common = { session, pinned, moderates };
  const speaker = useLastSpeaker(session, places);
  return (
    <div ref={ref} class={s.stage} data-view={view} role="group" aria-label={t('call.people')}>
      {view === 'pair' && <Pair places={places} {...common} />}
      {view === 'grid' && <Grid places={places} box={box} onPin={onPin} {...common} />}
      {view === 'speaker' && (
        <Speaker places={places} main={mainOf(places, pinned, speaker)} onPin={onPin} {...common} />
      )}
    </div>
  );
}

/** Who spoke last stays large until somebody else does. */
function useLastSpeaker(session: Session, places: readonly Place[]): string {
  const last = useRef('');
  const now = session.speakers.value.find((seat) => seat !== session.seat.value);
  if (now) last.current = now;
  return places.some(({ who }) => who.seat === last.current) ? last.current : '';
}

type Common = Pick<StageProps, 'session' | 'pinned' | 'moderates'>;

function Pair({ places, ...common }: Common & { places: readonly Place[] }) {
  const other = places.find(({ mine }) => !mine);
  const own = places.find(({ mine }) => mine);
  return (
    <>
      {other && <Tile key={other.key} place={other} onPin={undefined} look="main" {...common} />}
      {own && <Tile key={own.key} place={own} onPin={undefined} look="corner" {...common} />}
    </>
  );
}

function Grid({
  places,
  box,
  onPin,
  ...common
}: Common & Pick<StageProps, 'onPin'> & { places: readonly Place[]; box: Box }) {
  const { columns, width, height } = gridOf(places.length, box, GAP);
  return (
    <div class={s.grid} style={{ gridTemplateColumns: `repeat(${columns}, ${width}px)` }}>
      {places.map((place) => (
        <Tile key={place.key} place={place} onPin={pinning(places, onPin)} size={{ width, height }} {...common} />
      ))}
    </div>
  );
}

function Speaker({
  places,
  main,
  onPin,
  ...common
}: Common & Pick<StageProps, 'onPin'> & { places: readonly Place[]; main: Place | undefined }) {
  const others = places.filter(({ key }) => key !== main?.key);
  return (
    <>
      {main && <Tile key={main.key} place={main} onPin={pinning(places, onPin)} look="main" {...common} />}
      {others.length > 0 && (
        <div class={s.strip} tabIndex={0} role="group" aria-label={t('call.others')}>
          {others.map((place) => (
            <Tile key={place.key} place={place} onPin={pinning(places, onPin)} look="strip" {...common} />
          ))}
        </div>
      )}
    </>
  );
}

const pinning = (places: readonly Place[], onPin: (key: string) => void) => (places.length > 2 ? onPin : undefined);
