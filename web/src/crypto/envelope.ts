import { concat, equal, Reader, u32, u64, u8, type Bytes } from '../bytes';
import { encSize, send, type Export } from './hpke';
import { camera, viewer, type Bundle, type Identity, type Role } from './identity';
import { exporter, info, kdf, none, openOnce, sealOnce, sha256 } from './label';
import { toCamera, toViewer, type Mailbox } from './mailbox';

// Envelopes (doc/protocol.md, section 4), one sealed message between a pair:
//
//	+--------+------------+----------------+---------------------+
//	| u8 = 1 | tag [8]    | enc [1120]     | ciphertext          |
//	+--------+------------+----------------+---------------------+

const version = 1;
const headerSize = 1 + 8 + encSize;
const innerHeader = 45;
const buckets = [512, 2048, 8192, 32768];
const clockSkew = 2 * 60_000;

/** The longest life of an envelope in milliseconds, whatever expiry its sender sets. */
export const maxLife = 10 * 60_000;

export const Type = { welcome: 1, offer: 2, answer: 3, refuse: 4 } as const;

/**
 * Why an envelope does not open. `too many`: others used up the budget of attempts. `life`, `size` and `type` are
 * faults of the other end, since only it can have sealed the envelope.
 */
export type EnvelopeFault = 'not for us' | 'version' | 'expired' | 'life' | 'size' | 'type' | 'too many';

export class EnvelopeError extends Error {
  override name = 'EnvelopeError';

  constructor(readonly fault: EnvelopeFault) {
    super(`envelope does not open: ${fault}`);
  }
}

/**
 * Reports whether an error says that an envelope did not come from the other end of this pair, or belongs elsewhere.
 * All other errors are a late arrival or the other end's own fault.
 */
export const isForeign = (e: unknown): boolean =>
  e instanceof EnvelopeError && (e.fault === 'not for us' || e.fault === 'version');

/** Reports whether an envelope can be n bytes long. */
export const hasSize = (n: number): boolean => buckets.includes(n - headerSize - 16);

/** What one end of a pair holds. */
export interface Pair {
  role: Role;
  self: Identity;
  peer: Bundle;
  secret: Bytes;
  mailboxSecret: Bytes;
}

export interface Message {
  session: Bytes;
  seq: bigint;
  type: number;
  /** Unix milliseconds. */
  sent: number;
  expiry: number;
  body: Bytes;
}

export interface Opened extends Message {
  sessionExport: Bytes;
}

/** Returns the fingerprint of the end that has this role. */
export const fingerprintOf = (pair: Pair, role: Role): Bytes =>
  (pair.role === role ? pair.self.bundle : pair.peer).fingerprint;

/** Returns what an envelope is bound to without carrying it. */
export const contextOf = (pair: Pair, box: Mailbox): Bytes =>
  concat(
    u8(version),
    fingerprintOf(pair, camera),
    fingerprintOf(pair, viewer),
    u8(box.direction),
    u8(box.purpose),
    u32(box.epoch),
    box.name,
  );

export const tagOf = async (pair: Pair, context: Bytes, recipient: Bytes): Promise<Bytes> =>
  kdf(none, pair.secret, 'prekey tag', concat(context, await sha256(recipient)), 8);

async function keysOf(
  pair: Pair,
  context: Bytes,
  exported: Export,
): Promise<{ material: Bytes; sessionExport: Bytes }> {
  const key = await exported(exporter('envelope key'));
  return {
    material: await kdf(pair.secret, key, 'envelope', context, 44),
    sessionExport: await exported(exporter('envelope session')),
  };
}

/** Reports whether a mailbox carries such messages (the table of section 4). */
function carries(box: Mailbox, type: number, session: Bytes): boolean {
  if (type === Type.welcome) return box.purpose === 1;
  if (type === Type.offer) return box.purpose === 1 && box.direction === toCamera;

  return (
    (type === Type.answer || type === Type.refuse) &&
    box.purpose === 2 &&
    box.direction === toViewer &&
    equal(box.session, session)
  );
}

