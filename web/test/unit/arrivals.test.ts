import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Arrivals, type Message } from '../../src/arrivals';
import { concat, random, u8 } from '../../src/bytes';
import { EnvelopeError, hasSize, isForeign } from '../../src/envelope';

const message = (body: Uint8Array<ArrayBuffer>): Message => ({ body, reject: () => assert.fail('rejected') });
const record = (n: number): Message => message(concat(u8(1), random(n - 1)));

test('a copy of what has opened is known, and nothing else', async () => {
  const a = new Arrivals();
  const [one, two] = [record(100), record(100)];
  await a.opened(one);
  assert.ok(await a.again(message(one.body.slice())));
  assert.ok(!(await a.again(two)));
});

test('what may follow an answer is held until there is one, in order', () => {
  const a = new Arrivals();
  const [one, two] = [record(25), record(4096)];
  assert.ok(a.hold(one));
  assert.ok(a.hold(two));
  const piece = message(concat(u8(2), random(32_020)));
  assert.ok(a.hold(piece));
  assert.deepEqual(a.release(), [one, two, piece]);
  assert.deepEqual(a.release(), []);
});

test('what no record can be is not held, nor more than a session has', () => {
  const a = new Arrivals();
  for (const [name, m] of Object.entries({
    'too short': record(24), 'too long': record(4097), 'of another version': message(concat(u8(3), random(99))), 'of an envelope’s size': record(1657), empty: message(new Uint8Array(0)),
  })) assert.ok(!a.hold(m), name);
  for (let n = 0; n < 64; n++) assert.ok(a.hold(record(100)), String(n));
  assert.ok(!a.hold(record(100)), 'one too many');
});

test('only what was not sealed by the other end is foreign', () => {
  for (const fault of ['not for us', 'version'] as const) assert.ok(isForeign(new EnvelopeError(fault)), fault);
  for (const fault of ['expired', 'size', 'type'] as const) assert.ok(!isForeign(new EnvelopeError(fault)), fault);
  assert.ok(!isForeign(new Error('not for us')));
  assert.deepEqual([1656, 1657, 3193, 9337, 33913, 33914].map(hasSize), [false, true, true, true, true, false]);
});
