// Builds with a pinned esbuild, so that the same sources give the same bytes.
//   node build.mjs dist   what the relay serves, into dist/ (committed; `make check` rebuilds it and compares)
//   node build.mjs test   the unit tests and the vector writer for node, into .build/
import { build } from 'esbuild';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';

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

// A unit test that matches sets hooks, replaces something that all code of its process sees, or waits. It runs in a
// process of its own; the others share one, since starting a process takes longer than most of them.
const changes = /\bmock\.|\b(before|after)(Each)?\(|\b(globalThis|defineProperty|setTimeout)\b/;
const importsChanges = /'\.\/(dom|openedpage|fakeclocks|relaysession|relaysocket|fakerelay)'/;
const changesItsProcess = (text) => changes.test(text) || importsChanges.test(text);

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

  const alone = tests.filter((f) => changesItsProcess(readFileSync(f, 'utf8')));
  const together = tests.filter((f) => !alone.includes(f)).map((f) => `import './${f}';`);
  await build({ ...node, entryPoints: alone, outdir: '.build/test' });
  const stdin = { contents: together.join('\n'), resolveDir: '.' };
  await build({ ...node, stdin, outfile: '.build/test/together.test.mjs', outExtension: undefined });
  await build({ ...node, entryPoints: ['test/unit/vectors.ts'], outdir: '.build' });
}

await { dist, test }[process.argv[2]]();
