import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agree, type Answer, type Offered } from '../../src/session/agreement';
import { random, toBase64url, toHex } from '../../src/bytes';
import { viewer } from '../../src/crypto/identity';
import { KEMKey, send } from '../../src/crypto/hpke';
import { info } from '../../src/crypto/label';
import { pairOf, type EnvelopeVectors } from './envelopevectors';
import { readJSON } from './testdata';

const v = readJSON<EnvelopeVectors>('crypto/envelope/testdata/vectors.json').cases[0]!;
const pair = await pairOf(v, viewer);

/** An offer, and what a camera that answers it shares with its viewer. */
async function offered(): Promise<{ offer: Offered; answer: Answer }> {
  const kem = (await KEMKey.generate()).key;
  const id = random(16);
  const { enc } = await send(kem.publicKey, info('session kem', id));

  const offer = {
    id,
    wire: random(100),
    sessionExport: random(32),
    kem,
    viewerRandom: random(32),
  };

  return {
    offer,
    answer: {
      sdp: 'v=0',
      enc: toBase64url(enc),
      random: toBase64url(random(32)),
      carrier: 'vp8',
      name: 'x',
    },
  };
}

test('a session secret depends on the pair, the offer, the answer and the KEM', async () => {
  const { offer, answer } = await offered();
  const wire = random(100);
  const secret = await agree(pair, offer, answer, wire);
  assert.ok(secret);
  assert.equal(toHex((await agree(pair, offer, answer, wire))!.key), toHex(secret.key), 'twice the same');

  const other = await offered();
  const rows: Record<string, ReturnType<typeof agree>> = {
    'another pair secret': agree({ ...pair, secret: random(32) }, offer, answer, wire),
    'another offer': agree(pair, { ...offer, wire: random(100) }, answer, wire),
    'another export of the offer': agree(pair, { ...offer, sessionExport: random(32) }, answer, wire),
    'another random of the viewer': agree(pair, { ...offer, viewerRandom: random(32) }, answer, wire),
    'another random of the camera': agree(pair, offer, { ...answer, random: toBase64url(random(32)) }, wire),
    'another answer': agree(pair, offer, answer, random(100)),
    'another encapsulation': agree(pair, offer, { ...answer, enc: other.answer.enc }, wire),
    'another session': agree(pair, { ...offer, id: random(16) }, answer, wire),
  };

  for (const [name, agreed] of Object.entries(rows)) {
    assert.notEqual(toHex((await agreed)!.key), toHex(secret.key), name);
  }
});

test('an answer whose keys have the wrong size is refused', async () => {
  const { offer, answer } = await offered();
  assert.equal(await agree(pair, offer, { ...answer, enc: toBase64url(random(1119)) }, offer.wire), undefined);
  assert.equal(await agree(pair, offer, { ...answer, random: toBase64url(random(31)) }, offer.wire), undefined);
  await assert.rejects(agree(pair, offer, { ...answer, random: '?' }, offer.wire));
});
