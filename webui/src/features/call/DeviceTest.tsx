/** Microphone, camera and speaker: choose them, see the level and the picture, hear a tune. Before, during and without a call. */
import { useEffect, useState } from 'preact/hooks';
import { t } from '../../i18n/index.ts';
import { Button } from '../../ui/Button/Button.tsx';
import { Segments, Select } from '../../ui/Field/Field.tsx';
import { Icon } from '../../ui/Icon/Icon.tsx';
import s from './Call.module.css';
import {
  canChooseSpeaker,
  type Device,
  DeviceTrouble,
  isSecure,
  type Kind,
  lines,
  listDevices,
  openDevice,
  prefer,
  preferLines,
  preferred,
} from './engine/devices.ts';
import { Meter } from './engine/meter.ts';
import { trySpeaker } from './engine/tones.ts';
import { Picture } from './Picture.tsx';
import { troubleText } from './text.ts';

type Lists = Readonly<Record<Kind, readonly Device[]>>;
const NOTHING: Lists = { mic: [], camera: [], speaker: [] };

interface DeviceTestProps {
  /** The picture the call already has: a camera is not opened twice. Null: none, undefined: open one here. */
  camera?: MediaStream | null;
  onChange?: (kind: 'mic' | 'camera') => void;
  brief?: boolean; // before a call: only what others will see and hear
  withCamera?: boolean;
}

export function DeviceTest({ camera, onChange, brief, withCamera = true }: DeviceTestProps) {
  const [lists, setLists] = useState<Lists>(NOTHING);
  const [level, setLevel] = useState(0);
  const [own, setOwn] = useState<MediaStream | null>(null);
  const [troubles, setTroubles] = useState<Partial<Record<'mic' | 'camera', DeviceTrouble>>>({});
  const [playing, setPlaying] = useState(false);
  const refresh = () => listDevices().then(setLists, () => undefined);
  const failed = (kind: 'mic' | 'camera') => (error: unknown) =>
    setTroubles((before) => ({
      ...before,
      [kind]: error instanceof DeviceTrouble ? error : new DeviceTrouble(kind, 'busy'),
    }));
  useEffect(() => {
    void refresh();
    const changed = () => void refresh();
    navigator.mediaDevices?.addEventListener?.('devicechange', changed);
    return () => navigator.mediaDevices?.removeEventListener?.('devicechange', changed);
  }, []);
  useEffect(
    () =>
      using('mic', failed('mic'), (track) => {
        setTroubles(({ mic: _, ...rest }) => rest);
        void refresh();
        const meter = new Meter(track, setLevel);
        return () => meter.close();
      }),
    [preferred.mic.value],
  );
  useEffect(() => {
    if (camera !== undefined || !withCamera) return;
    return using('camera', failed('camera'), (track) => {
      setTroubles(({ camera: _, ...rest }) => rest);
      setOwn(new MediaStream([track]));
      void refresh();
      return () => setOwn(null);
    });
  }, [preferred.camera.value, lines.value, camera === undefined, withCamera]);
  const pick = (kind: Kind) => (id: string) => {
    prefer(kind, id);
    if (kind !== 'speaker') onChange?.(kind);
  };
  if (!isSecure()) {
    return (
      <p class={s.trouble} role="alert">
        <Icon name="lock" size={18} />
        {t('call.trouble.insecure')}
      </p>
    );
  }
  const shown = camera === undefined ? own : camera;
  return (
    <div class={s.test}>
      <div class={s.preview}>
        {shown ? (
          <Picture stream={shown} label={t('call.own_picture')} mirrored />
        ) : (
          <span>
            <Icon name="video-off" size={32} />
            {troubles.camera ? troubleText(troubles.camera) : t('call.camera_is_off')}
          </span>
        )}
      </div>
      <Chooser kind="mic" lists={lists} onPick={pick('mic')} />
      <div
        class={s.meter}
        role="meter"
        aria-label={t('call.level')}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(level * 100)}
      >
        <i style={{ inlineSize: `${Math.round(level * 100)}%` }} />
      </div>
      {troubles.mic && (
        <p class={s.trouble} role="alert">
          <Icon name="mic-off" size={18} />
          {troubleText(troubles.mic)}
        </p>
      )}
      {withCamera && <Chooser kind="camera" lists={lists} onPick={pick('camera')} />}
      {!brief && canChooseSpeaker() && <Chooser kind="speaker" lists={lists} onPick={pick('speaker')} />}
      {!brief && (
        <>
          <Button
            icon="volume-2"
            busy={playing}
            onClick={() => {
              setPlaying(true);
              trySpeaker(preferred.speaker.value)
                .catch(() => undefined)
                .finally(() => setPlaying(false));
            }}
          >
            {t('call.play_tune')}
          </Button>
          <Segments
            label={t('call.size')}
            value={lines.value}
            options={[
              { value: '720', label: t('call.size_high') },
              { value: '360', label: t('call.size_low') },
            ]}
            onChange={preferLines}
          />
        </>
      )}
    </div>
  );
}

function Chooser({ kind, lists, onPick }: { kind: Kind; lists: Lists; onPick: (id: string) => void }) {
  const devices = lists[kind];
  const now = preferred[kind].value;
  const known = devices.some(({ id }) => id === now) ? now : (devices.find(({ id }) => id === 'default')?.id ?? '');
  return (
    <Select
      label={t(`call.device.${kind}`)}
      value={known}
      options={[
        ...(known === '' ? [{ value: '', label: t('call.device.default') }] : []),
        ...devices.map(({ id, label }, i) => ({ value: id, label: label || t('call.device.number', { n: i + 1 }) })),
      ]}
      onChange={onPick}
      disabled={devices.length === 0}
    />
  );
}

/** Opens a device for as long as the answer is not called. */
function using(
  kind: 'mic' | 'camera',
  failed: (error: unknown) => void,
  use: (track: MediaStreamTrack) => () => void,
): () => void {
  let over = false;
  let close: () => void = () => undefined;
  openDevice(kind).then(
    (track) => {
      if (over) return track.stop();
      const end = use(track);
      close = () => {
        end();
        track.stop();
      };
    },
    (error) => !over && failed(error),
  );
  return () => {
    over = true;
    close();
  };
}
