import assert from 'node:assert/strict';
import { test } from 'node:test';
import { concat, random, Reader, text, toHex, u16, u32, u64, u8, utf8, var16 } from '../../src/bytes';
import { rendezvous } from '../../src/crypto/mailbox';
import { RelayError, replacedRest, Signaling } from '../../src/signaling/client';
import { connect, inbox, opened, outbox, posted, Socket, url } from './relaysocket';

async function until(is: () => boolean): Promise<void> {
  while (!is()) await new Promise((resolve) => setImmediate(resolve));
}

test('a mailbox is opened once, before what is posted to it', async () => {
  const { client, socket } = await connect();
  const sending = [client.send(outbox, utf8('one'), 60), client.send(outbox, utf8('two'), 60)];
  socket.say(u8(0x20), u32(await opened(socket, outbox, 2)));

  for (const want of ['one', 'two']) {
    const { id, body } = await posted(socket, outbox);
    assert.equal(body, want);
    socket.say(u8(0x20), u32(id));
  }

  await Promise.all(sending);
  assert.ok(Math.abs(client.serverTime - 1_795_000_000) < 10);
  client.close();
});

test('a rendezvous mailbox carries the pairing ticket', async () => {
  const { client, socket } = await connect();
  const box = await rendezvous(random(32), 2);
  client.receive(box, async () => false);
  await opened(socket, box, 1, 'pairing');
  client.close();
});

test('a refusal is an error with its code', async () => {
  const { client, socket } = await connect();
  const grant = client.grant(outbox);
  await opened(socket, outbox, 2);
  const r = new Reader(await socket.take());
  assert.equal(r.u8(), 0x13);
  socket.say(u8(0x21), u32(r.u32()), u16(404), var16(utf8('not admitted')));
  await assert.rejects(grant, (e) => e instanceof RelayError && e.code === 404 && e.message === 'not admitted');
  client.close();
});

test('a replaced reader rests, also across reconnects, and then reads again', async (t) => {
  const { client, socket } = await connect();
  client.receive(inbox, async () => true);
  await opened(socket, inbox, 1);
  t.mock.timers.enable({ apis: ['setTimeout'] });
  for (let said = 0; said < 2; said++) {
    socket.say(u8(0x24), inbox.name, u16(409), var16(utf8('others read this mailbox')));
  }

  socket.say(u8(0x24), outbox.name, u16(409), var16(utf8('a mailbox that is not read here')));

  const next = Socket.next();
  socket.break();
  t.mock.timers.tick(1_000);
  const again = await next;
  again.challenge();
  await client.connected();
  client.receive(inbox, async () => true);
  client.receive(outbox, async () => true);
  await opened(again, outbox, 1); // and not the mailbox before it

  t.mock.timers.tick(replacedRest - 1_000);
  await opened(again, inbox, 1);
  client.close();
});

test('messages are delivered in order and acknowledged when handled', async () => {
  const { client, socket } = await connect();
  const got: string[] = [];
  const stop = client.receive(inbox, async (body) => {
    got.push(text(body));
    return text(body) !== 'keep';
  });

  await opened(socket, inbox, 1);

  for (const [seq, body] of [
    [1n, 'a'],
    [2n, 'keep'],
    [3n, 'b'],
  ] as const) {
    socket.say(u8(0x22), inbox.name, u64(seq), utf8(body));
  }

  socket.say(u8(0x22), outbox.name, u64(4n), utf8('of a mailbox that nobody asked for'));
  for (const seq of [1n, 3n]) assert.equal(toHex(await socket.take()), toHex(concat(u8(0x12), inbox.name, u64(seq))));
  assert.deepEqual(got, ['a', 'keep', 'b']);
  stop();
  assert.equal(toHex(await socket.take()), toHex(concat(u8(0x14), inbox.name)));
  client.close();
});

