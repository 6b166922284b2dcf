import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { concat, fromBase64url, random, text, toBase64url, toHex, utf8, type Bytes } from '../../src/bytes';
import { openEnvelope, sealEnvelope, Type } from '../../src/crypto/envelope';
import { send } from '../../src/crypto/hpke';
import { camera, viewer } from '../../src/crypto/identity';
import { exporter, hash, info, kdf, sha256 } from '../../src/crypto/label';
import { dayOf, pairMailbox, sessionMailbox, toCamera, toViewer, type Mailbox } from '../../src/crypto/mailbox';
import { sentences, type SessionEvents } from '../../src/session/events';
import { onData, onSignaling, RecordKey, type RecordMessage } from '../../src/session/record';
import { Session } from '../../src/session/session';
import { noVersion, type RelayList } from '../../src/signaling/relaylist';
import { Relays } from '../../src/signaling/relays';
import { pairOf, type EnvelopeVectors } from './envelopevectors';
import { FakeRelay } from './fakerelay';
import { readJSON } from './testdata';

// A whole session as far as its first records, over relays and with a camera that do what a test says. The browser's
// part of it does nothing.

const v = readJSON<EnvelopeVectors>('crypto/envelope/testdata/vectors.json').cases[0]!;
const [ours, theirs] = [await pairOf(v, viewer), await pairOf(v, camera)];
const now = 1_795_000_000_000;

class Channel {
  readyState = 'open';
  onmessage: ((e: { data: ArrayBuffer }) => void) | undefined;
  send(): void {}
}

class Peer {
  static last: Peer;
  readonly channel = new Channel();
  /** The descriptions that the session has taken from the camera. */
  readonly taken: string[] = [];
  constructor() {
    Peer.last = this;
  }
  addTransceiver = (): object => ({ receiver: {} });
  createDataChannel = (): Channel => this.channel;
  createOffer = async (): Promise<object> => ({ type: 'offer', sdp: 'v=0' });
  setLocalDescription = async (): Promise<void> => undefined;
  setRemoteDescription = async ({ sdp }: { sdp: string }): Promise<void> => void this.taken.push(sdp);
  getStats = async (): Promise<Map<string, object>> => new Map();
  close = (): void => undefined;
}

class Silent {
  postMessage(): void {}
  terminate(): void {}
}

Object.assign(globalThis, {
  RTCPeerConnection: Peer,
  RTCRtpScriptTransform: Silent,
  Worker: Silent,
  document: { hidden: false, visibilityState: 'visible' },
});

let home: FakeRelay;
let standby: FakeRelay;
let relays: Relays;
let session: Session;
let running: Promise<unknown>;
let heard: RelayList[];
let rejected: string[];

const told = (version: string): object => ({
  version,
  home: { url: 'https://home.example', round_trip: 1 },
  seed: toBase64url(new Uint8Array(16)),
});

/**
 * Begins a session; the camera's round trip to its home, in milliseconds, is how long the standby waits. `own` is the
 * time by this device's clock.
 */
function begin(roundTrip = 0, own = now): void {
  [home, standby] = ['home', 'standby'].map((name) => new FakeRelay(`https://${name}.example`)) as [
    FakeRelay,
    FakeRelay,
  ];
  const [first, second] = [home, standby].map(({ url }) => ({ url, roundTrip }));
  relays = new Relays([first!, second!], undefined);
  [heard, rejected] = [[], []];

  const events = new Proxy({}, { get: (_, name) => handlers[name as string] ?? (() => undefined) });
  const handlers: Record<string, unknown> = {
    relays: (list: RelayList) => heard.push(list),
    rejected: (what: string) => rejected.push(what),
  };

  session = new Session(ours, relays, events as SessionEvents, {
    watch: random(16),
    relayOnly: false,
    cameraHides: false,
    relayURL: 'https://home.example',
    listVersion: noVersion,
    clock: { now: () => own, confirm: async () => undefined },
    carriers: ['vp8'],
  });
  running = session.run().catch((e: unknown) => e);
}

afterEach(async () => {
  session.close();
  await running;
  relays.close();
});

async function until(is: () => boolean): Promise<void> {
  for (let n = 0; n < 2_000 && !is(); n++) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(is());
}

test('a camera is found on the day of this device’s own clock, too, since a relay’s may be wrong', async () => {
  const own = now + 3 * 86_400_000;
  const day = await dayOf(theirs.mailboxSecret, own / 1000);
  const { name } = await pairMailbox(theirs.mailboxSecret, toCamera, day);
  begin(0, own);
  home.leads = standby.leads = toHex(name);
  await until(() => home.posts.length > 0);
  assert.equal(home.posts[0]!.name, toHex(name));
});

interface Offered {
  wire: Bytes;
  body: Record<string, unknown>;
  /** The session's mailbox to the viewer. */
  replies: Mailbox;
  id: Bytes;
  sessionExport: Bytes;
}

