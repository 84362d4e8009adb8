import { gzipSync } from 'node:zlib';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { defineConfig, type Plugin } from 'vite';

/** Stores each text asset compressed too, so that the server needs no compressor. */
function packed(): Plugin {
  let folder = '';
  return {
    name: 'packed',
    apply: 'build',
    configResolved(config) {
      folder = resolve(config.root, config.build.outDir);
    },
    closeBundle() {
      for (const name of ['index.html', ...readdirSync(join(folder, 'assets')).map((file) => `assets/${file}`)]) {
        if (/\.(js|css|html)$/.test(name)) writeFileSync(join(folder, `${name}.gz`), gzipSync(readFileSync(join(folder, name)), { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  base: '/',
  plugins: [packed()],
  // The policy of the page allows no code from elsewhere and none inline; what is small is a file all the same.
  build: { outDir: 'dist', emptyOutDir: true, target: 'es2022', assetsInlineLimit: 0, modulePreload: { polyfill: false }, reportCompressedSize: true },
  worker: { format: 'es' },
  server: { proxy: { '/api': 'http://127.0.0.1:8787', '/comfyui': 'http://127.0.0.1:8787', '/workflow': 'http://127.0.0.1:8787' } },
});
