import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Attention, longEnough } from '../../src/ui/attention';

test('an answer counts only after the question has been visible long enough', () => {
  const a = new Attention();
  assert.equal(a.enough(1e9), false, 'nothing was asked');
  a.restart(true, 1000);
  assert.equal(a.enough(1000), false);
  assert.equal(a.enough(1000 + longEnough - 1), false);
  assert.equal(a.enough(1000 + longEnough), true);
});

test('the wait starts again with another question or back in front, and stops behind another window', () => {
  const a = new Attention();
  a.restart(true, 0);
  a.restart(true, 600);
  assert.equal(a.enough(longEnough), false, 'of the question before');
  a.restart(false, 700);
  assert.equal(a.enough(100_000), false, 'nobody sees it');
  a.restart(true, 100_000);
  assert.equal(a.enough(100_000 + longEnough - 1), false);
  assert.equal(a.enough(100_000 + longEnough), true);
});
