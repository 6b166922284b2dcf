import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Reach } from '../../src/signaling/reach';

const relay = 'https://relay.example';
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const answering = (status: number) => (): Promise<Response> => Promise.resolve(new Response('{}', { status }));

test('a proxy is named once WebSocket has failed again where HTTP gets through', async () => {
  const reach = new Reach(relay, relay, answering(200));
  assert.match(reach.failed(), /Cannot reach the relay at relay\.example/);
  await settled();

  assert.equal(
    reach.failed(),
    'A proxy in front of the relay at relay.example blocks WebSocket: ' +
      'ask its operator to pass the Upgrade and Connection headers on.',
  );

  assert.ok(reach.blocked);
  reach.connected();
  assert.ok(!reach.blocked);
  assert.match(reach.failed(), /Cannot reach/, 'it may only have been restarted');
});

test('a relay that accepts WebSocket and sends nothing is named the second time', async () => {
  const reach = new Reach(relay, relay, answering(200));
  assert.match(reach.failed(true), /Cannot reach/, 'the network may be slow');
  await settled();

  assert.equal(
    reach.failed(true),
    'The relay at relay.example accepts the connection and then sends nothing. It hangs, or a proxy in front of it ' +
      'holds back what it sends: tell whoever runs it.',
  );
  assert.ok(!reach.blocked, 'Upgrade got through');

  reach.connected();
  assert.match(reach.failed(true), /Cannot reach/);
});

test('no proxy is blamed for a relay that is away, or that this page may not ask', async () => {
  const away = (): Promise<Response> => Promise.reject(new TypeError('Failed to fetch'));
  for (const [origin, get] of [
    [relay, away],
    [relay, answering(502)],
    ['https://other.example', answering(200)],
  ] as const) {
    const reach = new Reach(relay, origin, get);
    for (let n = 0; n < 3; n++) {
      assert.match(reach.failed(), /Cannot reach/);
      await settled();
    }
  }
});
