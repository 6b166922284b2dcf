import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backlog } from '../../src/media/backlog';

test('a decoder that falls behind is reported once, and so is catching up', () => {
  const said: boolean[] = [];
  const backlog = new Backlog((behind) => said.push(behind));
  for (const waiting of [0, 1, 14, 0, 15, 40, 4, 14, 3, 2, 14, 0, 20]) backlog.update(waiting);
  assert.deepEqual(said, [true, false, true]);
});
