import assert from 'node:assert/strict';
import { test } from 'node:test';
import { equal, toHex } from '../../src/bytes';
import { EnvelopeError, maxLife, openEnvelope, sealEnvelope } from '../../src/crypto/envelope';
import { camera, viewer } from '../../src/crypto/identity';
import { dayOf } from '../../src/crypto/mailbox';
import { identityOf } from './device';
import { mailboxOf, messageOf, pairOf, vectorOf, type EnvelopeVectors } from './envelopevectors';
import { hex, readJSON } from './testdata';

for (const file of ['crypto/envelope/testdata/vectors.json', 'web/testdata/vectors-ts.json']) {
  const all = readJSON<EnvelopeVectors & { envelope?: EnvelopeVectors }>(file);
  const vectors = all.envelope ?? all;
  assert.ok(vectors.cases.length > 0, file);

  for (const v of vectors.cases) {
    test(`${file}: ${v.name}`, async () => {
      for (const d of [v.camera, v.viewer]) {
        assert.equal(toHex((await identityOf(d)).bundle.fingerprint), d.fingerprint);
      }

      const box = await mailboxOf(v, v.mailbox);
      const opened = await openEnvelope(await pairOf(v, v.mailbox.direction), box, hex(v.wire), v.now_ms);
      const { sessionExport, ...message } = opened;
      assert.deepEqual(message, messageOf(v.message));
      assert.equal(toHex(sessionExport), v.session_export);
      assert.deepEqual(await vectorOf(v.name, v, pick(v.mailbox), message, hex(v.wire), v.now_ms), v);
    });
  }

  for (const r of vectors.refused) {
    test(`${file}: refused: ${r.name}`, async () => {
      const v = vectors.cases.find((c) => c.name === r.case);
      assert.ok(v);
      const [pair, box] = [await pairOf(v, r.opener), await mailboxOf(v, r.mailbox)];
      await assert.rejects(
        openEnvelope(pair, box, hex(r.wire), r.now_ms),
        (e) => e instanceof EnvelopeError && e.fault === r.error,
      );
    });
  }

  for (const d of vectors.days) {
    test(`${file}: day at ${d.unix}`, async () =>
      assert.equal(await dayOf(hex(d.mailbox_secret), Number(d.unix)), d.day));
  }
}

function pick({
  purpose,
  direction,
  day,
  session_id,
}: EnvelopeVectors['cases'][number]['mailbox']): Parameters<typeof vectorOf>[2] {
  return { purpose, direction, day, session_id };
}

test('sealing refuses what its recipient would refuse', async () => {
  const v = readJSON<EnvelopeVectors>('crypto/envelope/testdata/vectors.json').cases.find((c) => c.name === 'offer')!;
  const [box, message] = [await mailboxOf(v, v.mailbox), messageOf(v.message)];
  await assert.rejects(sealEnvelope(await pairOf(v, camera), box, message), EnvelopeError);
  const pair = await pairOf(v, viewer);
  await assert.rejects(sealEnvelope(pair, box, { ...message, type: 3 }), EnvelopeError);
  await assert.rejects(sealEnvelope(pair, box, { ...message, body: new Uint8Array(32768) }), EnvelopeError);

  await assert.rejects(
    sealEnvelope(pair, box, { ...message, expiry: message.sent + maxLife + 1 }),
    (e) => e instanceof EnvelopeError && e.fault === 'life',
  );

  await sealEnvelope(pair, box, { ...message, expiry: message.sent + maxLife });
  const [a, b] = [await sealEnvelope(pair, box, message), await sealEnvelope(pair, box, message)];
  assert.equal(equal(a.wire.slice(9), b.wire.slice(9)), false, 'the same message sealed twice');
});
