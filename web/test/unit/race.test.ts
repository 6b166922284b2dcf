import assert from 'node:assert/strict';
import { afterEach, test, type TestContext } from 'node:test';
import { concat, u32, u64, u8, utf8 } from '../../src/bytes';
import { Signaling } from '../../src/signaling/client';
import { RelaySession } from './relaysession';
import { inbox, opened, outbox, posted, Socket, url } from './relaysocket';

// A page tries WebSocket and WebTransport at once. The test runner fails a test whose promise is rejected unhandled.

const offered = globalThis.WebTransport;
let client: Signaling;
let states: [connected: boolean, held: boolean][];

/** Begins to reach a relay, by whatever there is. */
function dial(relay = url): { socket: Socket; session: RelaySession } {
  states = [];
  RelaySession.all.length = 0;
  client = new Signaling(relay, (...state) => states.push(state));
  return attempt();
}

/** Returns the newest attempt. */
const attempt = (): { socket: Socket; session: RelaySession } => ({
  socket: Socket.all.at(-1)!,
  session: RelaySession.all.at(-1)!,
});

/** Dials, and lets WebTransport win. */
async function connect(): Promise<RelaySession> {
  const { session } = dial();
  session.accept().challenge();
  await client.connected();
  assert.equal(client.carriedBy, 'webtransport');
  return session;
}

/** Lets everything happen that waits for no timer. */
async function settle(): Promise<void> {
  for (let n = 0; n < 9; n++) await new Promise((resolve) => setImmediate(resolve));
}

const stopClock = (t: TestContext): void => t.mock.timers.enable({ apis: ['setTimeout'] });

afterEach(async () => {
  client.close();
  await settle();
  globalThis.WebTransport = offered;
});

test('WebTransport is used if its challenge comes first, and the WebSocket is closed', async () => {
  const { socket, session } = dial();
  assert.equal(session.url, 'https://relay.example/v1/signal/3');
  session.accept().challenge();
  await client.connected();
  assert.deepEqual([client.carriedBy, socket.readyState, session.gone], ['webtransport', 3, false]);

  const sending = client.send(outbox, utf8('one'), 60);
  session.say(u8(0x20), u32(await opened(session, outbox, 2)));
  const { id, body } = await posted(session, outbox);
  assert.equal(body, 'one');
  session.say(u8(0x20), u32(id));
  await sending;

  socket.challenge();
  await settle();
  assert.deepEqual(states, [[true, false]], 'the loser is not heard');
});

test('the WebSocket is used if its challenge comes first, and the session is closed', async () => {
  const { socket, session } = dial();
  session.accept();
  await settle();
  assert.ok(client.held, 'the WebSocket is accepted and silent');
  socket.challenge();
  await client.connected();
  assert.deepEqual([client.carriedBy, socket.readyState, session.gone], ['websocket', Socket.OPEN, true]);
  assert.ok(!client.held);
  await settle();
  assert.deepEqual(states, [[true, false]]);
});

test('a session that fails leaves the WebSocket time', async (t) => {
  stopClock(t);
  const { socket, session } = dial();
  session.break();
  await settle();
  t.mock.timers.tick(30_000);
  assert.deepEqual([socket.readyState, states], [Socket.OPEN, []]);
  socket.challenge();
  assert.equal(client.carriedBy, 'websocket');
});

test('an attempt has failed once both have', async (t) => {
  stopClock(t);
  for (const order of ['WebSocket first', 'WebTransport first']) {
    const { socket, session } = dial();
    const fails = [() => socket.break(), () => session.break()];
    if (order === 'WebTransport first') fails.reverse();

    fails[0]!();
    await settle();
    assert.deepEqual(states, [], order);
    fails[1]!();
    await settle();
    assert.deepEqual(states, [[false, false]], order);

    t.mock.timers.tick(300);
    assert.equal(RelaySession.all.length, 2, `${order}: both are tried again`);
    t.mock.timers.tick(5_000);
    assert.deepEqual(states, [[false, false]], `${order}: one failure`);
    client.close();
  }
});

test('a session that hangs has one second once the WebSocket has failed', async (t) => {
  stopClock(t);
  const { socket, session } = dial();
  socket.break();
  t.mock.timers.tick(999);
  assert.deepEqual([states, session.gone], [[], false]);
  t.mock.timers.tick(1);
  assert.deepEqual([states, session.gone], [[[false, false]], true]);
  t.mock.timers.tick(300);
  assert.equal(RelaySession.all.length, 2);

  attempt().socket.challenge();
  assert.equal(client.carriedBy, 'websocket', 'and delays no WebSocket that works');
});

test('WebTransport may come in the second after the WebSocket has failed, and stays', async (t) => {
  stopClock(t);
  const { socket, session } = dial();
  socket.break();
  t.mock.timers.tick(900);
  session.accept().challenge();
  await settle();
  t.mock.timers.tick(9_000);
  assert.deepEqual([client.carriedBy, session.gone, states], ['webtransport', false, [[true, false]]]);
});

