import assert from 'node:assert/strict';
import { test } from 'node:test';
import { u32, u8, type Bytes } from '../../src/bytes';
import type { Carrier, Owner } from '../../src/signaling/carrier';
import { WebSocketCarrier } from '../../src/signaling/websocket';
import { WebTransportCarrier } from '../../src/signaling/webtransport';
import { RelaySession } from './relaysession';
import { Socket, url } from './relaysocket';

// What a connection to a relay owes its owner, whatever carries it.

interface Peer {
  say(...parts: Uint8Array[]): void;
  break(): void;
}
const kinds: { name: string; make: (owner: Owner) => { carrier: Carrier; relay: Peer } }[] = [
  {
    name: 'websocket',
    make: (owner) => ({ carrier: new WebSocketCarrier(url, owner), relay: Socket.all.at(-1)! }),
  },
  {
    name: 'webtransport',
    make: (owner) => ({ carrier: new WebTransportCarrier(url, owner), relay: RelaySession.all.at(-1)!.accept() }),
  },
];

/** An owner that notes what it hears, and closes its carrier at one frame. */
class Listener implements Owner {
  heard: string[] = [];

  constructor(private readonly last = NaN) {}

  frame(from: Carrier, frame: Bytes): void {
    this.heard.push(`${from.name} ${frame.length > 9 ? frame.length : frame.join()}`);
    if (frame[0] === this.last) from.close();
  }

  lost = (from: Carrier): void => void this.heard.push(`${from.name} lost`);
}

async function settle(): Promise<void> {
  for (let n = 0; n < 9; n++) await new Promise((resolve) => setImmediate(resolve));
}

for (const { name, make } of kinds) {
  test(`the owner of a ${name} hears each frame, and once that it is lost`, async () => {
    const owner = new Listener();
    const { relay } = make(owner);
    relay.say(u8(1));
    relay.say(new Uint8Array(65_536));
    await settle();
    relay.break();
    relay.break();
    await settle();
    assert.deepEqual(owner.heard, [`${name} 1`, `${name} 65536`, `${name} lost`]);
  });

  test(`the owner of a ${name} hears nothing once it has closed it`, async () => {
    const owner = new Listener(2);
    const { relay } = make(owner);
    for (const n of [1, 2, 3]) relay.say(u8(n));
    await settle();
    relay.break();
    await settle();
    assert.deepEqual(owner.heard, [`${name} 1`, `${name} 2`]);
  });

  test(`a ${name} with a frame of more than 65,536 bytes is lost`, async () => {
    const owner = new Listener();
    const { relay } = make(owner);
    relay.say(new Uint8Array(65_537));
    await settle();
    assert.deepEqual(owner.heard, [`${name} lost`]);
  });
}

test('a websocket that carries text is lost', () => {
  const owner = new Listener();
  new WebSocketCarrier(url, owner);
  Socket.all.at(-1)!.onmessage?.({ data: 'text' as unknown as ArrayBuffer });
  assert.deepEqual(owner.heard, ['websocket lost']);
});

test('the owner of a webtransport hears nothing of the frames behind the last one', async () => {
  const owner = new Listener(2);
  new WebTransportCarrier(url, owner);
  const one = [1, 2, 3].flatMap((n) => [u32(1), u8(n)]);
  RelaySession.all.at(-1)!.accept().write(...one); // in one chunk
  await settle();
  assert.deepEqual(owner.heard, ['webtransport 1', 'webtransport 2']);
});

test('a webtransport sends each frame after its length, once its stream is there', async () => {
  const carrier = new WebTransportCarrier(url, new Listener());
  const session = RelaySession.all.at(-1)!;
  carrier.send(u8(1));
  session.accept();
  await settle();
  carrier.send(Uint8Array.of(7, 8));
  await settle();
  assert.deepEqual(session.written.map((b) => [...b]), [[0, 0, 0, 2, 7, 8]]);
  carrier.close();
  carrier.send(u8(9));
  await settle();
  assert.equal(session.written.length, 1);
});
