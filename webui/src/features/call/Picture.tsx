/** A moving picture of a stream; it has no sound of its own. */
import { useEffect, useRef } from 'preact/hooks';
import s from './Call.module.css';

interface PictureProps {
  stream: MediaStream;
  label: string;
  mirrored?: boolean;
  whole?: boolean; // shows all of it, with bars, as screens want it
  onStill?: (still: boolean) => void; // told when no new frame comes, and when one does again
}

const STILL_MS = 3_000;
const LOOK_MS = 1_000;

/** Whether new frames come: a node sends fewer pictures when a network does not carry them all. */
function watch(video: HTMLVideoElement, told: (still: boolean) => void): () => void {
  let last = performance.now();
  let still = false;
  let over = false;
  const tell = (now: boolean) => {
    if (now !== still) told(now);
    still = now;
  };
  const frame = () => {
    last = performance.now();
    tell(false);
    if (!over) video.requestVideoFrameCallback(frame);
  };
  video.requestVideoFrameCallback?.(frame);
  const timer = setInterval(() => {
    if (document.visibilityState === 'visible') tell(performance.now() - last > STILL_MS);
    else last = performance.now(); // a hidden page draws nothing
  }, LOOK_MS);
  return () => {
    over = true;
    clearInterval(timer);
    tell(false);
  };
}

export function Picture({ stream, label, mirrored, whole, onStill }: PictureProps) {
  const ref = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    const video = ref.current;
    if (!video) return;
    video.srcObject = stream;
    video.play?.()?.catch(() => undefined);
    const stop = onStill && 'requestVideoFrameCallback' in video ? watch(video, onStill) : undefined;
    return () => {
      stop?.();
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
