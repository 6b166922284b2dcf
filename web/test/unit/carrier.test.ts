import assert from 'node:assert/strict';
import { test } from 'node:test';
import { concat, toHex, u64, u8, utf8, type Bytes } from '../../src/bytes';
import { unwrap, type Carrier } from '../../src/media/carrier';
import { codecString } from '../../src/media/decoder';
import { FrameOpener, isTold, type TrackKey } from '../../src/media/frame';
import { FrameError, FrameKey, RepeatedFrame } from '../../src/crypto/sframe';
import { hex } from './testdata';

const sps = '0000000167' + '42c00ad91e8400000300040000030' + '0ca3c489920';
const pps = '0000000168cb83cb20';

const shapes: { name: string; carrier: Carrier; front: string }[] = [
  { name: 'h264 keyframe', carrier: 'h264', front: `${sps}${pps}00000001658884` },
  { name: 'h264 keyframe, short start codes', carrier: 'h264', front: `${sps.slice(2)}${pps.slice(2)}000001658884` },
  { name: 'h264 delta', carrier: 'h264', front: '00000001419a84' },
  { name: 'vp8 keyframe', carrier: 'vp8', front: '1002009d012a10001000' },
  { name: 'vp8 delta', carrier: 'vp8', front: '110200' },
];

for (const { name, carrier, front } of shapes) {
  test(`unwrap ${name}`, () => {
    // Start codes inside the sealed bytes mean nothing.
    const sealed = '0500000001659988000001418884';
    assert.equal(toHex(unwrap(carrier, hex(front + sealed))), sealed);
    const other: Carrier = carrier === 'h264' ? 'vp8' : 'h264';
    assert.throws(() => unwrap(other, hex(front + sealed)), FrameError);
  });
}

test('what is not a carrier frame is refused', () => {
  for (const bad of [
    '',
    '00',
    '00000001',
    '0000000165',
    '000000016588',
    '00000001658885ff',
    '0000000106ff0000000165888400',
    '0000000141888400',
  ]) {
    assert.throws(() => unwrap('h264', hex(bad)), FrameError, bad);
  }

  for (const bad of ['', '10', '1002', '1002009d012a1000', '11020', '130200ff']) {
    assert.throws(() => unwrap('vp8', hex(bad)), FrameError, bad);
  }
});

const accessUnit = hex('00000001' + '6764001facd940' + '0000000168ebe3cb22c0' + '0000000165888400');
const header = (version = 2, flags = 1, codec = 1): Bytes =>
  concat(u8(version), u8(flags), u8(codec), u64(1700000000123), utf8('12345678'));

async function track(): Promise<{ opener: FrameOpener; seal: (ctr: bigint, plaintext: Bytes) => Promise<Bytes> }> {
  const key: TrackKey = {
    carrier: 'vp8',
    kid: 0n,
    baseKey: new Uint8Array(64).fill(9),
    binding: new Uint8Array(32).fill(1),
  };

  const sealer = await FrameKey.derive(5, key.kid, key.baseKey, 'encrypt');
  const front = hex('1002009d012a10001000');
  const seal = async (ctr: bigint, plaintext: Bytes): Promise<Bytes> =>
    concat(front, await sealer.seal(ctr, key.binding, plaintext));
  return { opener: await FrameOpener.create(key), seal };
}

test('a frame opens once, with its header', async () => {
  const { opener, seal } = await track();
  const carried = await seal(5n, concat(header(), accessUnit));
  assert.deepEqual(await opener.open(carried), {
    ctr: 5n,
    first: 5n,
    continued: false,
    continues: false,
    keyframe: true,
    captured: 1700000000123,
    challenge: toHex(utf8('12345678')),
    accessUnit,
  });

  await assert.rejects(opener.open(carried), RepeatedFrame);
});

test('only a frame that a browser assembles twice, behind vp8, raises no alarm', () => {
  for (const [carrier, e, told] of [
    ['h264', new RepeatedFrame(), true],
    ['vp8', new RepeatedFrame(), false],
    ['h264', new FrameError(), true],
    ['vp8', new FrameError(), true],
    ['vp8', new Error(), true],
  ] as [Carrier, Error, boolean][]) {
    assert.equal(isTold(carrier, e), told, `${carrier}, ${e.constructor.name}`);
  }
});

test('an unknown version, flag or codec, or a short header, is refused', async () => {
  const { opener, seal } = await track();
  let ctr = 0n;
  for (const bad of [header(1), header(3), header(2, 8), header(2, 1, 2), header().slice(0, 18), hex('')]) {
    await assert.rejects(
      seal(ctr++, bad).then((c) => opener.open(c)),
      FrameError,
      toHex(bad),
    );
  }
});

test('the codec string comes from the SPS', () => {
  assert.equal(codecString(accessUnit), 'avc1.64001f');
  assert.equal(codecString(hex('0000000165888400')), undefined);
  assert.equal(codecString(hex('000000016764')), undefined);
});
