import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TokenBucket } from '../../src/tokenbucket';
import { concat, toHex, u64, u8, utf8, type Bytes } from '../../src/bytes';
import { AEAD, kdf, none } from '../../src/crypto/label';
import { toCamera, toViewer, type Direction } from '../../src/crypto/mailbox';
import {
  challengeMessage,
  HarmlessRecord,
  maxRecord,
  minRecord,
  onData,
  onSignaling,
  RecordKey,
  recordsAtOnce,
  recordsPerSecond,
  recordVersion,
} from '../../src/session/record';
import { hex, readJSON } from './testdata';

const secret = new Uint8Array(32).fill(7);
const derive = (channel = onData, direction: Direction = toCamera, s = secret): Promise<RecordKey> =>
  RecordKey.derive(s, channel, direction);

/** Returns a record made by hand (doc/protocol.md, section 6). */
async function handmade(counter: bigint, plaintext: string, version = recordVersion): Promise<Bytes> {
  const material = await kdf(none, secret, 'record', concat(u8(onData), u8(toCamera)), 44);
  const nonce = material.slice(32).map((x, i) => x ^ concat(new Uint8Array(4), u64(counter))[i]!);
  const header = concat(u8(version), u64(counter));
  return concat(header, await (await AEAD.create(material.slice(0, 32))).seal(nonce, utf8(plaintext), header));
}

test('records spell what the protocol says', async () => {
  const [sealer, opener] = [await derive(), await derive()];
  for (let n = 0n; n < 300n; n++) {
    const message = { type: 'candidate', candidate: `candidate:${n}`, mid: '0' };
    const wire = await sealer.seal(message);
    assert.equal(toHex(wire), toHex(await handmade(n, JSON.stringify(message))));
    assert.deepEqual(await opener.open(wire), message);
  }
});

test('challenges, and how busy a viewer is, are spelled as in Go', async () => {
  const v = readJSON<{
    key: string;
    challenges: { challenge: string; busy: number; plaintext: string; record: string }[];
  }>('session/handshake/testdata/challenge.json');

  const [sealer, opener] = [await derive(onData, toCamera, hex(v.key)), await derive(onData, toCamera, hex(v.key))];

  assert.deepEqual(
    v.challenges.map(({ busy }) => busy),
    [0, 1, 25, 100],
  );

  for (const { challenge, busy, plaintext, record } of v.challenges) {
    const message = challengeMessage(hex(challenge), busy);
    assert.equal(JSON.stringify(message), plaintext);
    assert.equal(toHex(await sealer.seal(message)), record);
    assert.deepEqual(await opener.open(hex(record)), message);
  }
});

test('records open, are ignored and are rejected as in Go', async () => {
  const v = readJSON<{
    key: string;
    stories: { name: string; arrivals: { record: string; result: string; plaintext?: string }[] }[];
  }>('session/handshake/testdata/record.json');

  assert.ok(v.stories.length > 0);
  for (const { name, arrivals } of v.stories) {
    const opener = await derive(onSignaling, toCamera, hex(v.key));
    for (const [i, { record, result, plaintext }] of arrivals.entries()) {
      const opened = await opener.open(hex(record)).then(
        (m) => ({ result: 'opens', plaintext: JSON.stringify(m) }),
        (e: unknown) => ({ result: e instanceof HarmlessRecord ? e.why : 'foreign', plaintext: undefined }),
      );
      assert.deepEqual(opened, { result, plaintext }, `${name}, arrival ${i}`);
    }
  }
});

test('records open in any order, each once', async () => {
  const [sealer, opener] = [await derive(), await derive()];
  const wires: Bytes[] = [];
  for (let n = 0; n < 3 * 64; n++) wires.push(await sealer.seal({ type: 'candidate' }));

  for (let from = 0; from < wires.length; from += 64) {
    const group = wires.slice(from, from + 64).reverse();
    for (const wire of group) assert.equal((await opener.open(wire)).type, 'candidate');
    for (const wire of group) await assert.rejects(opener.open(wire), new HarmlessRecord('copy'));
  }

  await assert.rejects(opener.open(wires[0]!), new HarmlessRecord('late'));
});

