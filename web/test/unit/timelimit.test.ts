import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { afterOwnTime } from '../../src/timelimit';

/** A page whose clock and timers the test sets. */
function page(t: TestContext): { on(ms: number): void; blocked(ms: number): void } {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let now = 0;
  t.mock.method(performance, 'now', () => now);

  const step = (clock: number, timers: number): void => {
    now += clock;
    t.mock.timers.tick(timers);
  };

  return {
    on: (ms) => {
      for (let at = 0; at < ms; at += 50) step(50, 50);
    },
    blocked: (ms) => step(ms, 250), // then one timer fires, and others only when due again
  };
}

test('a time limit fires when its time has passed', (t) => {
  const p = page(t);
  let passed = 0;
  afterOwnTime(10_000, () => passed++);
  p.on(9_700);
  assert.equal(passed, 0);
  p.on(600);
  assert.equal(passed, 1);
  p.on(20_000);
  assert.equal(passed, 1);
});

test('time in which the page cannot run does not count as silence', (t) => {
  const p = page(t);
  let passed = 0;
  afterOwnTime(10_000, () => passed++);
  p.blocked(60_000);
  p.on(9_500);
  assert.equal(passed, 0, 'after a minute without a processor');
  p.blocked(60_000);
  assert.equal(passed, 0, 'with what came meanwhile unread');
  p.on(300);
  assert.equal(passed, 1);
});

test('a page that is always too busy does not wait for ever', (t) => {
  const p = page(t);
  let passed = 0;
  afterOwnTime(10_000, () => passed++);
  for (let n = 0; n < 40; n++) p.blocked(600);
  p.on(250);
  assert.equal(passed, 1);
});

test('a cancelled time limit does not fire', (t) => {
  const p = page(t);
  afterOwnTime(10_000, () => assert.fail('called off'))();
  p.on(20_000);
});
