import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TokenBucket } from '../../src/tokenbucket';

test('a token bucket allows a burst, and then a rate', () => {
  let now = 0;
  const a = new TokenBucket(16, 2, () => now);
  const taken = (tries: number): number => Array.from({ length: tries }, () => a.takeToken()).filter(Boolean).length;
  assert.equal(taken(1000), 16);
  now += 1000;
  assert.equal(taken(1000), 2);
  now += 400;
  assert.equal(taken(1000), 0);
  now += 100;
  assert.equal(taken(1000), 1);
  now += 3_600_000;
  assert.equal(taken(1000), 16, 'nothing is saved up beyond that');
});