/** Opens the first offer at a relay. */
async function offerAt(relay: FakeRelay): Promise<Offered> {
  await until(() => relay.posts.length > 0);
  const { body: wire } = relay.posts[0]!;
  const day = await dayOf(theirs.mailboxSecret, now / 1000);
  const opened = await openEnvelope(theirs, await pairMailbox(theirs.mailboxSecret, toCamera, day), wire, now);
  const body = JSON.parse(text(opened.body)) as Record<string, unknown>;
  const replies = await sessionMailbox(theirs.mailboxSecret, toViewer, opened.session);
  return { wire, body, replies, id: opened.session, sessionExport: opened.sessionExport };
}

/** Answers an offer, and returns the envelope and what seals the camera's records. */
async function answer(offer: Offered, said: object): Promise<{ wire: Bytes; signal: RecordKey; data: RecordKey }> {
  const kem = await send(fromBase64url(offer.body['kem'] as string), info('session kem', offer.id));
  const cameraRandom = random(32);
  const body = {
    sdp: 'v=0',
    enc: toBase64url(kem.enc),
    random: toBase64url(cameraRandom),
    carrier: 'vp8',
    name: 'porch',
    ...said,
  };

  const { wire } = await sealEnvelope(theirs, offer.replies, {
    session: offer.id,
    seq: 0n,
    type: Type.answer,
    sent: now,
    expiry: now + 60_000,
    body: utf8(JSON.stringify(body)),
  });

  const transcript = await hash('session transcript', await sha256(offer.wire), await sha256(wire));
  const viewerRandom = fromBase64url(offer.body['random'] as string);
  const ikm = concat(offer.sessionExport, await kem.export(exporter('session kem')), viewerRandom, cameraRandom);
  const key = await kdf(theirs.secret, ikm, 'session secret', concat(offer.id, transcript), 32);
  return {
    wire,
    signal: await RecordKey.derive(key, onSignaling, toViewer),
    data: await RecordKey.derive(key, onData, toViewer),
  };
}

test('an offer says which relay list its viewer holds, and is the same at every relay', async () => {
  begin();
  const offer = await offerAt(home);
  assert.equal(offer.body['relays'], noVersion);
  await until(() => standby.posts.length > 0); // nobody replies
  assert.equal(toHex(standby.posts[0]!.body), toHex(offer.wire));
  assert.deepEqual([home.grants, standby.grants], [1, 0]);
});

test('what a camera posts to two relays is shown once, and its reply ends the search', async () => {
  begin();
  await offerAt(home);
  const offer = await offerAt(standby);
  await until(() => home.open.size > 0 && standby.open.size > 0);
  const { wire, signal } = await answer(offer, { relays: told('AQEBAQEBAQE') });
  const record = await signal.seal({ type: 'relays', relays: told('AgICAgICAgI') } as RecordMessage);
  for (const body of [wire, record, wire]) for (const relay of [standby, home]) relay.deliver(offer.replies, body);

  await until(() => heard.length === 2);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(
    heard.map(({ version }) => version),
    ['AQEBAQEBAQE', 'AgICAgICAgI'],
  );
  assert.deepEqual([Peer.last.taken, rejected], [['v=0'], []]);
});

test('a camera that replies over its home is looked for nowhere else', async () => {
  begin(1_000);
  const offer = await offerAt(home);
  home.deliver(offer.replies, (await answer(offer, {})).wire);
  await until(() => Peer.last.taken.length > 0);
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  assert.deepEqual([home.dialled, standby.dialled, heard.length], [1, 0, 0]);
});

test('an answer with a malformed relay list is malformed', async () => {
  begin();
  const offer = await offerAt(home);
  home.deliver(offer.replies, (await answer(offer, { relays: { version: 'AQEBAQEBAQE' } })).wire);
  const why = (await running) as Error;
  assert.equal(why.message, sentences.ended);
  assert.deepEqual([heard, Peer.last.taken], [[], []]);
});

test('a record with a malformed relay list is ignored, and of others the newest counts', async () => {
  begin();
  const offer = await offerAt(home);
  const { wire, signal, data } = await answer(offer, {});
  home.deliver(offer.replies, wire);
  await until(() => Peer.last.taken.length > 0);

  const relays = (key: RecordKey, version: string): Promise<Bytes> =>
    key.seal({ type: 'relays', relays: told(version) } as RecordMessage);
  const malformed = await relays(signal, 'AQ');
  const [older, newer] = [await relays(signal, 'AQEBAQEBAQE'), await relays(signal, 'AgICAgICAgI')];
  for (const body of [malformed, newer, older]) home.deliver(offer.replies, body);
  await until(() => heard.length > 0);

  const hello = await data.seal({ type: 'hello' });
  for (const body of [hello, await relays(data, 'AwMDAwMDAwM')]) {
    Peer.last.channel.onmessage?.({ data: body.buffer });
  }
  await until(() => heard.length > 1);
  assert.deepEqual(
    heard.map(({ version }) => version),
    ['AgICAgICAgI', 'AwMDAwMDAwM'],
  );
  assert.deepEqual(rejected, []);
});
