import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bytes } from '../../src/bytes';
import { pairMailbox, toCamera, type Mailbox } from '../../src/crypto/mailbox';
import { lastMessageWait, Outbox } from '../../src/session/outbox';
import { onSignaling, RecordKey } from '../../src/session/record';

const secret = new Uint8Array(32).fill(3);
const box = await pairMailbox(secret, toCamera, 7);

/** A relay that takes a message when the test says so. */
class Relay {
  readonly bodies: Bytes[] = [];
  readonly answers: { resolve: () => void; reject: (e: Error) => void }[] = [];
  #wake: (() => void) | undefined;

  send(to: Mailbox, body: Bytes): Promise<void> {
    assert.equal(to, box);
    this.bodies.push(body);
    this.#wake?.();
    return new Promise((resolve, reject) => this.answers.push({ resolve, reject }));
  }

  async has(n: number): Promise<void> {
    while (this.bodies.length < n) await new Promise<void>((resolve) => (this.#wake = resolve));
  }
}

async function outboxAt(relay: Relay): Promise<{ out: Outbox; types: () => Promise<string[]> }> {
  const [seal, open] = await Promise.all([0, 1].map(() => RecordKey.derive(secret, onSignaling, toCamera)));
  return {
    out: new Outbox(relay, box, seal!),
    types: async () => {
      const all: string[] = [];
      for (const body of relay.bodies) all.push((await open!.open(body)).type);
      return all;
    },
  };
}

test('records are posted in order, and none waits until the one before is taken', async () => {
  const relay = new Relay();
  const { out, types } = await outboxAt(relay);
  const said = ['a', 'b', 'c'].map((type) => out.post({ type }));
  await relay.has(3);
  assert.deepEqual(await types(), ['a', 'b', 'c'], 'before the relay has answered one');
  relay.answers[0]!.reject(new Error('refused'));
  await said[0];
  void out.post({ type: 'd' });
  await relay.has(4);
});

test('the last message waits for the relay, but not for ever', async (t) => {
  const relay = new Relay();
  const { out } = await outboxAt(relay);
  const taken = out.postLast({ type: 'bye' });
  await relay.has(1);
  relay.answers[0]!.resolve();
  await taken;
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let over = false;
  const lost = out.postLast({ type: 'bye' }).then(() => (over = true));
  await relay.has(2);
  t.mock.timers.tick(lastMessageWait - 1);
  await Promise.resolve();
  assert.equal(over, false);
  t.mock.timers.tick(1);
  await lost;
});
