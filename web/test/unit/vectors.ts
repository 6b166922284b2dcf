import { mkdirSync, writeFileSync } from 'node:fs';
import { random, toHex } from '../../src/bytes';
import { camera, viewer } from '../../src/crypto/identity';
import { dayOf } from '../../src/crypto/mailbox';
import { makeDevice } from './device';
import { makeEnvelope, makeRefused, type EnvelopeVectors } from './envelopevectors';
import { makeCode, runPairing, type PairingVectors } from './pairingvectors';
import { hex } from './testdata';

// Writes testdata/vectors-ts.json: what this code seals, for the Go tests to open (`npm run vectors`).

const now = 1_795_000_000_123;

async function envelopes(): Promise<EnvelopeVectors> {
  const base = {
    camera: await makeDevice(),
    viewer: await makeDevice(),
    pair_secret: toHex(random(32)),
    mailbox_secret: toHex(random(32)),
  };

  const session = random(16);
  const days = [];
  for (const unix of [-100_000, -1, 0, 86_399, 86_400, 1_795_000_000]) {
    const mailbox_secret = toHex(random(32));
    days.push({ mailbox_secret, unix, day: await dayOf(hex(mailbox_secret), unix) });
  }

  const day = await dayOf(hex(base.mailbox_secret), now / 1000);
  const pair = (direction: 1 | 2) => ({ purpose: 1, direction, day, session_id: '' });
  const box = { purpose: 2, direction: viewer, day: 0, session_id: toHex(session) } as const;

  const message = (type: number, body: Uint8Array<ArrayBuffer>) => ({
    session,
    seq: 1n,
    type,
    sent: now,
    expiry: now + 60_000,
    body,
  });

  const answer = await makeEnvelope('answer', base, box, message(3, random(467)), now);

  const welcome = await makeEnvelope(
    'welcome',
    base,
    pair(viewer),
    { ...message(1, random(20)), session: new Uint8Array(16) },
    now,
  );

  return {
    days,
    cases: [
      await makeEnvelope('offer', base, pair(camera), message(2, random(2100)), now),
      answer,
      await makeEnvelope('refuse, as late as may be', base, box, message(4, random(468)), now + 60_000 + 120_000),
      welcome,
    ],
    refused: await makeRefused(answer, welcome),
  };
}

async function pairings(): Promise<PairingVectors> {
  const [c, v] = [await makeDevice(), await makeDevice()];
  const cameraCode = await makeCode('https://relay.example', camera, hex(c.fingerprint));
  const viewerCode = await makeCode('http://127.0.0.1:8443', viewer, hex(v.fingerprint));
  return {
    codes: [cameraCode, viewerCode],
    cases: [
      (await runPairing('a camera displays', cameraCode, c, v)).vector,
      (await runPairing('a viewer displays', viewerCode, v, c)).vector,
    ],
  };
}

mkdirSync('testdata', { recursive: true });
const vectors = { description: 'Written by: npm run vectors', envelope: await envelopes(), pairing: await pairings() };
writeFileSync('testdata/vectors-ts.json', `${JSON.stringify(vectors, null, 1)}\n`);