/** Seals a message to the other end, for a mailbox that leads there. */
export async function sealEnvelope(
  pair: Pair,
  box: Mailbox,
  m: Message,
): Promise<{ wire: Bytes; sessionExport: Bytes }> {
  if (box.direction === pair.role || !carries(box, m.type, m.session)) throw new EnvelopeError('type');
  if (livesTooLong(m)) throw new EnvelopeError('life');
  const context = contextOf(pair, box);
  const { enc, export: exported } = await send(pair.peer.kem, info('envelope', context));
  const { material, sessionExport } = await keysOf(pair, context, exported);
  const header = concat(u8(version), await tagOf(pair, context, pair.peer.kem), enc);
  return { wire: concat(header, await sealOnce(material, pad(m), header)), sessionExport };
}

/**
 * Checks the outside of an envelope without any private-key operation, and returns the context that it is bound to.
 * Throws the EnvelopeError that opening it would throw. Passing proves nothing: anyone who has seen one envelope in a
 * mailbox can copy its tag.
 */
export async function addressed(pair: Pair, box: Mailbox, wire: Bytes): Promise<Bytes> {
  if (box.purpose > 2 || box.direction !== pair.role || wire.length === 0) throw new EnvelopeError('not for us');
  if (wire[0] !== version) throw new EnvelopeError('version');
  if (!hasSize(wire.length)) throw new EnvelopeError('not for us');

  const context = contextOf(pair, box);
  if (!equal(wire.slice(1, 9), await tagOf(pair, context, pair.self.kem.publicKey))) {
    throw new EnvelopeError('not for us');
  }
  return context;
}

/** Opens an envelope that came through box. `now` is this device's time in Unix milliseconds. Throws EnvelopeError. */
export async function openEnvelope(pair: Pair, box: Mailbox, wire: Bytes, now: number): Promise<Opened> {
  const context = await addressed(pair, box, wire);
  const header = wire.slice(0, headerSize);
  let opened: { inner: Bytes; sessionExport: Bytes };
  try {
    const exported = await pair.self.kem.receive(wire.slice(9, headerSize), info('envelope', context));
    const { material, sessionExport } = await keysOf(pair, context, exported);
    opened = { inner: await openOnce(material, wire.slice(headerSize), header), sessionExport };
  } catch {
    throw new EnvelopeError('not for us');
  }

  const m = unpad(opened.inner);
  if (!carries(box, m.type, m.session)) throw new EnvelopeError('type');
  if (livesTooLong(m)) throw new EnvelopeError('life');
  if (now > m.expiry + clockSkew) throw new EnvelopeError('expired');

  return { ...m, sessionExport: opened.sessionExport };
}

const livesTooLong = (m: Message): boolean => m.expiry > m.sent + maxLife;

const bucketOf = (n: number): number | undefined => buckets.find((b) => innerHeader + n <= b);

export function pad(m: Message): Bytes {
  const size = bucketOf(m.body.length);
  if (size === undefined) throw new EnvelopeError('size');
  const out = new Uint8Array(size);
  out.set(concat(m.session, u64(m.seq), u8(m.type), u64(m.sent), u64(m.expiry), u32(m.body.length), m.body));
  return out;
}

function unpad(inner: Bytes): Message {
  const r = new Reader(inner);
  const time = (): number => Number(BigInt.asIntN(64, r.u64()));
  const m = {
    session: r.bytes(16),
    seq: r.u64(),
    type: r.u8(),
    sent: time(),
    expiry: time(),
  };

  const n = r.u32();
  if (bucketOf(n) !== inner.length) throw new EnvelopeError('size');

  const body = r.bytes(n);
  if (r.rest().some((x) => x !== 0)) throw new EnvelopeError('size');

  return { ...m, body };
}
