import assert from 'node:assert/strict';
import { test } from 'node:test';
import { layoutFaults, readTexts, wideLines } from '../../check.mjs';

const sound = {
  'bytes.ts': 'export const none = 0;\n',
  'crypto/label.ts': "import { none } from '../bytes';\nimport list from '../../../crypto/words/words.txt';\n",
  'crypto/hpke.ts': "import { hash } from './label';\nimport { seal } from 'hpke';\n",
  'signaling/client.ts': "import type { Hash } from '../crypto/label';\n",
  'session/session.ts':
    "import {\n  open,\n  close,\n} from '../signaling/client';\nimport { draw } from '../media/decoder';\n",
  'media/decoder.ts': "import { none } from '../bytes';\n",
};

const faultsOf = (planted: Record<string, string>): string[] =>
  layoutFaults(new Map(Object.entries({ ...sound, ...planted })));

test('a sound layout has no fault', () => assert.deepEqual(faultsOf({}), []));

test('the page has no fault', () => assert.deepEqual(layoutFaults(readTexts('src')), []));

for (const [name, planted, fault] of [
  [
    'an import against the floors',
    { 'crypto/label.ts': "import { dial } from '../signaling/client';\n" },
    /crypto\/label\.ts imports src\/signaling\/client\.ts, against/,
  ],
  [
    'an import of a type against the floors',
    { 'signaling/client.ts': "import type { Session } from '../session/session';\n" },
    /signaling\/client\.ts imports src\/session\/session\.ts, against/,
  ],
  [
    'an export against the floors',
    { 'media/decoder.ts': "export { open } from '../session/session';\n" },
    /media\/decoder\.ts imports src\/session\/session\.ts, against/,
  ],
  [
    'an import of many lines against the floors',
    { 'media/decoder.ts': "import {\n  one,\n  two,\n} from '../session/session';\n" },
    /media\/decoder\.ts imports src\/session\/session\.ts, against/,
  ],
  [
    'an import across',
    { 'media/decoder.ts': "import { open } from '../signaling/client';\n" },
    /media\/decoder\.ts imports src\/signaling\/client\.ts, against/,
  ],
  [
    'a leaf that imports',
    { 'bytes.ts': "import { hash } from './crypto/label';\n" },
    /src\/bytes\.ts imports .*, against/,
  ],
  [
    'a circle',
    { 'crypto/label.ts': "import { seal } from './hpke';\n" },
    /a circle of imports: crypto\/label\.ts → crypto\/hpke\.ts → crypto\/label\.ts/,
  ],
  ['a circle of one', { 'bytes.ts': "import { none } from './bytes';\n" }, /bytes\.ts → bytes\.ts/],
  ['a folder that nobody knows', { 'util/all.ts': '' }, /util\/all\.ts lies in a folder/],
  [
    'a module that is not there',
    { 'ui/app.ts': "import { x } from './gone';\n" },
    /imports src\/ui\/gone\.ts, which is not/,
  ],
] as const) {
  test(`${name} is a fault`, () => assert.match(faultsOf(planted).join('\n'), fault));
}

test('a line of more than 120 columns is a fault, and a tab counts four', () => {
  const fits = 'x'.repeat(120);
  assert.deepEqual(wideLines('src/a.ts', `${fits}\n\t${'x'.repeat(116)}\n${'é'.repeat(120)}\n`), []);
  assert.deepEqual(wideLines('src/a.ts', `\n${fits}x\n\t${'x'.repeat(117)}\n`), [
    'src/a.ts:2: 121 columns, at most 120',
    'src/a.ts:3: 121 columns, at most 120',
  ]);
});
