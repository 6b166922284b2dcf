import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex } from '../../src/bytes';
import { Freshness, liveFor } from '../../src/freshness';

test('a frame is live for five seconds after its challenge was issued', () => {
  const fresh = new Freshness();
  const challenge = fresh.issue(1000);
  assert.equal(challenge.length, 8);
  assert.equal(liveFor, 5000);
  for (const [now, live] of [[1000, true], [6000, true], [6000.5, false], [1000, true]] as const)
    assert.equal(fresh.live(toHex(challenge), now), live, `at ${now}`);
});

test('a challenge that was not issued here is never live', () => {
  const fresh = new Freshness();
  fresh.issue(0);
  for (const foreign of [toHex(new Freshness().issue(0)), '0000000000000000', '']) assert.equal(fresh.live(foreign, 0), false);
});

test('the last 64 challenges are known', () => {
  const fresh = new Freshness();
  const issued = Array.from({ length: 70 }, () => toHex(fresh.issue(0)));
  assert.equal(new Set(issued).size, 70);
  assert.deepEqual(issued.map((c) => fresh.live(c, 0)), issued.map((_, i) => i >= 6));
});
