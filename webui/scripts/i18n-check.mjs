/** Both languages have the same keys with the same placeholders; every key is used and every used key exists. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../src/', import.meta.url));
const TABLES = ['', 'call.']; // of the first load, and of parts that come later
const read = (name) => Object.entries(JSON.parse(readFileSync(join(root, `i18n/${name}.json`), 'utf8')));
const load = (lang) => Object.fromEntries(TABLES.flatMap((table) => read(`${table}${lang}`)));
const en = load('en');
const zh = load('zh');
const problems = [];
const holes = (text) => [...new Set([...text.matchAll(/\{(\w+)/g)].map((found) => found[1]))].sort().join();

for (const key of Object.keys(en)) {
  if (!(key in zh)) problems.push(`zh.json lacks ${key}`);
  else if (holes(en[key]) !== holes(zh[key])) problems.push(`placeholders differ: ${key}`);
}
for (const key of Object.keys(zh)) if (!(key in en)) problems.push(`en.json lacks ${key}`);

const walk = (folder) =>
  readdirSync(folder, { withFileTypes: true }).flatMap((item) =>
    item.isDirectory()
      ? walk(join(folder, item.name))
      : /\.tsx?$/.test(item.name)
        ? [readFileSync(join(folder, item.name), 'utf8')]
        : [],
  );
const code = walk(root).join('\n');
const literal = new Set([...code.matchAll(/['"`]([a-z][\w]*(?:\.[\w]+)+)['"`]/g)].map((found) => found[1]));
const prefixes = [...code.matchAll(/`([a-z][\w]*(?:\.[\w]+)*\.)\$\{/g)].map((found) => found[1]);
for (const key of Object.keys(en)) {
  if (!literal.has(key) && !prefixes.some((prefix) => key.startsWith(prefix))) problems.push(`unused: ${key}`);
}
for (const problem of problems) console.error(problem);
console.log(`${Object.keys(en).length} keys, ${problems.length} problems`);
process.exitCode = problems.length ? 1 : 0;
