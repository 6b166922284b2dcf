import assert from 'node:assert/strict';
import { test } from 'node:test';
import { concat, toHex, u8, type Bytes } from '../../src/bytes';
import { seal } from '../../src/hpke';
import { none, sealOnce } from '../../src/label';
import { formatCode, parseCode, PairingError, Scanner, sentences } from '../../src/pairing';
import { identityOf, makeDevice } from './device';
import { codeOf, follow, makeCode, makeRefusal, runPairing, type PairingVectors, type Run } from './pairingvectors';
import { hex, readJSON } from './testdata';

const vectors = readJSON<PairingVectors>('crypto/pairing/testdata/vectors.json');
assert.ok(vectors.codes.length > 50 && vectors.cases.length === 2);

for (const v of vectors.codes) {
  test(`code ${v.error || 'read'}: ${v.text}`, async () => {
    if (v.error !== '') return assert.rejects(parseCode(v.text), new PairingError(sentences[v.error]));
    const code = await parseCode(v.text);
    assert.deepEqual(code, codeOf(v));
    assert.equal(await formatCode(code), v.text.trim());
  });
}

for (const file of ['crypto/pairing/testdata/vectors.json', 'web/testdata/vectors-ts.json']) {
  const all = readJSON<PairingVectors & { pairing?: PairingVectors }>(file);
  for (const v of (all.pairing ?? all).cases) {
    test(`${file}: ${v.name}`, async () => {
      assert.deepEqual({ ...v, ...(await follow(v)) }, v);
      const [displayer, self] = [await identityOf(v.displayer), await identityOf(v.scanner)];
      assert.equal(toHex(await displayer.kem.open(hex(v.m1).slice(1), hex(v.m1_info))), v.m1_plaintext);
      assert.equal(toHex(await self.kem.open(hex(v.m2).slice(1), hex(v.m2_info))), v.m2_plaintext);

      // A scanner makes an M1 of its own: the M2 of another is refused.
      const scanner = new Scanner(self, codeOf(v.code), hex(v.nonce_s));
      const m1 = (await scanner.handle(hex(v.bundle_message)))!;
      assert.equal(toHex(await displayer.kem.open(m1.slice(1), hex(v.m1_info))), v.m1_plaintext);
      await assert.rejects(scanner.handle(hex(v.m2)), says('invalid'));
      assert.equal(scanner.pair, undefined);
      for (const r of v.refusals) {
        const why = ([, 'used', 'bound', 'closed', 'invalid'] as const)[r.reason]!;
        await assert.rejects(scanner.handle(hex(r.message)), says(why));
      }
    });
  }
}

const says = (why: keyof typeof sentences) => (e: unknown): boolean => e instanceof PairingError && e.message === sentences[why];

async function devices(): Promise<Run> {
  const [camera, viewer] = [await makeDevice(), await makeDevice()];
  return runPairing('fresh', await makeCode('https://relay.example', 1, hex(camera.fingerprint)), camera, viewer);
}

test('a whole pairing ends with the same secrets at both ends', async () => {
  const { scanner, vector, hello, m2, m3 } = await devices();
  assert.equal(toHex(m3), vector.m3);
  const pair = scanner.pair!;
  assert.deepEqual([toHex(pair.secret), toHex(pair.mailboxSecret), pair.role], [vector.pair_secret, vector.mailbox_secret, 2]);
  assert.equal(toHex(pair.peer.bytes), vector.displayer.bundle);
  // Mailboxes deliver at least once: copies get the same words again.
  assert.equal(toHex((await scanner.handle(hello))!), vector.m1);
  assert.deepEqual(await scanner.handle(m2), m3);
  assert.equal(await scanner.handle(await makeRefusal(codeOf(vector.code), 1)), undefined, 'used by us');
  await assert.rejects(scanner.handle(await makeRefusal(codeOf(vector.code), 2)), says('bound'));
});

