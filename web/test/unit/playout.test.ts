import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Moment } from '../../src/clocks';
import { Playout } from '../../src/media/playout';

const at = (now: number): Moment => ({ now, wall: now });
const told = (): Playout => new Playout(() => assert.fail('the browser tells timestamps'));

test('the picture on the screen decides, and not what waits behind it', () => {
  const p = told();
  assert.equal(p.issued, undefined, 'nothing is shown');
  for (const n of [1, 2, 3]) p.give(n, at(n));
  assert.equal(p.issued, undefined, 'nothing is shown yet');
  p.show(1);
  assert.deepEqual(p.issued, at(1));
  p.show(3); // the browser has skipped one
  assert.deepEqual(p.issued, at(3));
});

test('timestamps wrap around', () => {
  const p = told();
  p.give(0xffff_ff00, at(1));
  p.give(0x100, at(2));
  p.show(0xffff_ff00);
  assert.deepEqual(p.issued, at(1));
  p.show(0x100);
  assert.deepEqual(p.issued, at(2));
});

test('until the worker’s message arrives, a picture is live no longer than the one before', () => {
  const p = told();
  p.give(1, at(1));
  p.show(1);
  p.show(2);
  assert.deepEqual(p.issued, at(1));
  p.show(3);
  assert.deepEqual(p.issued, at(1));
  p.give(2, at(2));
  assert.deepEqual(p.issued, at(1));
  p.give(3, at(3));
  assert.deepEqual(p.issued, at(3));
});

test('nothing is live while a picture without a challenge is on its way to the screen', () => {
  const p = told();
  p.give(1, at(1));
  p.show(1);
  p.give(2, undefined);
  p.give(3, at(3));
  assert.equal(p.issued, undefined, 'it may be on the screen already');
  p.show(2);
  assert.equal(p.issued, undefined);
  p.show(3);
  assert.deepEqual(p.issued, at(3));
});

test('what a browser never shows is forgotten at the limit', () => {
  const p = new Playout(() => undefined, 2);
  for (const n of [1, 2, 3]) p.give(n, at(n));
  p.show(1);
  assert.equal(p.issued, undefined);
  p.show(2);
  assert.deepEqual(p.issued, at(2));
});

test('a browser that reports no timestamps is noticed', () => {
  let untold = 0;
  const p = new Playout(() => untold++);
  p.give(undefined, at(1));
  p.show(undefined);
  assert.deepEqual([untold, p.issued], [2, undefined]);
});
