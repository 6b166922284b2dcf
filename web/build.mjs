// Builds with a pinned esbuild, so that the same sources give the same bytes.
//   node build.mjs dist   what the relay serves, into dist/ (committed; `make check` rebuilds it and compares)
//   node build.mjs test   the unit tests and the vector writer for node, into .build/
import { build } from 'esbuild';
import { copyFileSync, mkdirSync, readdirSync, rmSync } from 'node:fs';

const common = {
  bundle: true,
  format: 'esm',
  target: 'es2022',
  legalComments: 'none',
  logLevel: 'warning',
  loader: { '.txt': 'text' },
};

async function dist() {
  rmSync('dist', { recursive: true, force: true });
  mkdirSync('dist');

  await build({
    ...common,
    entryPoints: { app: 'src/ui/app.ts', worker: 'src/media/worker.ts' },
    outdir: 'dist',
    platform: 'browser',
    minify: true,
  });

  for (const f of readdirSync('static')) copyFileSync(`static/${f}`, `dist/${f}`);
}

async function test() {
  rmSync('.build', { recursive: true, force: true });
  const tests = readdirSync('test/unit')
    .filter((f) => f.endsWith('.test.ts'))
    .map((f) => `test/unit/${f}`);

  const node = {
    ...common,
    platform: 'node',
    outExtension: { '.js': '.mjs' },
    inject: ['test/unit/webcrypto.ts'],
    external: ['happy-dom'],
  };

  await build({ ...node, entryPoints: tests, outdir: '.build/test' });
  await build({ ...node, entryPoints: ['test/unit/vectors.ts'], outdir: '.build' });
}

await { dist, test }[process.argv[2]]();
