/** First the policy that keeps scripts to our own origin, then the page. */
import './trusted.ts';
import './styles/tokens.css';
import './styles/reset.css';
import { render } from 'preact';
import { App } from './app.tsx';
import { t } from './i18n/index.ts';
import { startLook } from './look.ts';
import { follow } from './routes.ts';
import { begin, client } from './session.ts';
import { toast } from './ui/Toast/Toast.tsx';

const reload = () => toast(t('app.updated'), { label: t('app.reload'), run: () => location.reload() });

async function start(): Promise<void> {
  await startLook();
  document.addEventListener('click', follow);
  addEventListener('online', () => client.value?.wake());
  addEventListener('offline', () => client.value?.sleep());
  addEventListener('vite:preloadError', reload);
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') client.value?.wake();
    client.value?.presence(document.visibilityState === 'visible' ? 'online' : 'away');
  });
  render(<App />, document.getElementById('app') as HTMLElement);
  await begin();
  if ('serviceWorker' in navigator && import.meta.env.PROD) await installWorker();
}

/** A certificate the browser does not trust allows no worker; then there is simply no offline shell. */
async function installWorker(): Promise<void> {
  try {
    const had = navigator.serviceWorker.controller !== null;
    navigator.serviceWorker.addEventListener('controllerchange', () => had && reload());
    await navigator.serviceWorker.register('/sw.js');
  } catch {
    console.info('startalk: no offline shell on this address');
  }
}

void start();
