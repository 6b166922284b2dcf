import assert from 'node:assert/strict';
import { test } from 'node:test';
import { random } from '../../src/bytes';
import type { Pair } from '../../src/crypto/envelope';
import { SessionError, sentences, type SessionEvents } from '../../src/session/events';
import { Session } from '../../src/session/session';
import { RelayError } from '../../src/signaling/client';
import { noVersion } from '../../src/signaling/relaylist';
import type { Relays } from '../../src/signaling/relays';
import type { Search } from '../../src/signaling/search';

const clock = { now: (): number => 0, confirm: async (): Promise<void> => undefined };

/** Runs a session over relays, and returns why it ended and what it said it waited for. */
async function run(relays: Partial<Relays>): Promise<{ why: unknown; waits: string[] }> {
  const waits: string[] = [];
  const events = { waits: (what: string) => waits.push(what), explained: () => undefined };
  const pair = { mailboxSecret: random(32) } as Pair;
  const session = new Session(pair, { ...reached, ...relays } as Relays, events as unknown as SessionEvents, {
    watch: random(16),
    relayOnly: false,
    cameraHides: false,
    relayURL: 'https://relay.example',
    listVersion: noVersion,
    clock,
    carriers: ['vp8'],
  });

  const why: unknown = await session.run().catch((e: unknown) => e);
  return { why, waits };
}

const search = { end: (): void => undefined };

const reached = {
  search: () => search as Search,
  connected: async (): Promise<void> => undefined,
  serverTime: 1_800_000_000,
  receive: () => (): void => undefined,
  release: (): void => undefined,
};

const granting = (grant: Search['grant']): Partial<Relays> => ({ search: () => ({ ...search, grant }) as Search });

test('a session that cannot be started says why', async () => {
  const { why, waits } = await run({ connected: () => Promise.reject(new Error('no sockets')) });
  assert.ok(why instanceof SessionError);
  assert.equal(why.message, 'The session could not be started: Error: no sockets');
  assert.equal(why.refused, false);
  assert.deepEqual(waits, [sentences.waitsRelay]);
});

test('a camera that never opened its mailbox did not answer', async () => {
  const { why } = await run(granting(() => Promise.reject(new RelayError(404, 'no such mailbox'))));
  assert.equal((why as Error).message, sentences.noAnswer);
});

test('a session passes on what else a relay refuses', async () => {
  const { why } = await run(granting(() => Promise.reject(new RelayError(429, 'too many requests'))));
  assert.match((why as Error).message, /^The session could not be started: RelayError: too many requests$/);
});
