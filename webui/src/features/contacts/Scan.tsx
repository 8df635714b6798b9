/** Scans a QR code: with the camera, or from a picture that somebody sent. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { type Key, t } from '../../i18n/index.ts';
import { Button } from '../../ui/Button/Button.tsx';
import shell from '../shell/Shell.module.css';
import s from './AddContact.module.css';
import { reader, readFile } from './qr.ts';

const EACH_MS = 200;

export default function Scan({ onFound, onBack }: { onFound: (text: string) => void; onBack: () => void }) {
  const video = useRef<HTMLVideoElement>(null);
  const file = useRef<HTMLInputElement>(null);
  const [problem, setProblem] = useState<Key | null>(null);
  const [unread, setUnread] = useState(false);
  useEffect(() => watch(() => video.current, onFound, setProblem), []);
  const picked = async () => {
    const picture = file.current?.files?.[0];
    if (!picture) return;
    const text = await readFile(picture).catch(() => '');
    if (file.current) file.current.value = '';
    setUnread(!text);
    if (text) onFound(text);
  };
  return (
    <>
      {problem ? (
        <p class={shell.muted} role="status">
          {t(problem)}
        </p>
      ) : (
        <>
          <div class={s.frame}>
            <video ref={video} class={s.video} muted playsInline autoplay aria-label={t('scan.camera')} />
          </div>
          <p class={shell.muted}>{t('scan.text')}</p>
        </>
      )}
      {unread && (
        <p class={s.error} role="alert">
          {t('scan.unread')}
        </p>
      )}
      <input
        ref={file}
        type="file"
        accept="image/*"
        aria-label={t('scan.picture')}
        hidden
        onChange={() => void picked()}
      />
      <div class={s.ways}>
        <Button icon="arrow-left" onClick={onBack}>
          {t('common.back')}
        </Button>
        <Button icon="image" onClick={() => file.current?.click()}>
          {t('scan.picture')}
        </Button>
      </div>
    </>
  );
}

/** Looks through the camera until a code is found or the answer is called. */
function watch(
  screen: () => HTMLVideoElement | null,
  found: (text: string) => void,
  failed: (why: Key) => void,
): () => void {
  let stream: MediaStream | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let over = false;
  const stop = () => {
    over = true;
    clearTimeout(timer);
    for (const track of stream?.getTracks() ?? []) track.stop();
  };
  const start = async () => {
    if (!navigator.mediaDevices?.getUserMedia) throw new DOMException('', 'SecurityError');
    const [read, media] = await Promise.all([
      reader(),
      navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } }),
    ]);
    stream = media;
    if (over) return stop();
    const view = screen();
    if (view) view.srcObject = media;
    const look = async () => {
      const seen = screen();
      const text = seen?.videoWidth ? await read(seen, seen.videoWidth, seen.videoHeight).catch(() => '') : '';
      if (over) return;
      if (text) {
        stop();
        found(text);
      } else timer = setTimeout(() => void look(), EACH_MS);
    };
    void look();
  };
  start().catch((error: unknown) => !over && failed(reasonOf(error)));
  return stop;
}

function reasonOf(error: unknown): Key {
  const name = error instanceof DOMException ? error.name : '';
  if (name === 'SecurityError') return 'scan.insecure';
  if (name === 'NotAllowedError') return 'scan.denied';
  return name === 'NotFoundError' ? 'scan.no_camera' : 'scan.busy';
}
