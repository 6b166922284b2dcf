import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StandIns } from '../../src/standin';

interface Carried {
  name: number;
  data: ArrayBuffer;
}

const carried = (name: number): Carried => ({ name, data: new Uint8Array([name]).buffer });
const names = (of: Carried[]): string => of.map((c) => c.name).join('+');

test('stand-ins wait for the frames before them, and leave in the order in which they came', () => {
  const s = new StandIns<Carried>();
  s.take(carried(0), 0n, true);
  assert.equal(names(s.until(0n)), '0');
  s.take(carried(2), 2n, false);
  s.take(carried(3), 3n, false);
  assert.equal(names(s.until(0n)), '', 'frame 1 is waited for');
  s.take(carried(1), 1n, false);
  assert.equal(names(s.until(3n)), '2+3+1');
  s.take(carried(5), 5n, true);
  assert.equal(names(s.until(5n)), '5', 'frame 4 was given up');
});

test('stand-ins that wait for too many are not kept for ever', () => {
  const s = new StandIns<Carried>(2);
  for (let n = 1; n <= 3; n++) s.take(carried(n), BigInt(n), false);
  assert.equal(names(s.until(0n)), '1');
});

test('a stand-in is a frame of VP8, and nothing of what was sealed', () => {
  const s = new StandIns<Carried>();
  const key = carried(0);
  const delta = carried(1);
  s.take(key, 0n, true);
  s.take(delta, 1n, false);
  const [k, d] = [new Uint8Array(key.data), new Uint8Array(delta.data)];
  assert.equal(k[0]! & 1, 0, 'a keyframe (RFC 6386, section 9.1)');
  assert.deepEqual([...k.subarray(3, 10)], [0x9d, 0x01, 0x2a, 16, 0, 16, 0]);
  assert.equal(d[0]! & 1, 1);
  const other = carried(2);
  s.take(other, 2n, true);
  assert.deepEqual(new Uint8Array(other.data), k);
  assert.notEqual(other.data, key.data, 'a browser takes the buffer with it');
});
