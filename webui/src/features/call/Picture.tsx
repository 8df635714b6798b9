/** A moving picture of a stream; it has no sound of its own. */
import { useEffect, useRef } from 'preact/hooks';
import s from './Call.module.css';

interface PictureProps {
  stream: MediaStream;
  label: string;
  mirrored?: boolean;
  whole?: boolean; // shows all of it, with bars, as screens want it
}

export function Picture({ stream, label, mirrored, whole }: PictureProps) {
  const ref = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    const video = ref.current;
    if (!video) return;
    video.srcObject = stream;
    video.play?.()?.catch(() => undefined);
    return () => {
      video.srcObject = null;
    };
  }, [stream]);
  return (
    <video
      ref={ref}
      class={s.video}
      data-mirrored={mirrored ? 'yes' : 'no'}
      data-whole={whole ? 'yes' : 'no'}
      aria-label={label}
      muted
      playsInline
      autoplay
    />
  );
}
