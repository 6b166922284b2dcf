import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bytes } from '../../src/bytes';
import { pairMailbox, toCamera, type Mailbox } from '../../src/mailbox';
import { lastWord, Outbox } from '../../src/outbox';
import { onSignaling, RecordKey } from '../../src/record';

const secret = new Uint8Array(32).fill(3);
const box = await pairMailbox(secret, toCamera, 7);

/** A relay that takes a message when a test says so. */
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

test('outbox: in order, and none waits for the word on the one before', async () => {
  const relay = new Relay();
  const { out, types } = await outboxAt(relay);
  const said = ['a', 'b', 'c'].map((type) => out.say({ type }));
  await relay.has(3);
  assert.deepEqual(await types(), ['a', 'b', 'c'], 'before the relay has answered one');
  relay.answers[0]!.reject(new Error('refused'));
  await said[0];
  void out.say({ type: 'd' });
  await relay.has(4);
});

test('outbox: the last word waits for the relay, and not for ever', async (t) => {
  const relay = new Relay();
  const { out } = await outboxAt(relay);
  const taken = out.last({ type: 'bye' });
  await relay.has(1);
  relay.answers[0]!.resolve();
  await taken;
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let over = false;
  const lost = out.last({ type: 'bye' }).then(() => (over = true));
  await relay.has(2);
  t.mock.timers.tick(lastWord - 1);
  await Promise.resolve();
  assert.equal(over, false);
  t.mock.timers.tick(1);
  await lost;
});
