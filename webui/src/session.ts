/** Who is signed in on this page, and the client that belongs to them. */
import { computed, signal } from '@preact/signals';
import * as http from './core/api.ts';
import { Client } from './core/client.ts';
import { openSocket } from './core/socket.ts';
import { Refusal } from './core/types.ts';
import { type Lang, setLang } from './i18n/index.ts';
import { go } from './routes.ts';

export const VERSION = '0.1.0';
const ME = 'startalk.me'; // so that the shell opens without the network

export const me = signal<http.api.Me | null>(null);
export const client = signal<Client | null>(null);
export const node = signal<http.api.NodeInfo | null>(null);
export const boot = signal<'starting' | 'ready' | 'failed'>('starting');
export const isAdmin = computed(() => me.value?.role === 'node_owner' || me.value?.role === 'node_admin');
export const lastError = signal<unknown>(null);

/** The client of a signed-in page; views that need it are only shown when it is there. */
export function here(): Client {
  if (!client.value) throw new Error('no session');
  return client.value;
}

export async function begin(): Promise<void> {
  boot.value = 'starting';
  http.whenSignedOut(() => void end());
  try {
    node.value = await http.node();
    const known = await http
      .me()
      .catch((error) => (error instanceof Refusal && error.code !== 'offline' ? null : Promise.reject(error)));
    if (known) await enter(known);
    else localStorage.removeItem(ME);
    boot.value = 'ready';
  } catch (error) {
    await beginOffline(error);
  }
}

/** No network: the stored chats are still there to read, and new messages wait. */
async function beginOffline(error: unknown): Promise<void> {
  const stored = localStorage.getItem(ME);
  if (stored) await enter(JSON.parse(stored) as http.api.Me);
  else lastError.value = error;
  boot.value = stored ? 'ready' : 'failed';
}

export async function enter(who: http.api.Me): Promise<void> {
  client.value?.close();
  localStorage.setItem(ME, JSON.stringify(who));
  if (who.lang && !localStorage.getItem('startalk.lang')) await setLang(who.lang as Lang);
  me.value = who;
  client.value = await Client.start({ me: who, program: `web ${VERSION}`, open: openSocket(location.origin) });
  const mine = client.value;
  mine.status.subscribe((status) => {
    if (status === 'signed_out') queueMicrotask(() => void end());
  });
}

export function changed(who: http.api.Me): void {
  me.value = who;
  localStorage.setItem(ME, JSON.stringify(who));
}

/** The session is over: forget it on this device. */
export async function end(): Promise<void> {
  const old = client.value;
  const who = me.value;
  if (!old && !who) return;
  client.value = null;
  me.value = null;
  localStorage.removeItem(ME);
  old?.close();
  if (who) globalThis.indexedDB?.deleteDatabase(`startalk:${who.user}:${who.device}`);
  go('/login', true);
}

export async function signOut(): Promise<void> {
  await http.logout().catch(() => undefined);
  await end();
}

/** A name for the device list, from what the browser says about itself. */
export function deviceName(): string {
  const agent = navigator.userAgent;
  const browser = /Edg\//.test(agent)
    ? 'Edge'
    : /Firefox\//.test(agent)
      ? 'Firefox'
      : /Chrome\//.test(agent)
        ? 'Chrome'
        : /Safari\//.test(agent)
          ? 'Safari'
          : 'Web';
  const system = /Android/.test(agent)
    ? 'Android'
    : /iPhone|iPad/.test(agent)
      ? 'iOS'
      : /Windows/.test(agent)
        ? 'Windows'
        : /Mac OS/.test(agent)
          ? 'macOS'
          : /Linux/.test(agent)
            ? 'Linux'
            : '';
  return system ? `${browser} · ${system}` : browser;
}
