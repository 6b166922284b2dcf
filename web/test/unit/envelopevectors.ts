import { concat, equal, toHex, u32, u64, u8, type Bytes } from '../../src/bytes';
import { contextOf, pad, sealEnvelope, tagOf, type Message, type Pair } from '../../src/envelope';
import { Bundle, camera, viewer, type Role } from '../../src/identity';
import { exporter, info, kdf, sha256 } from '../../src/label';
import { pairMailbox, rendezvous, sessionMailbox, type Direction, type Mailbox } from '../../src/mailbox';
import { describeMailbox, identityOf, type DeviceVector, type MailboxKeys } from './device';
import { hex } from './testdata';

// The shape of crypto/envelope/testdata/vectors.json, and of the "envelope" member of testdata/vectors-ts.json.

export interface MailboxVector extends MailboxKeys {
  purpose: number;
  direction: Direction;
  day: number;
  session_id: string;
}

export interface MessageVector {
  session_id: string;
  seq: string;
  type: number;
  sent_ms: number;
  expiry_ms: number;
  body: string;
}

export interface EnvelopeVector {
  name: string;
  camera: DeviceVector;
  viewer: DeviceVector;
  pair_secret: string;
  mailbox_secret: string;
  mailbox: MailboxVector;
  context: string;
  tag: string;
  wire: string;
  now_ms: number;
  export: string;
  key_nonce: string;
  plaintext: string;
  message: MessageVector;
  session_export: string;
  replay_mark: string;
}

export interface EnvelopeVectors {
  days: { mailbox_secret: string; unix: number | string; day: number }[];
  cases: EnvelopeVector[];
  refused: { name: string; case: string; opener: Role; mailbox: MailboxVector; now_ms: number; wire: string; error: string }[];
}

/** What a vector's steps depend on. */
export type Base = Pick<EnvelopeVector, 'camera' | 'viewer' | 'pair_secret' | 'mailbox_secret'>;

export async function pairOf(v: Base, role: Role): Promise<Pair> {
  const [self, peer] = role === camera ? [v.camera, v.viewer] : [v.viewer, v.camera];
  return {
    role, self: await identityOf(self), peer: await Bundle.parse(hex(peer.bundle)), secret: hex(v.pair_secret), mailboxSecret: hex(v.mailbox_secret),
  };
}

export async function mailboxOf(v: Base, m: Pick<MailboxVector, 'purpose' | 'direction' | 'day' | 'session_id'>): Promise<Mailbox> {
  const secret = hex(v.mailbox_secret);
  if (m.purpose === 1) return pairMailbox(secret, m.direction, m.day);
  if (m.purpose === 2) return sessionMailbox(secret, m.direction, hex(m.session_id));
  return rendezvous(secret, m.direction);
}

/** All that opening a wire derives, one step after the other. */
async function explain(v: Base, box: Mailbox, wire: Bytes): Promise<Pick<EnvelopeVector, 'context' | 'tag' | 'export' | 'key_nonce' | 'session_export' | 'replay_mark'>> {
  const pair = await pairOf(v, box.direction);
  const context = contextOf(pair, box);
  const enc = wire.slice(9, 9 + 1120);
  const exported = await pair.self.kem.receive(enc, info('envelope', context));
  const key = await exported(exporter('envelope key'));
  return {
    context: toHex(context),
    tag: toHex(await tagOf(pair, context, pair.self.bundle.kem)),
    export: toHex(key),
    key_nonce: toHex(await kdf(pair.secret, key, 'envelope', context, 44)),
    session_export: toHex(await exported(exporter('envelope session'))),
    replay_mark: toHex(await sha256(enc)),
  };
}

/** The whole vector of a wire: what a reader must come to. */
export async function vectorOf(name: string, v: Base, m: Pick<MailboxVector, 'purpose' | 'direction' | 'day' | 'session_id'>, message: Message, wire: Bytes, now: number): Promise<EnvelopeVector> {
  const box = await mailboxOf(v, m);
  const scope = concat(u8(m.purpose), u8(m.direction), m.purpose === 1 ? u32(m.day) : hex(m.session_id));
  const { camera: c, viewer: w, pair_secret, mailbox_secret } = v;
  return {
    name, camera: c, viewer: w, pair_secret, mailbox_secret,
    mailbox: { ...m, ...(await describeMailbox(box, hex(v.mailbox_secret), scope)) },
    ...(await explain(v, box, wire)),
    wire: toHex(wire), now_ms: now, plaintext: toHex(pad(message)),
    message: {
      session_id: toHex(message.session), seq: toHex(u64(message.seq)), type: message.type,
      sent_ms: message.sent, expiry_ms: message.expiry, body: toHex(message.body),
    },
  };
}

/** Seals a new case. */
export async function makeEnvelope(name: string, v: Base, m: Pick<MailboxVector, 'purpose' | 'direction' | 'day' | 'session_id'>, message: Message, now: number): Promise<EnvelopeVector> {
  const from = m.direction === camera ? viewer : camera;
  const { wire, sessionExport } = await sealEnvelope(await pairOf(v, from), await mailboxOf(v, m), message);
  const made = await vectorOf(name, v, m, message, wire, now);
  if (!equal(sessionExport, hex(made.session_export))) throw new Error(`${name}: the two ends export different session secrets`);
  return made;
}

export const messageOf = (m: MessageVector): Message => ({
  session: hex(m.session_id), seq: BigInt(`0x${m.seq}`), type: m.type, sent: m.sent_ms, expiry: m.expiry_ms, body: hex(m.body),
});
