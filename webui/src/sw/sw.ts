/**
 * The offline shell: keeps one whole build, each file checked by its hash, and answers navigations without network.
 * Nothing of the API is kept here; messages live in IndexedDB.
 */
interface Precache {
  hash: string;
  list: [path: string, hash: string][];
}

const worker = self as unknown as {
  addEventListener(type: string, listener: (event: never) => void): void;
  skipWaiting(): Promise<void>;
  clients: { claim(): Promise<void> };
  location: Location;
};
const build = JSON.parse('__PRECACHE__') as Precache;
const NAME = `startalk-${build.hash}`;
const kept = new Set(build.list.map(([path]) => path));
const HASH_CHARS = 22;

async function digest(data: ArrayBuffer): Promise<string> {
  const bytes = new Uint8Array(await crypto.subtle.digest('SHA-256', data));
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll('+', '-').replaceAll('/', '_').slice(0, HASH_CHARS);
}

async function keep(cache: Cache, path: string, hash: string): Promise<void> {
  const answer = await fetch(path, { cache: 'no-cache', headers: { accept: 'text/html,*/*' } });
  if (!answer.ok || (await digest(await answer.clone().arrayBuffer())) !== hash)
    throw new Error(`not this build: ${path}`);
  await cache.put(path, answer);
}

worker.addEventListener('install', (event: ExtendableLike) => {
  event.waitUntil(
    caches
      .open(NAME)
      .then((cache) => Promise.all(build.list.map(([path, hash]) => keep(cache, path, hash))))
      .then(() => worker.skipWaiting()),
  );
});

worker.addEventListener('activate', (event: ExtendableLike) => {
  const tidy = async () => {
    const names = (await caches.keys()).filter((name) => name.startsWith('startalk-') && name !== NAME);
    for (const old of names.slice(0, -1)) await caches.delete(old); // the last build stays for tabs that still run it
    await worker.clients.claim();
  };
  event.waitUntil(tidy());
});

worker.addEventListener('fetch', (event: FetchLike) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== worker.location.origin) return;
  if (request.mode === 'navigate' && !url.pathname.startsWith('/api/') && !url.pathname.startsWith('/health')) {
    event.respondWith(
      fetch(request).catch(async () => (await caches.match('/', { cacheName: NAME })) ?? Response.error()),
    );
  } else if (url.pathname.startsWith('/assets/') || kept.has(url.pathname)) {
    event.respondWith(caches.match(request).then((found) => found ?? fetch(request)));
  }
});

interface ExtendableLike {
  waitUntil(work: Promise<unknown>): void;
}
interface FetchLike {
  request: Request;
  respondWith(answer: Promise<Response>): void;
}
