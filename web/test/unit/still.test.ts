import assert from 'node:assert/strict';
import { test } from 'node:test';
import { concat, toHex, u16, u8, type Bytes } from '../../src/bytes';
import { sha256 } from '../../src/crypto/label';
import { FrameError, FrameKey } from '../../src/crypto/sframe';
import { firstPieces, maxPiece, maxPieces, mayBePiece, Still } from '../../src/session/still';
import { cameraTrack, stillTrack, videoTrack } from '../../src/session/track';
import { hex, readJSON } from './testdata';

interface Vectors {
  key: string;
  camera_random: string;
  session_id: string;
  camera: string;
  viewer: string;
  base_key: string;
  binding: string;
  plaintext_size: number;
  pieces_sha256: string[];
}

const v = readJSON<Vectors>('session/handshake/testdata/still.json');
const secret = {
  key: hex(v.key),
  id: hex(v.session_id),
  camera: hex(v.camera),
  viewer: hex(v.viewer),
  cameraRandom: hex(v.camera_random),
};
const track = await cameraTrack(secret, stillTrack);
const plaintext = Uint8Array.from({ length: v.plaintext_size }, (_, i) => (i < 3 ? [2, 1, 1][i]! : (i - 3) % 251));

async function seal(n: number, place: number, piece: Bytes, with_ = track): Promise<Bytes> {
  const key = await FrameKey.derive(5, with_.kid, with_.baseKey, 'encrypt');
  return concat(u8(2), await key.seal(BigInt(place), with_.binding, concat(u16(n), piece)));
}

const pieces = [await seal(2, 0, plaintext.slice(0, 32_000)), await seal(2, 1, plaintext.slice(32_000))] as const;

test('keys and pieces are as in Go', async () => {
  assert.deepEqual([track.kid, toHex(track.baseKey), toHex(track.binding)], [4n, v.base_key, v.binding]);
  const sums = [];
  for (const p of pieces) sums.push(toHex(await sha256(p)));
  assert.deepEqual(sums, v.pieces_sha256);
});

test('a picture is complete when all its pieces are there, in any order', async () => {
  for (const order of [
    [0, 1],
    [1, 0],
  ] as const) {
    const still = await Still.create(track, maxPieces);
    assert.equal(await still.addPiece(pieces[order[0]]), undefined);
    const frame = await still.addPiece(pieces[order[1]]);
    assert.ok(frame?.keyframe);
    assert.deepEqual(frame.accessUnit, plaintext.slice(19));
  }
});

test('anything but a piece of the picture is refused, and spoils nothing', async () => {
  const still = await Still.create(track, maxPieces);
  const altered = pieces[0].slice();
  altered[altered.length - 1]! ^= 1;

  const rows: Record<string, Bytes> = {
    empty: new Uint8Array(0),
    altered,
    'of another type': concat(u8(1), pieces[0].slice(1)),
    'cut short': pieces[0].slice(0, -1),
    'of the video': await seal(2, 0, plaintext.slice(0, 32_000), await cameraTrack(secret, videoTrack)),
    'of another session': await seal(
      2,
      0,
      plaintext.slice(0, 32_000),
      await cameraTrack({ ...secret, id: new Uint8Array(16) }, stillTrack),
    ),
    'of none': await seal(0, 0, u8(1)),
    'of too many': await seal(29, 0, u8(1)),
    'beyond the end': await seal(2, 2, u8(1)),
    'without a byte': await seal(2, 0, new Uint8Array(0)),
    'too long': await seal(2, 0, new Uint8Array(32_001)),
  };

  for (const [name, body] of Object.entries(rows)) await assert.rejects(still.addPiece(body), FrameError, name);
  assert.equal(await still.addPiece(pieces[0]), undefined);
  await assert.rejects(still.addPiece(await seal(3, 1, u8(1))), FrameError, 'of a picture of three');
  await assert.rejects(still.addPiece(pieces[0]), FrameError, 'again');
  assert.ok(await still.addPiece(pieces[1]));
  assert.ok(mayBePiece(pieces[0]) && !mayBePiece(u8(2)));

  assert.ok(
    mayBePiece(concat(u8(2), new Uint8Array(maxPiece - 1))) && !mayBePiece(concat(u8(2), new Uint8Array(maxPiece))),
    'longer than any piece',
  );
});

test('the first picture of a connection has at most two pieces, and a still as many as a mailbox takes', async () => {
  for (const [most, pieces, taken] of [
    [firstPieces, 2, true],
    [firstPieces, 3, false],
    [maxPieces, 28, true],
    [maxPieces, 29, false],
  ] as const) {
    const still = await Still.create(track, most);
    const first = still.addPiece(await seal(pieces, 0, plaintext.slice(0, 32_000)));
    if (taken) assert.equal(await first, undefined);
    else await assert.rejects(first, FrameError, `${pieces} pieces of ${most}`);
  }
});
