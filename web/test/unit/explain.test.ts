import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { End, Explain } from '../../src/session/explain';
import { conclude } from '../../src/session/summary';
import { readJSON } from './testdata';

// The cases of the Go test, session/path/explain_test.go.

interface Case {
  name: string;
  explain: Omit<Partial<Explain>, 'own' | 'other'> & { own?: Partial<End>; other?: Partial<End> };
  sentence: string;
  why_not: [string, string][];
}

const { end, cases } = readJSON<{ end: End; cases: Case[] }>('session/path/testdata/explain.json');
const blank = {
  sentence: '',
  role: 'viewer',
  relay_only: false,
  camera_relay_only: false,
  age_ms: 0,
  selected: null,
  rungs: [],
  why_not: [],
} as const;
const noChecks = {
  pairs: 0,
  sent: 0,
  received: 0,
  answered: 0,
  succeeded: 0,
  rtt_ms: 0,
};

test('every record gets the sentence and the reasons that Go gives it', () => {
  const reasons = new Set<string>();
  for (const c of cases) {
    const checks = (c.explain.checks ?? []).map((x) => ({ ...noChecks, ...x }));
    const e = conclude({
      ...blank,
      ...c.explain,
      rungs: [],
      why_not: [],
      checks,
      own: { ...end, ...c.explain.own },
      other: { ...end, ...c.explain.other },
    });

    assert.equal(e.sentence, c.sentence, c.name);

    assert.deepEqual(
      e.why_not.map((m) => [m.rung, m.reason]),
      c.why_not,
      c.name,
    );

    for (const m of e.why_not) reasons.add(m.reason);
  }

  assert.equal(reasons.size, 11, `the cases name ${[...reasons].join(', ')}`);
});

test('a camera that hides its address is named, and nothing direct was tried', () => {
  const e = conclude({
    ...blank,
    rungs: [],
    why_not: [],
    checks: [],
    own: end,
    other: end,
    camera_relay_only: true,
    selected: {
      rung: 'relay-udp',
      own: 'relay4',
      other: 'relay4',
      through: '',
      rtt_ms: 0,
    },
  });

  assert.equal(e.sentence, 'relayed: the camera hides its address');

  assert.deepEqual(
    e.why_not.map((m) => m.reason),
    ['relay_only', 'relay_only', 'relay_only'],
  );
});
