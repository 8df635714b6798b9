/** Settings of calls: the devices, tried out, and whether the system may tell of calls while the page is hidden. */
import { useState } from 'preact/hooks';
import { t } from '../../i18n/index.ts';
import { Button } from '../../ui/Button/Button.tsx';
import shell from '../shell/Shell.module.css';
import { DeviceTest } from './DeviceTest.tsx';
import { session } from './model.ts';

export { ready } from './words.ts';

export default function CallSettings() {
  const mine = session.value;
  return (
    <>
      <section class={shell.card}>
        <h2>{t('call.devices')}</h2>
        {mine ? (
          <DeviceTest camera={mine.sources.preview.value} onChange={(kind) => void mine.sources.switchDevice(kind)} />
        ) : (
          <DeviceTest />
        )}
      </section>
      <Notices />
    </>
  );
}

function Notices() {
  const can = typeof Notification !== 'undefined' && isSecureContext;
  const [now, setNow] = useState(can ? Notification.permission : 'denied');
  return (
    <section class={shell.card}>
      <h2>{t('call.notices')}</h2>
      <p class={shell.muted}>{t(`call.notices.${now}`)}</p>
      {now === 'default' && (
        <Button icon="phone-incoming" onClick={() => void Notification.requestPermission().then(setNow)}>
          {t('call.notices_allow')}
        </Button>
      )}
    </section>
  );
}
