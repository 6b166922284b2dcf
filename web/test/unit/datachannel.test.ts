import assert from 'node:assert/strict';
import { test } from 'node:test';
import { random, type Bytes } from '../../src/bytes';
import { toCamera, toViewer } from '../../src/crypto/mailbox';
import { DataChannel } from '../../src/session/datachannel';
import { onData, RecordKey, type RecordMessage } from '../../src/session/record';

const secret = random(32);
const keyTo = (direction: typeof toCamera | typeof toViewer): Promise<RecordKey> =>
  RecordKey.derive(secret, onData, direction);

/** A channel that keeps what is sent. */
class FakeChannel {
  binaryType = '';
  readyState = 'connecting';
  onopen = (): void => undefined;
  onmessage = (_: { data: ArrayBuffer }): void => undefined;
  readonly sent: Bytes[] = [];

  send(wire: Bytes): void {
    this.sent.push(wire);
  }

  open(): void {
    this.readyState = 'open';
    this.onopen();
  }
}

interface Opened {
  channel: DataChannel;
  fake: FakeChannel;
  /** What the session has heard, in order. */
  told: string[];
}

function openChannel(): Opened {
  const fake = new FakeChannel();
  const told: string[] = [];
  const pc = { createDataChannel: () => fake as unknown as RTCDataChannel };
  const channel = new DataChannel(pc, {
    arrived: () => told.push('arrived'),
    greeted: () => told.push('greeted'),
    record: (m: RecordMessage) => told.push(m.type),
    rejected: () => told.push('rejected'),
  });

  return { channel, fake, told };
}

/** Waits until the session has heard what it should, or the test fails. */
async function until(told: string[], want: string[]): Promise<void> {
  for (let n = 0; n < 1000 && told.length < want.length; n++) await new Promise((r) => setTimeout(r, 5));
  assert.deepEqual(told, want);
}

test('a data channel says hello once it is open and has keys', async () => {
  const { channel, fake, told } = openChannel();
  fake.open();
  assert.deepEqual([channel.saidHello, fake.sent.length], [false, 0]);

  channel.setKeys(await keyTo(toCamera), await keyTo(toViewer));
  await channel.greet();
  assert.ok(channel.saidHello);
  assert.deepEqual(told, ['greeted']);
  assert.equal((await (await keyTo(toCamera)).open(fake.sent[0]!)).type, 'hello');
});

test('a data channel sends nothing before it is open, and then in order', async () => {
  const { channel, fake } = openChannel();
  channel.setKeys(await keyTo(toCamera), await keyTo(toViewer));
  await channel.send({ type: 'lost' });
  assert.equal(fake.sent.length, 0);

  fake.readyState = 'open';
  await Promise.all(['a', 'b', 'c'].map((type) => channel.send({ type })));
  const key = await keyTo(toCamera);
  const types: string[] = [];
  for (const wire of fake.sent) types.push((await key.open(wire)).type);
  assert.deepEqual(types, ['a', 'b', 'c']);
});

test('a data channel reports no record before the camera’s hello', async () => {
  const { channel, fake, told } = openChannel();
  channel.setKeys(await keyTo(toCamera), await keyTo(toViewer));
  const camera = await keyTo(toViewer);
  for (const type of ['status', 'hello', 'network']) {
    const wire = await camera.seal({ type });
    fake.onmessage({ data: wire.buffer });
  }

  await until(told, ['arrived', 'arrived', 'arrived', 'hello', 'network']);
});

test('a data channel reports what does not open', async () => {
  const { channel, fake, told } = openChannel();
  fake.onmessage({ data: random(40).buffer }); // no keys yet
  await until(told, ['arrived', 'rejected']);
  channel.setKeys(await keyTo(toCamera), await keyTo(toViewer));
  fake.onmessage({ data: random(40).buffer });
  await until(told, ['arrived', 'rejected', 'arrived', 'rejected']);
});

test('a data channel ignores copies and what comes late, and obeys the newest state', async () => {
  const { channel, fake, told } = openChannel();
  channel.setKeys(await keyTo(toCamera), await keyTo(toViewer));
  const camera = await keyTo(toViewer);
  const wires: Bytes[] = [];
  for (const type of ['hello', 'status', 'status', 'keyframe']) wires.push(await camera.seal({ type }));

  for (const n of [0, 2, 1, 3, 2, 0]) fake.onmessage({ data: wires[n]!.buffer });
  await until(told, [...new Array<string>(6).fill('arrived'), 'hello', 'status', 'keyframe']);
});

test('a data channel drops what comes faster than it can open', async () => {
  const { channel, fake, told } = openChannel();
  channel.setKeys(await keyTo(toCamera), await keyTo(toViewer));
  for (let n = 0; n < 300; n++) fake.onmessage({ data: random(40).buffer });
  await until(told, [...new Array<string>(300).fill('arrived'), ...new Array<string>(256).fill('rejected')]);
});
