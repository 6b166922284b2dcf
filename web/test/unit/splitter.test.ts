import assert from 'node:assert/strict';
import { test } from 'node:test';
import { concat, toHex, u32, u8, type Bytes } from '../../src/bytes';
import { Splitter } from '../../src/signaling/splitter';

const framed = (b: Bytes): Bytes => concat(u32(b.length), b);
const frames = [u8(1), new Uint8Array(300).fill(2), Uint8Array.of(0, 0, 0, 1), u8(7)];
const empty = u32(0);
const stream = concat(empty, ...frames.flatMap((f) => [framed(f), empty]));

function split(...chunks: Uint8Array[]): string[] {
  const splitter = new Splitter();
  return chunks.flatMap((c) => [...splitter.split(c)]).map(toHex);
}

test('frames are the same wherever the stream is split, and empty messages are none', () => {
  const want = frames.map(toHex);
  assert.deepEqual(split(stream), want);
  assert.deepEqual(split(...[...stream].map((x) => u8(x))), want, 'byte by byte');
  for (let at = 0; at <= stream.length; at++) {
    assert.deepEqual(split(stream.slice(0, at), stream.slice(at)), want, `split at ${at}`);
  }
});

test('an unfinished frame is not yielded', () => {
  assert.deepEqual(split(framed(frames[1]!).slice(0, -1)), []);
  assert.deepEqual(split(u32(1).slice(0, 3)), []);
});

test('the longest frame has 65,536 bytes, and no room is made for a longer one', () => {
  const longest = new Uint8Array(65_536).fill(9);
  assert.deepEqual(split(framed(longest)), [toHex(longest)]);

  for (const length of [65_537, 0xffff_ffff]) {
    const splitter = new Splitter();
    const got: string[] = [];
    const read = (): void => {
      for (const frame of splitter.split(concat(framed(u8(3)), u32(length)))) got.push(toHex(frame));
    };

    assert.throws(read, RangeError, `a frame of ${length} bytes`);
    assert.deepEqual(got, ['03'], 'what came before it');
  }
});

test('a frame keeps its bytes when the next one arrives', () => {
  const splitter = new Splitter();
  const chunk = framed(u8(5));
  const [first] = [...splitter.split(chunk)];
  chunk.fill(0);
  assert.deepEqual([...splitter.split(framed(u8(6)))], [u8(6)]);
  assert.deepEqual(first, u8(5));
});
