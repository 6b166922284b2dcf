import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { concat, toHex, u8, type Bytes } from '../../src/bytes';
import { seal } from '../../src/crypto/hpke';
import { none, sealOnce, sha256 } from '../../src/crypto/label';
import { formatCode, maxRefused, parseCode, PairingError, Scanner, sentences } from '../../src/crypto/pairing';
import { codeWords, deviceWords, wordsFrom } from '../../src/crypto/words';
import { identityOf, makeDevice } from './device';
import { codeOf, follow, makeCode, makeRefusal, runPairing, type PairingVectors, type Run } from './pairingvectors';
import { hex, readJSON } from './testdata';

const vectors = readJSON<PairingVectors & { word_list: string; words: { bytes: string; words: string }[] }>(
  'crypto/pairing/testdata/vectors.json',
);
assert.ok(vectors.codes.length > 50 && vectors.cases.length === 2);

for (const v of vectors.codes) {
  test(`code ${v.error || 'read'}: ${v.text}`, async () => {
    if (v.error !== '') return assert.rejects(parseCode(v.text), new PairingError(sentences[v.error]));
    const code = await parseCode(v.text);
    assert.deepEqual(code, codeOf(v));
    assert.equal(await formatCode(code), v.text.trim());
    assert.equal((await codeWords(code)).join(' '), v.words);
  });
}

test('the list of words is that of the vectors, and spells as they do', async () => {
  assert.equal(toHex(await sha256(readFileSync('../crypto/words/words.txt'))), vectors.word_list);
  assert.ok(vectors.words.length >= 5);
  for (const v of vectors.words) assert.equal(wordsFrom(hex(v.bytes), v.words.split(' ').length).join(' '), v.words);
  assert.throws(() => wordsFrom(new Uint8Array(8), 6), RangeError);
});

for (const file of ['crypto/pairing/testdata/vectors.json', 'web/testdata/vectors-ts.json']) {
  const all = readJSON<PairingVectors & { pairing?: PairingVectors }>(file);
  for (const v of (all.pairing ?? all).cases) {
    test(`${file}: ${v.name}`, async () => {
      assert.deepEqual({ ...v, ...(await follow(v)) }, v);
      const [displayer, self] = [await identityOf(v.displayer), await identityOf(v.scanner)];
      for (const d of [v.displayer, v.scanner]) {
        assert.equal((await deviceWords(hex(d.fingerprint))).join(' '), d.words);
      }

      assert.equal(toHex(await displayer.kem.open(hex(v.m1).slice(1), hex(v.m1_info))), v.m1_plaintext);
      assert.equal(toHex(await self.kem.open(hex(v.m2).slice(1), hex(v.m2_info))), v.m2_plaintext);

      // A scanner makes its own M1, and refuses the M2 for another.
      const scanner = new Scanner(self, codeOf(v.code), hex(v.nonce_s));
      const m1 = (await scanner.handle(hex(v.bundle_message)))!;
      assert.equal(toHex(await displayer.kem.open(m1.slice(1), hex(v.m1_info))), v.m1_plaintext);
      await assert.rejects(scanner.handle(hex(v.m2)), says('invalid'));
      assert.equal(scanner.pair, undefined);

      for (const r of v.refusals) {
        const why = ([, 'used', 'bound', 'closed', 'invalid', 'unsaved', 'invalid'] as const)[r.reason]!;
        await assert.rejects(scanner.handle(hex(r.message)), says(why));
      }
    });
  }
}

const says =
  (why: keyof typeof sentences) =>
  (e: unknown): boolean =>
    e instanceof PairingError && e.message === sentences[why];

async function devices(): Promise<Run> {
  const [camera, viewer] = [await makeDevice(), await makeDevice()];
  return runPairing('fresh', await makeCode('https://relay.example', 1, hex(camera.fingerprint)), camera, viewer);
}

test('a whole pairing ends with the same secrets at both ends', async () => {
  const { scanner, vector, hello, m2, m3 } = await devices();
  assert.equal(toHex(m3), vector.m3);
  const pair = scanner.pair!;
  assert.deepEqual(
    [toHex(pair.secret), toHex(pair.mailboxSecret), pair.role],
    [vector.pair_secret, vector.mailbox_secret, 2],
  );

  assert.equal(toHex(pair.peer.bytes), vector.displayer.bundle);
  // Mailboxes deliver at least once, so copies get the same reply again.
  assert.equal(toHex((await scanner.handle(hello))!), vector.m1);
  assert.deepEqual(await scanner.handle(m2), m3);
  assert.equal(await scanner.handle(await makeRefusal(codeOf(vector.code), 1)), undefined, 'used by us');
  await assert.rejects(scanner.handle(await makeRefusal(codeOf(vector.code), 2)), says('bound'));
});

