import assert from 'node:assert/strict';
import { test } from 'node:test';
import { random } from '../../src/bytes';
import type { Pair } from '../../src/crypto/envelope';
import { SessionError, sentences, type SessionEvents } from '../../src/session/events';
import { Session } from '../../src/session/session';
import { RelayError, type Signaling } from '../../src/signaling/client';

const clock = { now: (): number => 0, confirm: async (): Promise<void> => undefined };

/** Runs a session over a relay, and returns why it ended and what it said it waited for. */
async function run(relay: Partial<Signaling>): Promise<{ why: unknown; waits: string[] }> {
  const waits: string[] = [];
  const events = { waits: (what: string) => waits.push(what), explained: () => undefined };
  const pair = { mailboxSecret: random(32) } as Pair;
  const session = new Session(pair, relay as Signaling, events as unknown as SessionEvents, {
    watch: random(16),
    relayOnly: false,
    cameraHides: false,
    clock,
    carriers: ['vp8'],
  });

  const why: unknown = await session.run().catch((e: unknown) => e);
  return { why, waits };
}

const reached = {
  connected: async (): Promise<void> => undefined,
  serverTime: 1_800_000_000,
  receive: () => (): void => undefined,
  release: (): void => undefined,
};

test('a session that cannot be started says why', async () => {
  const { why, waits } = await run({ connected: () => Promise.reject(new Error('no sockets')) });
  assert.ok(why instanceof SessionError);
  assert.equal(why.message, 'The session could not be started: Error: no sockets');
  assert.equal(why.refused, false);
  assert.deepEqual(waits, [sentences.waitsRelay]);
});

test('a camera that never opened its mailbox did not answer', async () => {
  const { why } = await run({ ...reached, grant: () => Promise.reject(new RelayError(404, 'no such mailbox')) });
  assert.equal((why as Error).message, sentences.noAnswer);
});

test('a session passes on what else a relay refuses', async () => {
  const { why } = await run({ ...reached, grant: () => Promise.reject(new RelayError(429, 'too many requests')) });
  assert.match((why as Error).message, /^The session could not be started: RelayError: too many requests$/);
});