test('a rejection is sent once, on the connection that delivered the message', async () => {
  const { client, socket } = await connect();
  const rejects: (() => void)[] = [];
  client.receive(inbox, async (body, reject) => {
    rejects.push(reject);
    if (text(body) === 'foreign') reject();
    return text(body) === 'foreign';
  });

  await opened(socket, inbox, 1);

  for (const [seq, body] of [
    [1n, 'foreign'],
    [2n, 'ours'],
    [3n, 'foreign'],
  ] as const) {
    socket.say(u8(0x22), inbox.name, u64(seq), utf8(body));
  }

  for (const [type, seq] of [
    [0x15, 1n],
    [0x12, 1n],
    [0x15, 3n],
    [0x12, 3n],
  ] as const) {
    assert.equal(toHex(await socket.take()), toHex(concat(u8(type), inbox.name, u64(seq))));
  }

  rejects[0]!(); // again
  rejects[1]!(); // later, once it has been handled
  assert.equal(toHex(await socket.take()), toHex(concat(u8(0x15), inbox.name, u64(2n))));
  socket.say(u8(0x22), inbox.name, u64(4n), utf8('late'));
  await until(() => rejects.length === 4);
  const again = Socket.next();
  socket.break();
  const second = await again;
  second.challenge();
  await opened(second, inbox, 1);
  rejects[3]!();
  client.release(outbox); // whose frame comes next, instead of a rejection
  assert.equal(toHex(await second.take()), toHex(concat(u8(0x14), outbox.name)));
  client.close();
});

test('after a lost connection mailboxes are opened again and requests are repeated', async () => {
  const { client, socket } = await connect();
  client.receive(inbox, async () => true);
  await opened(socket, inbox, 1);
  const sending = client.send(outbox, utf8('one'), 60);
  await opened(socket, outbox, 2);
  await posted(socket, outbox);
  const again = Socket.next();
  socket.break();
  const second = await again;
  second.challenge();

  // Reading and writing are opened side by side; a message is posted after its own open.
  const frames = [await second.take(), await second.take(), await second.take()];
  const reading = frames.findIndex((f) => f[0] === 0x10 && f[5] === 1);
  await opened(second, inbox, 1, '', Promise.resolve(frames.splice(reading, 1)[0]!));
  await opened(second, outbox, 2, '', Promise.resolve(frames[0]!));
  const { id, body } = await posted(second, outbox, Promise.resolve(frames[1]!));
  assert.equal(body, 'one');
  second.say(u8(0x20), u32(id));
  await sending;
  client.close();
});

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

test('as many deliveries wait as a mailbox may hold, and all are handled', async () => {
  const { client, socket } = await connect();
  let handled = 0;
  client.receive(inbox, async () => (handled++, false));
  await opened(socket, inbox, 1);
  for (const n of range(512)) socket.say(u8(0x22), inbox.name, u64(n), new Uint8Array(n === 0 ? 40_000 : 1));
  await until(() => handled === 512);
  socket.say(u8(0x22), inbox.name, u64(512), u8(1));
  await until(() => handled === 513);
  assert.equal(socket.readyState, Socket.OPEN);
  client.close();
});

test('a grant has a bounded number and length of servers, names and passwords', async () => {
  const credentials = (n: number, p = n): object => ({ username: 'u'.repeat(n), credential: 'p'.repeat(p) });
  const whole = {
    urls: Array<string>(8).fill('x'.repeat(300)),
    ttl: 60,
    viewer: credentials(508),
    camera: credentials(508),
  };

  const rows: [name: string, grant: object, good?: boolean][] = [
    ['as much as may be', whole, true],
    ['a server more', { ...whole, urls: [...whole.urls, 'turn:x'] }],
    ['a longer name', { ...whole, urls: ['x'.repeat(301)] }],
    ['no name', { ...whole, urls: [7] }],
    ['a longer username', { ...whole, viewer: credentials(509, 1) }],
    ['a longer password', { ...whole, camera: credentials(1, 509) }],
  ];

  const { client, socket } = await connect();
  await Promise.all([
    client.send(outbox, utf8('x'), 60),
    opened(socket, outbox, 2)
      .then(() => posted(socket, outbox))
      .then(({ id }) => socket.say(u8(0x20), u32(id))),
  ]);

  for (const [name, grant, good] of rows) {
    const asked = client.grant(outbox);
    const r = new Reader(await socket.take());
    assert.equal(r.u8(), 0x13);
    socket.say(u8(0x23), u32(r.u32()), utf8(JSON.stringify(grant)));
    if (good) assert.deepEqual(await asked, grant, name);
    else await assert.rejects(asked, (e) => e instanceof RelayError && e.code === 400, name);
  }

  client.close();
});

