import assert from 'node:assert/strict';
import { test } from 'node:test';
import { concat, toHex, utf8 } from '../../src/bytes';
import { AEAD, hash, hkdf, info, kdf, mac, sign, signingKeyFromSeed, verify } from '../../src/crypto/label';
import { hex, readJSON } from './testdata';

const read = <T,>(file: string): T[] => readJSON<{ testGroups: T[] }>(`crypto/label/testdata/${file}`).testGroups;

test('Wycheproof HKDF-SHA256', async () => {
  interface Case {
    tcId: number;
    ikm: string;
    salt: string;
    info: string;
    size: number;
    okm: string;
    result: string;
  }

  const cases = read<{ tests: Case[] }>('hkdf_sha256_test.json').flatMap((g) => g.tests);
  assert.equal(cases.length, 86);

  for (const c of cases) {
    const got = hkdf(hex(c.salt), hex(c.ikm), hex(c.info), c.size);
    if (c.result === 'valid') assert.equal(toHex(await got), c.okm, `test ${c.tcId}`);
    else await assert.rejects(got, `test ${c.tcId}`);
  }
});

test('Wycheproof AES-GCM, for our key, nonce and tag sizes', async () => {
  interface Case {
    tcId: number;
    key: string;
    iv: string;
    aad: string;
    msg: string;
    ct: string;
    tag: string;
    result: string;
  }

  interface Group {
    ivSize: number;
    keySize: number;
    tagSize: number;
    tests: Case[];
  }

  const ours = read<Group>('aes_gcm_test.json').filter(
    (g) => g.keySize === 256 && g.ivSize === 96 && g.tagSize === 128,
  );
  const cases = ours.flatMap((g) => g.tests);
  assert.equal(cases.length, 66);

  for (const c of cases) {
    const [aead, sealed] = [await AEAD.create(hex(c.key)), hex(c.ct + c.tag)];
    const opened = aead.open(hex(c.iv), sealed, hex(c.aad));
    if (c.result !== 'valid') {
      await assert.rejects(opened, `test ${c.tcId}`);
      continue;
    }

    assert.equal(toHex(await opened), c.msg, `test ${c.tcId}`);
    assert.equal(toHex(await aead.seal(hex(c.iv), hex(c.msg), hex(c.aad))), toHex(sealed), `test ${c.tcId}`);
  }
});

// doc/protocol.md, section 1, again by hand.
test('each function prefixes its label', async () => {
  const spelled = utf8('peephole v1 envelope\0context');
  assert.deepEqual(info('envelope', utf8('con'), utf8('text')), spelled);

  assert.deepEqual(
    await kdf(utf8('salt'), utf8('ikm'), 'envelope', utf8('context'), 44),
    await hkdf(utf8('salt'), utf8('ikm'), spelled, 44),
  );

  assert.deepEqual(
    await hash('envelope', utf8('context')),
    new Uint8Array(await crypto.subtle.digest('SHA-256', spelled)),
  );

  const hmac = await crypto.subtle.importKey('raw', utf8('key'), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  assert.deepEqual(
    await mac(utf8('key'), 'envelope', utf8('context')),
    new Uint8Array(await crypto.subtle.sign('HMAC', hmac, spelled)),
  );
});

test('a signature is valid for one label, message and key', async () => {
  const { key, publicKey } = await signingKeyFromSeed(new Uint8Array(32));
  assert.equal(toHex(publicKey), '3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29');
  const signature = await sign(key, 'envelope', utf8('context'));
  const other = (await signingKeyFromSeed(new Uint8Array(32).fill(1))).publicKey;
  assert.equal(await verify(publicKey, 'envelope', utf8('context'), signature), true);
  assert.equal(await verify(publicKey, 'ticket', utf8('context'), signature), false);
  assert.equal(await verify(publicKey, 'envelope', utf8('Context'), signature), false);
  assert.equal(await verify(publicKey, 'envelope', utf8('context'), signature.slice(1)), false);
  assert.equal(await verify(publicKey, 'envelope', utf8('context'), concat(signature, signature)), false);
  assert.equal(await verify(other, 'envelope', utf8('context'), signature), false);
});