test('messages that are not the displayer’s are refused', async () => {
  const { vector, hello, m2 } = await devices();
  const fresh = async (code = vector.code, device = vector.scanner): Promise<Scanner> =>
    new Scanner(await identityOf(device), codeOf(code), hex(vector.nonce_s));
  for (let i = 1; i < hello.length; i += 97) {
    await assert.rejects((await fresh()).handle(flip(hello, i)), says('invalid'), `bundle, byte ${i}`);
  }

  await assert.rejects((await fresh()).handle(hello.slice(0, -1)), says('invalid'));
  await assert.rejects((await fresh()).handle(new Uint8Array(0)), says('invalid'));
  await assert.rejects((await fresh()).handle(Uint8Array.of(9)), says('invalid'));
  await assert.rejects((await fresh(vector.code, vector.displayer)).handle(hello), says('invalid'), 'with itself');

  const other = await makeDevice();
  await assert.rejects(
    (await fresh({ ...vector.code, fingerprint: other.fingerprint })).handle(hello),
    says('invalid'),
    'another fingerprint',
  );

  const swapped = concat(u8(1), await sealOnce(hex(vector.bundle_key_nonce), hex(other.bundle), u8(1)));
  await assert.rejects((await fresh()).handle(swapped), says('invalid'), 'another bundle, by who knows the code');
  assert.equal(await (await fresh()).handle(m2), undefined, 'M2 of an earlier attempt');
  const begun = await fresh();
  await begun.handle(hello);
  for (const i of [1, 1120, 1121, m2.length - 1]) {
    await assert.rejects(begun.handle(flip(m2, i)), says('invalid'), `M2, byte ${i}`);
  }
});

test('a reply to another scanner of the same code is not strange, and anything else is', async () => {
  const { vector, hello, m2 } = await devices();
  const second = new Scanner(await identityOf(await makeDevice()), codeOf(vector.code));
  await second.handle(hello);

  const strange =
    (is: boolean) =>
    (e: unknown): boolean =>
      says('invalid')(e) && (e as PairingError).strange === is;

  await assert.rejects(second.handle(m2), strange(false), 'to the first scanner');

  await assert.rejects(
    second.handle(await makeRefusal(codeOf(vector.code), 4)),
    strange(false),
    'the displayer’s own word',
  );

  await assert.rejects(second.handle(flip(await makeRefusal(codeOf(vector.code), 1), 20)), strange(true));
  await assert.rejects(second.handle(Uint8Array.of(9)), strange(true));

  await assert.rejects(
    new Scanner(await identityOf(await makeDevice()), codeOf(vector.code)).handle(flip(hello, 60)),
    strange(true),
  );
});

/** Answers a scanner's M1 with an M2, as the displayer does or differently. */
async function m2To(
  vector: Run['vector'],
  m1: Bytes,
  { signer = vector.displayer, nonceS = vector.nonce_s, spoil = none, end = none } = {},
): Promise<Bytes> {
  const right = await follow({ ...vector, m1: toHex(m1), m2: '', nonce_s: nonceS });
  const unsigned = hex(right.m2_plaintext!).slice(0, 128);
  unsigned.set(spoil, 128 - spoil.length);
  const signature = await (await identityOf(signer)).sign('pairing m2 signature', concat(hex(right.t1!), unsigned));
  const { bundle } = await identityOf(vector.scanner);
  return concat(u8(3), await seal(bundle.kem, hex(right.m2_info!), concat(unsigned, signature, end)));
}

test('an M2 from someone who knows the code is refused unless nonce, MAC and signature are right', async () => {
  const { vector, hello } = await devices();
  const scanner = new Scanner(await identityOf(vector.scanner), codeOf(vector.code), hex(vector.nonce_s));
  const m1 = (await scanner.handle(hello))!;
  await assert.rejects(
    scanner.handle(await m2To(vector, m1, { signer: await makeDevice() })),
    says('invalid'),
    'signed by another',
  );

  await assert.rejects(
    scanner.handle(await m2To(vector, m1, { nonceS: vector.nonce_d })),
    says('invalid'),
    'to another nonce',
  );

  await assert.rejects(
    scanner.handle(await m2To(vector, m1, { spoil: new Uint8Array(32) })),
    says('invalid'),
    'another MAC',
  );

  await assert.rejects(scanner.handle(await m2To(vector, m1, { end: u8(0) })), says('invalid'), 'too long');
  assert.equal(scanner.pair, undefined);
  assert.ok(await scanner.handle(await m2To(vector, m1)), 'the displayer’s own');
});

test('a scanner stops listening to a relay that keeps sending M2s', async () => {
  const { vector, hello } = await devices();
  for (const refused of [maxRefused - 1, maxRefused]) {
    const scanner = new Scanner(await identityOf(vector.scanner), codeOf(vector.code), hex(vector.nonce_s));
    const m1 = (await scanner.handle(hello))!;
    const m2 = await m2To(vector, m1);
    for (let n = 0; n < refused; n++) await assert.rejects(scanner.handle(flip(m2, m2.length - 1)), says('invalid'));
    const last = scanner.handle(m2);
    if (refused < maxRefused) assert.ok(await last, 'the displayer’s own');
    else await assert.rejects(last, says('invalid'), 'the displayer’s own, one too late');
  }
});

function flip(b: Bytes, i: number): Bytes {
  const out = b.slice();
  out[i]! ^= 1;
  return out;
}
