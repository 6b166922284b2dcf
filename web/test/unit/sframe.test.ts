import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex, utf8 } from '../../src/bytes';
import {
  decodeHeader,
  deriveKeySalt,
  encodeHeader,
  FrameError,
  FrameKey,
  ReplayWindow,
  type Suite,
} from '../../src/crypto/sframe';
import { hex, readJSON } from './testdata';

type Integer = number | string;

interface Vectors {
  header: { kid: Integer; ctr: Integer; encoded: string }[];
  sframe: {
    cipher_suite: number;
    kid: Integer;
    ctr: Integer;
    base_key: string;
    sframe_key: string;
    sframe_salt: string;
    metadata: string;
    pt: string;
    ct: string;
  }[];
}

const vectors = readJSON<Vectors>('crypto/sframe/testdata/sframe-rfc9605-test-vectors.json');
const metadata = utf8('camera 1');

test('RFC 9605 header vectors', () => {
  assert.ok(vectors.header.length > 200);

  for (const v of vectors.header) {
    assert.equal(toHex(encodeHeader(BigInt(v.kid), BigInt(v.ctr))), v.encoded);
    assert.deepEqual(decodeHeader(hex(v.encoded)), {
      kid: BigInt(v.kid),
      ctr: BigInt(v.ctr),
      size: v.encoded.length / 2,
    });
  }
});

for (const suite of [4, 5] as const) {
  test(`RFC 9605 vectors of suite ${suite}`, async () => {
    const v = vectors.sframe.find((s) => s.cipher_suite === suite);
    assert.ok(v);
    const [kid, ctr, baseKey] = [BigInt(v.kid), BigInt(v.ctr), hex(v.base_key)];
    const { key, salt } = await deriveKeySalt(suite, kid, baseKey);
    assert.equal(toHex(key), v.sframe_key);
    assert.equal(toHex(salt), v.sframe_salt);
    const sealer = await FrameKey.derive(suite, kid, baseKey, 'encrypt');
    assert.equal(toHex(await sealer.seal(ctr, hex(v.metadata), hex(v.pt))), v.ct);
    const opener = await FrameKey.derive(suite, kid, baseKey, 'decrypt');
    const opened = await opener.open(hex(v.ct), hex(v.metadata));
    assert.deepEqual([opened.ctr, toHex(opened.plaintext)], [ctr, v.pt]);
  });
}

async function pair(kid = 0n, suite: Suite = 5): Promise<[FrameKey, FrameKey]> {
  const baseKey = new Uint8Array(64).fill(7);
  return [await FrameKey.derive(suite, kid, baseKey, 'encrypt'), await FrameKey.derive(suite, kid, baseKey, 'decrypt')];
}

test('a frame with any byte altered does not open', async () => {
  const [sealer, opener] = await pair();
  const frame = await sealer.seal(300n, metadata, utf8('picture'));
  for (let i = 0; i < frame.length; i++) {
    const bad = frame.slice();
    bad[i]! ^= 1;
    await assert.rejects(opener.open(bad, metadata), FrameError, `byte ${i}`);
  }

  for (let n = 0; n < frame.length; n++) {
    await assert.rejects(opener.open(frame.slice(0, n), metadata), FrameError, `${n} bytes`);
  }
});

test('a frame does not open with other metadata or another KID', async () => {
  const [sealer, opener] = await pair();
  const frame = await sealer.seal(0n, metadata, utf8('picture'));
  await assert.rejects(opener.open(frame, utf8('camera 2')), FrameError);
  const [, other] = await pair(1n);
  await assert.rejects(other.open(frame, metadata), FrameError);
  assert.equal((await opener.open(frame, metadata)).ctr, 0n);
});

test('headers that are not the shortest are refused', () => {
  for (const bad of ['', '08', '0800', '0807', '0900ff', '8007', '88', '980100']) {
    assert.throws(() => decodeHeader(hex(bad)), FrameError, bad);
  }
});

test('the replay window takes each counter once', () => {
  const w = new ReplayWindow(8);
  const take = (ctr: bigint): boolean => {
    const fresh = w.fresh(ctr);
    if (fresh) w.record(ctr);
    return fresh;
  };

  const rows: [bigint, boolean][] = [
    [0n, true],
    [0n, false],
    [3n, true],
    [1n, true],
    [1n, false],
    [3n, false],
    [10n, true],
    [2n, false],
    [3n, false],
    [4n, true],
    [4n, false],
    [2n ** 64n - 2n, true],
    [2n ** 64n - 2n, false],
    [2n ** 64n - 1n, false],
    [10n, false],
  ];

  for (const [ctr, want] of rows) assert.equal(take(ctr), want, `counter ${ctr}`);
});
