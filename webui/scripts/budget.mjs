/** Fails when what the first visit loads is larger than webui.md section 9 allows (gzip bytes). */
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const LIMITS = { js: 90_000, css: 15_000, lazy: 80_000 };
const dist = new URL('../dist/', import.meta.url);
const manifest = JSON.parse(readFileSync(new URL('.vite/manifest.json', dist), 'utf8'));
const size = (file) => gzipSync(readFileSync(new URL(file, dist)), { level: 9 }).length;

const first = { js: new Set(), css: new Set() };
function visit(key) {
  const chunk = manifest[key];
  if (first.js.has(chunk.file)) return;
  first.js.add(chunk.file);
  for (const file of chunk.css ?? []) first.css.add(file);
  for (const next of chunk.imports ?? []) visit(next);
}
visit('index.html');

let failed = false;
const report = (what, bytes, limit) => {
  failed ||= bytes > limit;
  console.log(`${bytes > limit ? 'OVER' : 'ok  '} ${what}: ${bytes} of ${limit} bytes`);
};
const sum = (files) => [...files].reduce((total, file) => total + size(file), 0);
report('initial JS', sum(first.js), LIMITS.js);
report('initial CSS', sum(first.css), LIMITS.css);
for (const chunk of Object.values(manifest)) {
  if (chunk.file.endsWith('.js') && !first.js.has(chunk.file))
    report(`lazy ${chunk.file}`, size(chunk.file), LIMITS.lazy);
}
process.exitCode = failed ? 1 : 0;
