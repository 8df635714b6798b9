import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { finish, icons } from './scripts/plugins.ts';

const root = fileURLToPath(new URL('.', import.meta.url));
const node = process.env.STARTALK_NODE ?? 'http://127.0.0.1:8080';
const proxy = { target: node, headers: { origin: node } };

export default defineConfig({
  base: '/',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  plugins: [icons(root), finish(root)],
  server: { proxy: { '/api': proxy, '/health': proxy, '/c2s': { ...proxy, ws: true } } },
  build: {
    target: 'es2022',
    manifest: true,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 250,
    rollupOptions: {
      input: { main: `${root}index.html`, sw: `${root}src/sw/sw.ts` },
      output: { entryFileNames: (chunk) => (chunk.name === 'sw' ? 'sw.js' : 'assets/[name]-[hash].js') },
    },
  },
  test: {
    environment: 'happy-dom',
    testTimeout: 30_000,
    include: ['test/**/*.test.{ts,tsx}', 'src/**/*.test.{ts,tsx}'],
    setupFiles: ['test/setup.ts'],
  },
});
