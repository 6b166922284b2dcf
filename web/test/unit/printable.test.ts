import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printableLines, printableName, printableText } from '../../src/printable';
import { readJSON } from './testdata';

interface Case {
  what: string;
  in: string;
  repeat?: number;
  name: string;
  text: string;
  lines?: string;
}

// The Go programs do the same with the same text: printable/printable_test.go reads this file too.
const cases = readJSON<Case[]>('printable/testdata/cases.json');
assert.ok(cases.length >= 20);

for (const c of cases) {
  test(`shown to a person: ${c.what}`, () => {
    const text = c.in.repeat(c.repeat ?? 1);
    assert.equal(printableName(text), c.name);
    assert.equal(printableText(text), c.text);
    if (c.repeat === undefined) assert.equal(printableLines(text), c.lines);
  });
}

test('half of a surrogate pair, which JSON can spell, is not shown', () => {
  assert.equal(printableText(JSON.parse('"a\\ud83db"') as string), 'a?b');
});
