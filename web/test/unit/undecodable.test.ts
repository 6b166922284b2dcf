import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explainUndecodable } from '../../src/media/undecodable';

test('a stream that a browser cannot decode is named with what to change, if its profile is known', () => {
  for (const [codec, what] of [
    ['avc1.6e000d', '10 bit'],
    ['avc1.7a000d', '4:2:2'],
    ['avc1.f4000d', '4:4:4'],
  ] as const) {
    assert.match(
      explainUndecodable('Operation is not supported', codec),
      new RegExp(`^This browser cannot decode ${what} video. Set the camera to `),
    );
  }

  for (const codec of ['avc1.64001f', '']) {
    assert.equal(explainUndecodable('no memory', codec), 'This browser cannot decode the picture: no memory');
  }
});