const malformed: { name: string; frames: (s: Socket) => void }[] = [
  { name: 'an empty frame', frames: (s) => s.say() },
  { name: 'an unknown type', frames: (s) => s.say(u8(0x7f), u32(1)) },
  { name: 'a second challenge', frames: (s) => s.challenge() },
  { name: 'a frame too long', frames: (s) => s.say(u8(0x20), u32(1), u8(0)) },
  { name: 'a frame too short', frames: (s) => s.say(u8(0x22), inbox.name) },
  { name: 'a delivery of nothing', frames: (s) => s.say(u8(0x22), inbox.name, u64(1)) },
  {
    name: 'a delivery that is longer than any',
    frames: (s) => s.say(u8(0x22), inbox.name, u64(1), new Uint8Array(40_001)),
  },
  {
    name: 'more than the page can keep up with',
    frames: (s) => range(513).forEach((n) => s.say(u8(0x22), inbox.name, u64(n), u8(1))),
  },
  { name: 'a relay that reads nothing', frames: (s) => ((s.bufferedAmount = 2 ** 20 + 1), s.client.release(outbox)) },
];
for (const { name, frames } of malformed) {
  test(`${name} ends the connection, and the client comes back`, async () => {
    const { client, socket } = await connect();
    socket.client = client;
    const again = Socket.next();
    frames(socket);
    assert.equal(socket.readyState, 3);
    (await again).challenge();
    await client.connected();
    client.close();
  });
}

test('after close nothing is dialled, and waiting requests fail', async () => {
  const { client, socket } = await connect();
  const sending = client.send(outbox, utf8('one'), 60);
  await opened(socket, outbox, 2);
  const count = Socket.all.length;
  client.close();
  await assert.rejects(sending);
  await assert.rejects(client.connected());
  socket.break();
  assert.equal(Socket.all.length, count);
});

test('a probe soon drops a connection that says nothing', async () => {
  const { client, socket } = await connect();
  const sending = client.send(outbox, utf8('one'), 60);
  await opened(socket, outbox, 2);
  await posted(socket, outbox);
  const again = Socket.next();
  const began = performance.now();
  client.probe();
  const second = await again;
  assert.equal(socket.readyState, 3);
  const took = performance.now() - began;
  assert.ok(took > 300 && took < 8_000, `after ${took} ms: what is not hurried waits 10 s`);
  second.challenge();
  await opened(second, outbox, 2);
  const { id } = await posted(second, outbox);
  second.say(u8(0x20), u32(id));
  await sending;
  client.close();
});

test('a probe keeps a connection that says anything', async () => {
  const { client, socket } = await connect();
  const sending = [client.send(outbox, utf8('one'), 60), client.send(outbox, utf8('two'), 60)];
  await opened(socket, outbox, 2);
  const ids = [(await posted(socket, outbox)).id, (await posted(socket, outbox)).id];
  client.probe();
  socket.say(u8(0x20), u32(ids[0]!));
  const count = Socket.all.length;
  await new Promise((resolve) => setTimeout(resolve, 900)); // past the timeout of a probe
  assert.deepEqual([socket.readyState, Socket.all.length], [Socket.OPEN, count]);
  socket.say(u8(0x20), u32(ids[1]!));
  await Promise.all(sending);
  client.close();
});

test('a probe replaces an attempt that hangs, one at a time', async () => {
  const { client, socket } = await connect();
  const again = Socket.next();
  socket.break();
  const hanging = await again;
  const third = Socket.next();
  client.probe(); // which dials at once
  const tried = await third;
  assert.equal(hanging.readyState, 3);
  const fourth = await Socket.next(); // although nobody says anything
  assert.equal(tried.readyState, 3);
  fourth.challenge();
  await client.connected();
  client.close();
});

test('an attempt that is accepted and then hears nothing is told from one that fails', async () => {
  const states: [boolean, boolean][] = [];
  const client = new Signaling(url, (...state) => states.push(state));
  assert.ok(client.held);
  client.probe(); // which gives each attempt little time
  const silent = await Socket.next();
  const next = Socket.next();
  assert.ok(client.held);
  await next;
  assert.equal(silent.readyState, 3);

  (await Socket.next()).break();
  assert.ok(!client.held);
  const last = await Socket.next();
  last.challenge();
  assert.ok(!client.held);
  client.close();

  assert.deepEqual(states.at(0), [false, true], 'accepted, and silent');
  assert.deepEqual(states.slice(-2), [
    [false, false],
    [true, false],
  ]);
});

test('redial replaces the connection at once', async () => {
  const { client, socket } = await connect();
  const count = Socket.all.length;
  client.redial();
  assert.deepEqual([socket.readyState, Socket.all.length], [3, count + 1]);
  Socket.all.at(-1)!.challenge();
  await client.connected();
  client.close();
  client.probe();
  assert.equal(Socket.all.length, count + 1, 'after close nothing is dialled');
});
