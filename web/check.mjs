// Checks what the compiler does not: that no import runs against the floors of src/, that imports make no circle, and
// that lines are at most 120 columns wide. `npm run check` runs it.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const maxColumns = 120;
const tabColumns = 4;

/**
 * What each folder of src/ may import beside itself. The leaves lie in src/ itself and import each other alone.
 * @type {Record<string, string[]>}
 */
const below = {
  '': [],
  crypto: [''],
  signaling: ['', 'crypto'],
  media: ['', 'crypto'],
  session: ['', 'crypto', 'signaling', 'media'],
  viewer: ['', 'crypto', 'signaling', 'session'],
  ui: ['', 'crypto', 'signaling', 'media', 'session', 'viewer'],
};

/**
 * Lists the modules of src/ that a module imports, types among them.
 * @param {string} path
 * @param {string} text
 * @returns {string[]}
 */
function importsOf(path, text) {
  const named = [...text.matchAll(/^(?:import|export)\b[^;']*'(\.[^']+)';/gm)].map((m) => m[1] ?? '');
  return named.filter((name) => !name.endsWith('.txt')).map((name) => `${join(dirname(path), name)}.ts`);
}

/** @param {string} path */
const folderOf = (path) => (path.includes('/') ? path.slice(0, path.indexOf('/')) : '');

/**
 * Finds the imports that run against the floors, and the circles.
 * @param {Map<string, string>} sources the text of each module, by its path in src/
 * @returns {string[]}
 */
export function layoutFaults(sources) {
  const faults = [];
  const imports = new Map([...sources].map(([path, text]) => [path, importsOf(path, text)]));
  for (const [path, names] of imports) {
    const own = folderOf(path);
    const allowed = below[own];
    if (allowed === undefined) {
      faults.push(`src/${path} lies in a folder that check.mjs does not know`);
      continue;
    }

    for (const name of names) {
      if (!imports.has(name)) faults.push(`src/${path} imports src/${name}, which is not there`);
      else if (folderOf(name) !== own && !allowed.includes(folderOf(name))) {
        faults.push(`src/${path} imports src/${name}, against the floors`);
      }
    }
  }

  return [...faults, ...circles(imports)];
}

/**
 * Finds circles by a depth-first search: an import of a module that is on the way to it closes one.
 * @param {Map<string, string[]>} imports
 * @returns {string[]}
 */
function circles(imports) {
  /** @type {string[]} */
  const found = [];
  const done = new Set();

  /** @type {string[]} */
  const way = [];
  /** @param {string} path */
  const visit = (path) => {
    const at = way.indexOf(path);
    if (at >= 0) found.push(`a circle of imports: ${[...way.slice(at), path].join(' → ')}`);
    if (at >= 0 || done.has(path)) return;

    way.push(path);
    for (const name of imports.get(path) ?? []) visit(name);
    way.pop();
    done.add(path);
  };

  for (const path of imports.keys()) visit(path);
  return found;
}

/**
 * Finds the lines that are too wide.
 * @param {string} path
 * @param {string} text
 * @returns {string[]}
 */
export function wideLines(path, text) {
  return text.split('\n').flatMap((line, i) => {
    const columns = [...line.replaceAll('\t', ' '.repeat(tabColumns))].length;
    return columns > maxColumns ? [`${path}:${i + 1}: ${columns} columns, at most ${maxColumns}`] : [];
  });
}

/**
 * Reads the scripts, documents and styles below a folder, by their paths in it.
 * @param {string} folder
 */
export function readTexts(folder) {
  const names = readdirSync(folder, { recursive: true }).map(String).sort();
  const texts = names.filter((name) => /\.(ts|mjs|html|css)$/.test(name));
  return new Map(texts.map((name) => [name, readFileSync(join(folder, name), 'utf8')]));
}

function main() {
  const faults = layoutFaults(readTexts('src'));
  for (const folder of ['src', 'test', 'static']) {
    for (const [name, text] of readTexts(folder)) faults.push(...wideLines(join(folder, name), text));
  }

  for (const name of ['build.mjs', 'check.mjs']) faults.push(...wideLines(name, readFileSync(name, 'utf8')));

  for (const fault of faults) console.error(fault);
  if (faults.length > 0) process.exitCode = 1;
}

if (process.argv[1]?.endsWith('/check.mjs')) main();