test('a probe replaces both, and says that the WebSocket was held', async (t) => {
  stopClock(t);
  const { socket, session } = dial();
  client.probe();
  assert.deepEqual([socket.readyState, session.gone, RelaySession.all.length], [3, true, 2]);
  const second = attempt();
  t.mock.timers.tick(1_200);
  assert.deepEqual([second.socket.readyState, second.session.gone], [3, true]);
  assert.deepEqual(states, [[false, true]]);
});

test('only the WebSocket is tried of a relay without TLS, and where there is no WebTransport', () => {
  dial('http://relay.example');
  assert.equal(RelaySession.all.length, 0);
  client.close();

  globalThis.WebTransport = undefined as unknown as typeof WebTransport;
  const { socket } = dial();
  socket.break();
  assert.deepEqual(states, [[false, false]], 'it fails alone');
  client.close();

  globalThis.WebTransport = class {
    constructor() {
      throw new Error('not supported');
    }
  } as unknown as typeof WebTransport;
  dial().socket.challenge();
  assert.equal(client.carriedBy, 'websocket');
});

test('frames arrive however the network cuts them, and empty messages are no frames', async () => {
  const { socket, session } = dial();
  session.accept().write(u32(0));
  await settle();
  assert.deepEqual([states, socket.readyState], [[], Socket.OPEN], 'an empty message wins no race');

  const greeting = concat(...session.greeting());
  for (const byte of concat(u32(greeting.length), greeting)) session.write(u8(byte));
  await client.connected();
  const got: number[] = [];
  client.receive(inbox, async (body) => (got.push(body.length), false));
  await opened(session, inbox, 1);

  const deliveries = [1, 40_000, 2].map((n) => concat(u8(0x22), inbox.name, u64(n), new Uint8Array(n)));
  session.write(...deliveries.flatMap((d) => [u32(d.length), d, u32(0)]));
  await settle();
  assert.deepEqual(got, [1, 40_000, 2]);
  assert.deepEqual(states, [[true, false]]);
});

const ends: { name: string; end: (s: RelaySession) => void }[] = [
  { name: 'a session that fails', end: (s) => s.break() },
  { name: 'a session that the relay closes', end: (s) => s.end() },
  { name: 'a stream that ends', end: (s) => s.endStream() },
  { name: 'a stream that takes nothing more', end: (s) => (s.stopReading(), client.release(outbox)) },
  { name: 'a frame that is too long', end: (s) => s.write(u32(65_537)) },
  { name: 'a frame that is malformed', end: (s) => s.say(u8(0x7f), u32(1)) },
];
for (const { name, end } of ends) {
  test(`${name} is a lost connection, and the client comes back`, async (t) => {
    stopClock(t);
    const session = await connect();
    const sending = client.send(outbox, utf8('one'), 60);
    await opened(session, outbox, 2);
    await posted(session, outbox);

    end(session);
    await settle();
    assert.deepEqual([states.slice(1), session.gone], [[[false, false]], true]);
    assert.equal(client.carriedBy, undefined);
    t.mock.timers.tick(300);
    const again = attempt();
    assert.notEqual(again.session, session);
    again.socket.challenge();
    assert.equal(client.carriedBy, 'websocket');
    await opened(again.socket, outbox, 2);
    again.socket.say(u8(0x20), u32((await posted(again.socket, outbox)).id));
    await sending;
  });
}

test('nothing is handled that came with the frame that ended the connection', async () => {
  const session = await connect();
  let handled = 0;
  client.receive(inbox, async () => (handled++, true));
  await opened(session, inbox, 1);
  const [bad, good] = [concat(u8(0x7f), u32(1)), concat(u8(0x22), inbox.name, u64(1), u8(1))];
  session.write(u32(bad.length), bad, u32(good.length), good);
  await settle();
  assert.equal(handled, 0);
});

test('a relay that reads nothing is lost once a mebibyte waits, and one that reads may get more', async () => {
  const post = 1 + 4 + 32 + 4 + 40_000 + 4; // with its length
  const fits = Math.floor(2 ** 20 / post);

  for (const stalled of [true, false]) {
    const session = await connect();
    const first = client.send(outbox, utf8('x'), 60);
    await opened(session, outbox, 2);
    session.say(u8(0x20), u32((await posted(session, outbox)).id));
    await first;

    session.stalled = stalled;
    const send = (): void => void client.send(outbox, new Uint8Array(40_000), 60).catch(() => undefined);
    for (let n = 0; n < fits; n++) send();
    await settle();
    assert.ok(!session.gone, 'what may wait');
    send();
    await settle();
    assert.equal(session.gone, stalled);
    client.close();
  }
});

test('after close the session is closed, and nothing is dialled', async (t) => {
  stopClock(t);
  const { session } = dial();
  client.close();
  await settle();
  t.mock.timers.tick(60_000);
  assert.deepEqual([session.gone, RelaySession.all.length, states], [true, 1, []]);
});
