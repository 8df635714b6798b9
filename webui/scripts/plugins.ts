/**
 * Vite plugins of the build: the icon set, the list of files the service worker keeps, and compressed siblings.
 *
 * Everything here is a pure function of the sources, so two builds of one commit give the same bytes.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import type { Plugin } from 'vite';

const VIRTUAL = 'virtual:icons';
// the set of the first load, and one that a lazy part brings along
const SETS: Readonly<Record<string, string>> = { [VIRTUAL]: 'names.json', [`${VIRTUAL}/call`]: 'names.call.json' };
const COMPRESSED = /\.(?:html|js|css|json|svg|webmanifest|txt)$/;
const COMPRESS_FROM_BYTES = 1024;

/** `virtual:icons` and its parts: the shapes of the named lucide icons, as data that becomes vnodes. */
export function icons(root: string): Plugin {
  return {
    name: 'startalk-icons',
    resolveId: (id) => (id in SETS ? `\0${id}` : null),
    load(id) {
      const file = id.startsWith('\0') && SETS[id.slice(1)];
      if (!file) return null;
      const names = JSON.parse(readFileSync(join(root, 'src/ui/Icon', file), 'utf8')) as string[];
      const table = Object.fromEntries(names.map((name) => [name, shapes(root, name)]));
      return `export default ${JSON.stringify(table)}`;
    },
  };
}

function shapes(root: string, name: string): [string, Record<string, string>][] {
  const svg = readFileSync(join(root, `node_modules/lucide-static/icons/${name}.svg`), 'utf8');
  const inner = svg.slice(svg.indexOf('>', svg.indexOf('<svg')) + 1, svg.lastIndexOf('</svg>'));
  return [...inner.matchAll(/<(\w+)([^>]*?)\/?>/g)].map(([, tag = '', text = '']) => [
    tag,
    Object.fromEntries([...text.matchAll(/([\w-]+)="([^"]*)"/g)].map(([, key = '', value = '']) => [key, value])),
  ]);
}

const short = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('base64url').slice(0, 22);

/** Writes the precache list into sw.js, build.json, and the .br and .gz siblings. */
export function finish(root: string): Plugin {
  let out = join(root, 'dist');
  return {
    name: 'startalk-finish',
    apply: 'build',
    configResolved(config) {
      out = join(root, config.build.outDir);
    },
    closeBundle() {
      const files = walk(out, '').filter(
        (name) => !/^(?:sw\.js|build\.json|\.vite\/)/.test(name) && !/\.(?:br|gz)$/.test(name),
      );
      const list = files.map((name) => [
        name === 'index.html' ? '/' : `/${name}`,
        short(readFileSync(join(out, name))),
      ]);
      const hash = short(JSON.stringify(list));
      const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
      const worker = join(out, 'sw.js');
      const text = readFileSync(worker, 'utf8').replace(/(["'`])__PRECACHE__\1/, () =>
        JSON.stringify(JSON.stringify({ hash, list })),
      );
      writeFileSync(worker, text);
      writeFileSync(join(out, 'build.json'), `${JSON.stringify({ version, hash })}\n`);
      for (const name of walk(out, '')) compress(join(out, name));
    },
  };
}

function walk(folder: string, prefix: string): string[] {
  return readdirSync(join(folder, prefix), { withFileTypes: true })
    .flatMap((item) => (item.isDirectory() ? walk(folder, `${prefix}${item.name}/`) : [`${prefix}${item.name}`]))
    .sort();
}

function compress(path: string): void {
  if (!COMPRESSED.test(path) || statSync(path).size < COMPRESS_FROM_BYTES) return;
  const data = readFileSync(path);
  writeFileSync(`${path}.br`, brotliCompressSync(data, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
  writeFileSync(`${path}.gz`, gzipSync(data, { level: 9 }));
}
