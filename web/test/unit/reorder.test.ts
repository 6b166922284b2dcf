import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Reorder, type Ordered } from '../../src/media/reorder';

/**
 * Pushes frames such as "k0 d1 d3-5@100": kind, counter (first and last, for a large picture) and time. Returns the
 * counters released at each step.
 */
function run(steps: string, r = new Reorder<Ordered>(250, 8)): string {
  return steps
    .split(' ')
    .map((s) => {
      const m = /^([kd])(\d+)(?:-(\d+))?(?:@(\d+))?$/.exec(s)!;
      const frame = { first: BigInt(m[2]!), ctr: BigInt(m[3] ?? m[2]!), keyframe: m[1] === 'k' };
      return r
        .push(frame, Number(m[4] ?? 0))
        .map((f) => f.ctr)
        .join('+');
    })
    .join(' ');
}

const rows: { name: string; steps: string; want: string }[] = [
  { name: 'in order', steps: 'k0 d1 d2 k3', want: '0 1 2 3' },
  { name: 'begins at a keyframe', steps: 'd4 d5 k6 d7', want: '  6 7' },
  { name: 'overtaken frames wait', steps: 'k0 d2 d3 d1 d4', want: '0   1+2+3 4' },
  {
    name: 'a lost frame is given up, then a keyframe is needed',
    steps: 'k0 d2@10 d3@261 d4@300 k5@400 d6@410',
    want: '0    5 6',
  },
  { name: 'a lost frame is given up for a keyframe that waits', steps: 'k0 d2@10 k3@20 d4@261', want: '0   3+4' },
  { name: 'too many wait', steps: 'k0 d2 d3 d4 d5 d6 d7 d8 d9 d10 k11', want: '0          11' },
  { name: 'what overtakes a keyframe waits for it', steps: 'd4 d6 d7 k5@100 d8@110', want: '   5+6+7 8' },
  {
    name: 'what overtakes a keyframe waits for it after a lost frame too',
    steps: 'k0 d2@10 d3@261 d5@300 d6@340 k4@400 d7@410',
    want: '0     4+5+6 7',
  },
  {
    name: 'nothing waits for a keyframe for longer than for another frame',
    steps: 'd6 d7@251 k5@260 d8@270 d9@502 k10@510',
    want: '  5   10',
  },
  { name: 'too many wait for a keyframe', steps: 'd2 d3 d4 d5 d6 d7 d8 d9 d10 k1 d11 k12', want: '         1  12' },
  { name: 'too late', steps: 'k0 k2@10 d3@300 d1@301 d4@302', want: '0  2+3  4' },
  {
    name: 'a keyframe that was held back does not take the picture back',
    steps: 'k0 k3@10 d4@261 d6@270 d7@600 k1@610 k8@620',
    want: '0  3+4    8',
  },
  { name: 'a large picture has several counters', steps: 'k0-3 d5 d4 k6-8 d9', want: '3  4+5 8 9' },
  { name: 'what overtakes a large picture waits for it', steps: 'k0 d5 d1-4 d6', want: '0  4+5 6' },
  { name: 'twice', steps: 'k0 k0 d1 d1', want: '0  1 ' },
];

for (const { name, steps, want } of rows) {
  test(`reorder: ${name}`, () => assert.equal(run(steps), want));
}

test('a decoder starves until a keyframe, and again after a reset', () => {
  const r = new Reorder<Ordered>();
  assert.equal(r.starved, true);
  run('d0 k1', r);
  assert.equal(r.starved, false);
  assert.equal(r.passed, 1n);
  r.reset();
  assert.equal(r.starved, true);
  assert.equal(run('d2 k3', r), ' 3');
});

test('a frame that was lost twice over a long line is waited for', () => {
  assert.equal(run('k0 d2@10 d3@700 d1@900 d4@910', new Reorder<Ordered>()), '0   1+2+3 4');
});
