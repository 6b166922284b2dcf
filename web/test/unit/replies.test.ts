import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bytes } from '../../src/bytes';
import { EnvelopeError, type EnvelopeFault } from '../../src/crypto/envelope';
import { viewer } from '../../src/crypto/identity';
import { Replies, attemptsAtOnce } from '../../src/session/replies';
import { mailboxOf, pairOf, type EnvelopeVectors } from './envelopevectors';
import { hex, readJSON } from './testdata';

const v = readJSON<EnvelopeVectors>('crypto/envelope/testdata/vectors.json').cases.find((c) => c.name === 'answer')!;
const spoiled = (b: Bytes, at: number): Bytes => b.map((x, i) => (i === at ? x ^ 1 : x));
const wire = hex(v.wire);
const copied = spoiled(wire, wire.length - 1);

test('envelopes with the tag of an answer are tried at a bounded rate, and others cost nothing', async () => {
  let counted = 0;
  const replies = new Replies(
    await pairOf(v, viewer),
    await mailboxOf(v, v.mailbox),
    () => v.now_ms,
    () => counted,
  );

  const fault = async (body: Bytes): Promise<EnvelopeFault | undefined> =>
    replies.open(body).then(
      () => undefined,
      (e: unknown) => (e instanceof EnvelopeError ? e.fault : assert.fail(String(e))),
    );

  for (let n = 0; n < 3 * attemptsAtOnce; n++) assert.equal(await fault(spoiled(wire, 1)), 'not for us');
  const faults = [];
  for (let n = 0; n < 2 * attemptsAtOnce; n++) faults.push(await fault(copied));
  assert.equal(faults.filter((f) => f === 'not for us').length, attemptsAtOnce);
  assert.equal(faults.filter((f) => f === 'too many').length, attemptsAtOnce);
  assert.equal(await fault(wire), 'too many');
  counted += 1_000;
  assert.equal(await fault(wire), undefined, 'the camera’s own, a second later');
});

test('a welcome is accepted whatever its date', async () => {
  const replies = new Replies(await pairOf(v, viewer), await mailboxOf(v, v.mailbox), () => -Infinity);
  assert.equal((await replies.open(wire)).sent, v.message.sent_ms);
});
