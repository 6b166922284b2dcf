import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '../../src/bytes';
import type { SessionKeys } from '../../src/session/agreement';
import { Connection } from '../../src/session/connection';
import { sentences, type SessionEvents } from '../../src/session/events';
import type { Explainer } from '../../src/session/explainer';
import type { Freshness } from '../../src/session/freshness';

/** A data channel that a test feeds. */
class Channel {
  readyState = 'open';
  onmessage: ((e: { data: ArrayBuffer }) => void) | undefined;
  send(): void {}
}

/** A connection whose state a test sets. */
class Peer {
  static last: Peer;
  readonly channel = new Channel();
  connectionState = 'connecting';
  iceConnectionState = 'checking';
  onconnectionstatechange: (() => void) | undefined;

  constructor() {
    Peer.last = this;
  }

  addTransceiver = (): object => ({ receiver: {} });
  createDataChannel = (): Channel => this.channel;
  getStats = async (): Promise<Map<string, object>> => new Map();
  close = (): void => undefined;

  connect(): void {
    this.connectionState = 'connected';
    this.onconnectionstatechange?.();
  }
}

class Silent {
  postMessage(): void {}
  terminate(): void {}
}

/** Makes a connection, and returns what it says to the person in order. */
function connection(): { c: Connection; peer: Peer; said: string[] } {
  Object.assign(globalThis, {
    RTCPeerConnection: Peer,
    RTCRtpScriptTransform: Silent,
    Worker: Silent,
    document: { hidden: false, visibilityState: 'visible' },
  });
  const said: string[] = [];
  const events = {
    waits: (what: string) => said.push(what),
    status: (what: string) => said.push(what),
    stalled: () => undefined,
    rejected: (what: string) => said.push(`rejected ${what}`),
  };
  const explainer = { follow: () => undefined, inspect: () => undefined, tick: () => undefined };
  const clock = { now: (): number => 0, confirm: async (): Promise<void> => undefined };
  const c = new Connection(
    { urls: [], ttl: 0, viewer: { username: '', credential: '' }, camera: { username: '', credential: '' } },
    false,
    clock,
    { issueChallenge: () => new Uint8Array(8) } as unknown as Freshness,
    explainer as unknown as Explainer,
    events as unknown as SessionEvents,
    { gathered: () => undefined, ended: () => undefined, relays: () => undefined },
  );

  const key = {
    seal: async (): Promise<Uint8Array> => new Uint8Array(1),
    open: async (wire: Uint8Array): Promise<object> => JSON.parse(new TextDecoder().decode(wire)) as object,
  };
  c.setKeys({ video: {}, sendData: key, openData: key } as unknown as SessionKeys, 'vp8');
  return { c, peer: Peer.last, said };
}

/** Brings a record of the camera. */
async function hear(peer: Peer, m: object): Promise<void> {
  peer.channel.onmessage?.({ data: utf8(JSON.stringify(m)).buffer as ArrayBuffer });
  await new Promise((resolve) => setImmediate(resolve));
}

const trouble = { type: 'status', code: 'trouble', text: 'it sends B-frames' };

test('what the camera says stays, though the browser reports the connection later', async () => {
  const { c, peer, said } = connection();
  await hear(peer, { type: 'hello' });
  await hear(peer, trouble);
  peer.connect();
  assert.deepEqual(said, ['it sends B-frames']);
  c.close();
});

test('a connection without trouble waits for the picture', async () => {
  const { c, peer, said } = connection();
  peer.connect();
  await hear(peer, { type: 'hello' });
  await hear(peer, trouble);
  assert.deepEqual(said, [sentences.waitsPicture, 'it sends B-frames']);
  c.close();
});