test('of copies that are opened at once, one is accepted', async () => {
  const [sealer, opener] = [await derive(), await derive()];
  const wire = await sealer.seal({ type: 'candidate' });
  const all = await Promise.allSettled([1, 2, 3].map(() => opener.open(wire)));
  assert.equal(all.filter(({ status }) => status === 'fulfilled').length, 1);
});

test('copies are not charged to the allowance', async () => {
  const sealer = await derive();
  const opener = await RecordKey.derive(secret, onData, toCamera, new TokenBucket(2, 0));
  const wire = await sealer.seal({ type: 'candidate' });
  await opener.open(wire);
  for (let n = 0; n < 10; n++) await assert.rejects(opener.open(wire), new HarmlessRecord('copy'));
  await opener.open(await sealer.seal({ type: 'candidate' }));
  await assert.rejects(opener.open(await sealer.seal({ type: 'candidate' })), new HarmlessRecord('fast'));
});

test('a record that is altered or truncated does not open, and does not stop the next', async () => {
  const [sealer, opener] = [await derive(), await derive()];
  const wire = await sealer.seal({ type: 'keyframe' });
  for (let i = 0; i < wire.length; i++) {
    const bad = wire.slice();
    bad[i]! ^= 1;
    await assert.rejects(opener.open(bad), `byte ${i}`);
    await assert.rejects(opener.open(wire.slice(0, i)), `${i} bytes`);
  }

  await assert.rejects(opener.open(concat(wire, u8(0))), 'longer');
  assert.deepEqual(await opener.open(wire), { type: 'keyframe' });
});

test('a record opens only in its own session, channel and direction', async () => {
  const wire = await (await derive()).seal({ type: 'bye', reason: 'closed' });
  await assert.rejects((await derive(onSignaling)).open(wire), 'channel');
  await assert.rejects((await derive(onData, toViewer)).open(wire), 'direction');
  await assert.rejects((await derive(onData, toCamera, new Uint8Array(32))).open(wire), 'session');
  assert.equal((await (await derive()).open(wire)).type, 'bye');
});

test('a sealed record is refused unless it is a message of this version', async () => {
  for (const version of [0, 1, 2, 4]) {
    await assert.rejects((await derive()).open(await handmade(0n, '{"type":"hello"}', version)), /version/);
  }

  for (const bad of [
    '',
    'hello',
    'null',
    '"hello"',
    '[]',
    '{}',
    '{"type":1}',
    `{"type":"status","text":"${'x'.repeat(4096)}"}`,
  ]) {
    await assert.rejects((await derive()).open(await handmade(0n, bad)), bad);
  }
});

test('records of both channels share one allowance', async () => {
  let now = 0;
  const allowance = new TokenBucket(recordsAtOnce, recordsPerSecond, () => now);
  const sealers = [await derive(onData), await derive(onSignaling)] as const;

  const openers = [
    await RecordKey.derive(secret, onData, toCamera, allowance),
    await RecordKey.derive(secret, onSignaling, toCamera, allowance),
  ] as const;

  const opened = async (n: number): Promise<number> => {
    let count = 0;
    for (let i = 0; i < n; i++) {
      const m = await openers[i % 2]!.open(await sealers[i % 2]!.seal({ type: 'network' })).catch((e: unknown) => e);
      if (!(m instanceof HarmlessRecord)) assert.deepEqual(m, { type: 'network' });
      else count--;
      count++;
    }

    return count;
  };

  assert.equal(await opened(2 * recordsAtOnce), recordsAtOnce);
  now += 2_000;
  assert.equal(await opened(2 * recordsAtOnce), 2 * recordsPerSecond);
});

test('a record that is too long to open cannot be sealed', async () => {
  const [sealer, opener] = [await derive(), await derive()];
  const room = maxRecord - minRecord - JSON.stringify({ type: 'status', text: '' }).length;
  const wire = await sealer.seal({ type: 'status', text: 'x'.repeat(room) });
  assert.equal(wire.length, maxRecord);
  assert.equal((await opener.open(wire)).type, 'status');
  await assert.rejects(sealer.seal({ type: 'status', text: 'x'.repeat(room + 1) }), /too long/);
  assert.equal((await opener.open(await sealer.seal({ type: 'hello' }))).type, 'hello');
});