test('what is not the displayer’s is refused', async () => {
  const { vector, hello, m2 } = await devices();
  const fresh = async (code = vector.code, device = vector.scanner): Promise<Scanner> => new Scanner(await identityOf(device), codeOf(code), hex(vector.nonce_s));
  for (let i = 1; i < hello.length; i += 97) await assert.rejects((await fresh()).handle(flip(hello, i)), says('invalid'), `bundle, byte ${i}`);
  await assert.rejects((await fresh()).handle(hello.slice(0, -1)), says('invalid'));
  await assert.rejects((await fresh()).handle(new Uint8Array(0)), says('invalid'));
  await assert.rejects((await fresh()).handle(Uint8Array.of(9)), says('invalid'));
  await assert.rejects((await fresh(vector.code, vector.displayer)).handle(hello), says('invalid'), 'with itself');
  const other = await makeDevice();
  await assert.rejects((await fresh({ ...vector.code, fingerprint: other.fingerprint })).handle(hello), says('invalid'), 'another fingerprint');
  const swapped = concat(u8(1), await sealOnce(hex(vector.bundle_key_nonce), hex(other.bundle), u8(1)));
  await assert.rejects((await fresh()).handle(swapped), says('invalid'), 'another bundle, by who knows the code');
  assert.equal(await (await fresh()).handle(m2), undefined, 'M2 of an earlier attempt');
  const begun = await fresh();
  await begun.handle(hello);
  for (const i of [1, 1120, 1121, m2.length - 1]) await assert.rejects(begun.handle(flip(m2, i)), says('invalid'), `M2, byte ${i}`);
});

test('a reply to another scanner of the same code is told from what is nobody’s', async () => {
  const { vector, hello, m2 } = await devices();
  const second = new Scanner(await identityOf(await makeDevice()), codeOf(vector.code));
  await second.handle(hello);
  const strange = (is: boolean) => (e: unknown): boolean => says('invalid')(e) && (e as PairingError).strange === is;
  await assert.rejects(second.handle(m2), strange(false), 'to the first scanner');
  await assert.rejects(second.handle(await makeRefusal(codeOf(vector.code), 4)), strange(false), 'the displayer’s own word');
  await assert.rejects(second.handle(flip(await makeRefusal(codeOf(vector.code), 1), 20)), strange(true));
  await assert.rejects(second.handle(Uint8Array.of(9)), strange(true));
  await assert.rejects(new Scanner(await identityOf(await makeDevice()), codeOf(vector.code)).handle(flip(hello, 60)), strange(true));
});

test('an M2 by who knows the code is refused unless nonce, MAC and signature are all right', async () => {
  const { vector, hello } = await devices();
  const scanner = new Scanner(await identityOf(vector.scanner), codeOf(vector.code), hex(vector.nonce_s));
  const m1 = toHex((await scanner.handle(hello))!);
  const [self, displayer, other] = [await identityOf(vector.scanner), await identityOf(vector.displayer), await identityOf(await makeDevice())];
  const m2 = async ({ signer = displayer, nonceS = vector.nonce_s, spoil = none, end = none }): Promise<Bytes> => {
    const right = await follow({ ...vector, m1, m2: '', nonce_s: nonceS });
    const unsigned = hex(right.m2_plaintext!).slice(0, 128);
    unsigned.set(spoil, 128 - spoil.length);
    const plaintext = concat(unsigned, await signer.sign('pairing m2 signature', concat(hex(right.t1!), unsigned)), end);
    return concat(u8(3), await seal(self.bundle.kem, hex(right.m2_info!), plaintext));
  };
  await assert.rejects(scanner.handle(await m2({ signer: other })), says('invalid'), 'signed by another');
  await assert.rejects(scanner.handle(await m2({ nonceS: vector.nonce_d })), says('invalid'), 'to another nonce');
  await assert.rejects(scanner.handle(await m2({ spoil: new Uint8Array(32) })), says('invalid'), 'another MAC');
  await assert.rejects(scanner.handle(await m2({ end: u8(0) })), says('invalid'), 'too long');
  assert.equal(scanner.pair, undefined);
  assert.ok(await scanner.handle(await m2({})), 'the displayer’s own');
});

function flip(b: Bytes, i: number): Bytes {
  const out = b.slice();
  out[i]! ^= 1;
  return out;
}
