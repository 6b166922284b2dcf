import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Inbox, type Message } from '../../src/session/inbox';
import { concat, random, u8 } from '../../src/bytes';
import { EnvelopeError, hasSize, isForeign } from '../../src/crypto/envelope';

const message = (body: Uint8Array<ArrayBuffer>): Message => ({ body, reject: () => assert.fail('rejected') });
const record = (n: number): Message => message(concat(u8(3), random(n - 1)));

test('only a copy of an opened message is recognized', async () => {
  const a = new Inbox();
  const [one, two] = [record(100), record(100)];
  await a.remember(one);
  assert.ok(await a.isCopy(message(one.body.slice())));
  assert.ok(!(await a.isCopy(two)));
});

test('messages that may follow an answer are held in order until there is one', () => {
  const a = new Inbox();
  const [one, two] = [record(25), record(4096)];
  assert.ok(a.hold(one));
  assert.ok(a.hold(two));
  const piece = message(concat(u8(2), random(32_020)));
  assert.ok(a.hold(piece));
  assert.deepEqual(a.release(), [one, two, piece]);
  assert.deepEqual(a.release(), []);
});

test('only possible records are held, and no more than a session has', () => {
  const a = new Inbox();
  for (const [name, m] of Object.entries({
    'too short': record(24),
    'too long': record(4097),
    'of another version': message(concat(u8(1), random(99))),
    'an envelope': message(concat(u8(1), random(1656))),
    empty: message(new Uint8Array(0)),
  })) {
    assert.ok(!a.hold(m), name);
  }

  for (let n = 0; n < 64; n++) {
    const m = record(100);
    for (let copy = 0; copy < 3; copy++) assert.ok(a.hold(message(m.body.slice())), `${n}, copy ${copy}`);
  }

  assert.ok(!a.hold(record(100)), 'one too many');
  assert.equal(a.release().length, 64);
});

test('an envelope is foreign only if the other end did not seal it', () => {
  for (const fault of ['not for us', 'version'] as const) assert.ok(isForeign(new EnvelopeError(fault)), fault);
  for (const fault of ['expired', 'life', 'size', 'type'] as const) {
    assert.ok(!isForeign(new EnvelopeError(fault)), fault);
  }
  assert.ok(!isForeign(new Error('not for us')));
  assert.deepEqual([1656, 1657, 3193, 9337, 33913, 33914].map(hasSize), [false, true, true, true, true, false]);
});
