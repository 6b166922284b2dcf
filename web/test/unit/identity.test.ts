import assert from 'node:assert/strict';
import { test } from 'node:test';
import { concat, toHex, u8, utf8 } from '../../src/bytes';
import { Bundle, bundleSize, Identity } from '../../src/crypto/identity';

test('a bundle has version 1 and one length', async () => {
  const { bundle } = await Identity.generate();
  assert.equal(bundle.length, 1249);
  assert.equal(bundleSize, 1249);
  assert.equal(toHex((await Bundle.parse(bundle)).bytes), toHex(bundle));

  for (const bad of [
    concat(u8(0), bundle.slice(1)),
    concat(u8(2), bundle.slice(1)),
    bundle.slice(0, -1),
    concat(bundle, u8(0)),
    new Uint8Array(0),
  ]) {
    await assert.rejects(Bundle.parse(bad), /bundle/);
  }
});

test('a stored identity signs and opens, and its signing key cannot be exported', async () => {
  const stored = await Identity.generate();
  const identity = await Identity.load(stored);
  assert.equal(await identity.bundle.verify('ticket', utf8('x'), await identity.sign('ticket', utf8('x'))), true);
  assert.equal(stored.signingKey.extractable, false);
  await assert.rejects(crypto.subtle.exportKey('pkcs8', stored.signingKey));
  assert.equal(identity.bundle.id, toHex(identity.bundle.fingerprint));
  assert.notEqual((await Identity.load(await Identity.generate())).bundle.id, identity.bundle.id);
});
