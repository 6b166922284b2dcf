import assert from 'node:assert/strict';
import { test } from 'node:test';
import { concat, toHex, u64, u8, type Bytes } from '../../src/bytes';
import { parseFrame, type Frame } from '../../src/media/frame';
import { Joiner, maxPicture } from '../../src/media/joiner';
import { sha256 } from '../../src/crypto/label';
import { FrameError } from '../../src/crypto/sframe';
import { hex, readJSON } from './testdata';

interface Vectors {
  cases: {
    name: string;
    plaintext: string;
    keyframe: boolean;
    continued: boolean;
    continues: boolean;
    captured: number;
    challenge: string;
    data: string;
  }[];
  refused: { name: string; plaintext: string }[];
  picture_size: number;
  pieces_sha256: string[];
}

const v = readJSON<Vectors>('session/handshake/testdata/frame.json');

test('frames are read as in Go', () => {
  assert.ok(v.cases.length >= 5 && v.refused.length >= 5);
  for (const { name, plaintext, data, ...want } of v.cases) {
    const { accessUnit, ctr, first, ...got } = parseFrame(7n, hex(plaintext));
    assert.deepEqual([got, toHex(accessUnit), ctr, first], [want, data, 7n, 7n], name);
  }
  for (const r of v.refused) assert.throws(() => parseFrame(7n, hex(r.plaintext)), FrameError, r.name);
});

const picture = Uint8Array.from({ length: v.picture_size }, (_, i) => i % 251);
const { captured, challenge } = v.cases[0]!;

/** Returns the frames of the picture; the first has the counter ctr. */
function pieces(ctr: bigint, keyframe = true): { plaintext: Bytes; frame: Frame }[] {
  const cuts = v.pieces_sha256.map((_, i) => picture.slice(i * 500_000, (i + 1) * 500_000));
  return cuts.map((data, i) => {
    const flags = Number(keyframe) + (i > 0 ? 2 : 0) + (i < cuts.length - 1 ? 4 : 0);
    const plaintext = concat(u8(2), u8(flags), u8(1), u64(captured), hex(challenge), data);
    return { plaintext, frame: parseFrame(ctr + BigInt(i), plaintext) };
  });
}

/** Pushes the pieces with those numbers; returns the first and last counter of each picture. */
function join(frames: Frame[], order: number[], joiner = new Joiner<Frame>()): [bigint, bigint][] {
  const whole = order.map((n) => joiner.push(frames[n]!)).filter((f) => f !== undefined);
  for (const f of whole) if (f.first !== f.ctr) assert.ok(Buffer.from(f.accessUnit).equals(picture));
  return whole.map((f) => [f.first, f.ctr]);
}

test('the pieces of a picture are as in Go', async () => {
  const sums = [];
  for (const { plaintext } of pieces(0n)) sums.push(toHex(await sha256(plaintext)));
  assert.deepEqual(sums, v.pieces_sha256);
});

test('a picture is complete with its last missing piece, in any order and among others', () => {
  const small: Frame = { ...parseFrame(3n, hex(v.cases[0]!.plaintext)) };
  const frames = (): Frame[] => [...pieces(0n).map((p) => p.frame), small, ...pieces(4n).map((p) => p.frame)];
  for (const [order, want] of [
    [
      [0, 1, 2, 3, 4, 5, 6],
      [
        [0n, 2n],
        [3n, 3n],
        [4n, 6n],
      ],
    ],
    [[2, 1, 0], [[0n, 2n]]],
    [
      [1, 3, 2, 4, 0, 6, 5],
      [
        [3n, 3n],
        [0n, 2n],
        [4n, 6n],
      ],
    ],
    [
      [0, 4, 1, 5, 6, 2],
      [
        [4n, 6n],
        [0n, 2n],
      ],
    ],
    [[1, 2, 3, 4, 5], [[3n, 3n]]],
    [[0, 2, 3], [[3n, 3n]]],
  ] as [number[], [bigint, bigint][]][]) {
    assert.deepEqual(join(frames(), order), want, String(order));
  }
});

test('the browser gets the last piece, which is as old as the first', () => {
  const frames = pieces(0n).map((p) => p.frame);
  frames[0]!.challenge = 'older';
  const joiner = new Joiner<Frame>();
  const whole = [1, 2, 0].map((n) => joiner.push(frames[n]!)).at(-1);
  assert.ok(whole !== undefined && whole === frames[2] && whole.challenge === 'older' && !whole.continued);
});

test('pieces of two kinds make no picture', () => {
  const [key, delta] = [pieces(0n), pieces(0n, false)];
  assert.deepEqual(join([key[0]!.frame, delta[1]!.frame, key[2]!.frame], [0, 1, 2]), []);
});

test('few pieces wait, and no picture exceeds the limit', () => {
  const joiner = new Joiner<Frame>();

  const piece = (ctr: bigint, continued: boolean, continues: boolean): Frame => ({
    ...pieces(0n)[0]!.frame,
    ctr,
    first: ctr,
    continued,
    continues,
  });

  // every other one is missing
  for (let n = 0n; n < 60n; n += 2n) assert.equal(joiner.push(piece(n, true, true)), undefined);
  for (let n = 60n; n < 120n; n++) assert.equal(joiner.push(piece(n, true, true)), undefined);
  assert.equal(joiner.push(piece(58n, false, true)), undefined);
  assert.equal(joiner.push(piece(120n, true, false)), undefined, 'the beginning was forgotten');
  for (let n = 200n; n < 216n; n++) joiner.push(piece(n, n > 200n, true));
  assert.ok(17 * 500_000 > maxPicture);
  assert.equal(joiner.push(piece(216n, true, false)), undefined, 'too large');
});
