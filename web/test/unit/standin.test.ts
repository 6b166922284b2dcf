import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StandIns } from '../../src/media/standin';

interface Carried {
  name: number;
  data: ArrayBuffer;
}

const carried = (name: number): Carried => ({ name, data: new Uint8Array([name]).buffer });
const names = (of: Carried[]): string => of.map((c) => c.name).join('+');

test('stand-ins wait for the frames before them, and leave in the order of arrival', () => {
  const s = new StandIns<Carried>();
  s.replace(carried(0), 0n, true);
  assert.equal(names(s.until(0n)), '0');
  s.replace(carried(2), 2n, false);
  s.replace(carried(3), 3n, false);
  assert.equal(names(s.until(0n)), '', 'frame 1 is waited for');
  s.replace(carried(1), 1n, false);
  assert.equal(names(s.until(3n)), '2+3+1');
  s.replace(carried(5), 5n, true);
  assert.equal(names(s.until(5n)), '5', 'frame 4 was given up');
});

test('stand-ins are not held back for ever', () => {
  const s = new StandIns<Carried>(2);
  for (let n = 1; n <= 3; n++) s.replace(carried(n), BigInt(n), false);
  assert.equal(names(s.until(0n)), '1');
});

test('a stand-in is a frame of VP8, and contains nothing of what was sealed', () => {
  const s = new StandIns<Carried>();
  const key = carried(0);
  const delta = carried(1);
  s.replace(key, 0n, true);
  s.replace(delta, 1n, false);
  const [k, d] = [new Uint8Array(key.data), new Uint8Array(delta.data)];
  assert.equal(k[0]! & 1, 0, 'a keyframe (RFC 6386, section 9.1)');
  assert.deepEqual([...k.subarray(3, 10)], [0x9d, 0x01, 0x2a, 16, 0, 16, 0]);
  assert.equal(d[0]! & 1, 1);
  const other = carried(2);
  s.replace(other, 2n, true);
  assert.deepEqual(new Uint8Array(other.data), k);
  assert.notEqual(other.data, key.data, 'a browser takes the buffer with it');
});
