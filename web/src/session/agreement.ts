import { concat, fromBase64url, type Bytes } from '../bytes';
import type { Pair } from '../crypto/envelope';
import { encSize, type KEMKey } from '../crypto/hpke';
import { exporter, hash, info, kdf, sha256 } from '../crypto/label';
import { toCamera, toViewer } from '../crypto/mailbox';
import type { FrameSecret } from '../crypto/sframe';
import type { Carrier } from '../media/carrier';
import { TokenBucket } from '../tokenbucket';
import { onData, onSignaling, RecordKey, recordsAtOnce, recordsPerSecond } from './record';
import { cameraTrack, stillTrack, videoTrack, type SessionSecret } from './track';

// What both ends of a session agree on, at the viewer's end (doc/protocol.md, section 6).

/** The body of the camera's answer. */
export interface Answer {
  sdp: string;
  enc: string;
  random: string;
  carrier: Carrier;
  name: string;
  /** The camera reveals no address of its own, and wants none of this device's. */
  relay_only?: boolean;
  /** The camera's relay list, if this device holds another. */
  relays?: unknown;
}

/** The body of the camera's refusal. */
export interface Refusal {
  code?: unknown;
  text?: unknown;
  nonce?: unknown;
}

/** What this end remembers of its offer. */
export interface Offered {
  /** The session's id, 16 bytes. */
  id: Bytes;
  wire: Bytes;
  sessionExport: Bytes;
  kem: KEMKey;
  viewerRandom: Bytes;
}

/**
 * Derives the session secret from an offer and its answer, whose envelope is wire; undefined if the answer is
 * malformed.
 */
export async function agree(pair: Pair, offer: Offered, a: Answer, wire: Bytes): Promise<SessionSecret | undefined> {
  const [enc, cameraRandom] = [fromBase64url(a.enc), fromBase64url(a.random)];
  if (enc.length !== encSize || cameraRandom.length !== 32) return undefined;

  const exported = await offer.kem.receive(enc, info('session kem', offer.id));
  const kemSecret = await exported(exporter('session kem'));
  const transcript = await hash('session transcript', await sha256(offer.wire), await sha256(wire));
  const ikm = concat(offer.sessionExport, kemSecret, offer.viewerRandom, cameraRandom);
  const key = await kdf(pair.secret, ikm, 'session secret', concat(offer.id, transcript), 32);
  return {
    key,
    id: offer.id,
    camera: pair.peer.fingerprint,
    viewer: pair.self.bundle.fingerprint,
    cameraRandom,
  };
}

/** The keys of the viewer's end of a session. */
export interface SessionKeys {
  openSignal: RecordKey;
  sendSignal: RecordKey;
  openData: RecordKey;
  sendData: RecordKey;
  video: FrameSecret;
  still: FrameSecret;
}

/** Derives the keys of a session from its secret. */
export async function deriveKeys(secret: SessionSecret): Promise<SessionKeys> {
  const allowance = new TokenBucket(recordsAtOnce, recordsPerSecond);
  return {
    openSignal: await RecordKey.derive(secret.key, onSignaling, toViewer, allowance),
    sendSignal: await RecordKey.derive(secret.key, onSignaling, toCamera),
    openData: await RecordKey.derive(secret.key, onData, toViewer, allowance),
    sendData: await RecordKey.derive(secret.key, onData, toCamera),
    video: await cameraTrack(secret, videoTrack),
    still: await cameraTrack(secret, stillTrack),
  };
}
