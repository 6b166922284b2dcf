import { concat, equal, toHex, u32, u64, u8, type Bytes } from '../../src/bytes';
import {
  contextOf,
  pad,
  sealEnvelope,
  tagOf,
  type EnvelopeFault,
  type Message,
  type Pair,
} from '../../src/crypto/envelope';
import { send } from '../../src/crypto/hpke';
import { Bundle, camera, viewer, type Role } from '../../src/crypto/identity';
import { exporter, info, kdf, none, sealOnce, sha256 } from '../../src/crypto/label';
import { pairMailbox, rendezvous, sessionMailbox, type Direction, type Mailbox } from '../../src/crypto/mailbox';
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

export interface RefusedVector {
  name: string;
  case: string;
  opener: Role;
  mailbox: MailboxVector;
  now_ms: number;
  wire: string;
  error: EnvelopeFault;
}

export interface EnvelopeVectors {
  days: { mailbox_secret: string; unix: number | string; day: number }[];
  cases: EnvelopeVector[];
  refused: RefusedVector[];
}

/** What the steps of a vector depend on. */
export type Base = Pick<EnvelopeVector, 'camera' | 'viewer' | 'pair_secret' | 'mailbox_secret'>;

export async function pairOf(v: Base, role: Role): Promise<Pair> {
  const [self, peer] = role === camera ? [v.camera, v.viewer] : [v.viewer, v.camera];
  return {
    role,
    self: await identityOf(self),
    peer: await Bundle.parse(hex(peer.bundle)),
    secret: hex(v.pair_secret),
    mailboxSecret: hex(v.mailbox_secret),
  };
}

export async function mailboxOf(
  v: Base,
  m: Pick<MailboxVector, 'purpose' | 'direction' | 'day' | 'session_id'>,
): Promise<Mailbox> {
  const secret = hex(v.mailbox_secret);
  if (m.purpose === 1) return pairMailbox(secret, m.direction, m.day);
  if (m.purpose === 2) return sessionMailbox(secret, m.direction, hex(m.session_id));
  return rendezvous(secret, m.direction);
}

/** Everything that opening a wire derives, step by step. */
async function explain(
  v: Base,
  box: Mailbox,
  wire: Bytes,
): Promise<Pick<EnvelopeVector, 'context' | 'tag' | 'export' | 'key_nonce' | 'session_export' | 'replay_mark'>> {
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

/** Returns the whole vector of a wire: what a reader must arrive at. */
export async function vectorOf(
  name: string,
  v: Base,
  m: Pick<MailboxVector, 'purpose' | 'direction' | 'day' | 'session_id'>,
  message: Message,
  wire: Bytes,
  now: number,
): Promise<EnvelopeVector> {
  const box = await mailboxOf(v, m);
  const scope = concat(u8(m.purpose), u8(m.direction), m.purpose === 1 ? u32(m.day) : hex(m.session_id));
  const { camera: c, viewer: w, pair_secret, mailbox_secret } = v;
  return {
    name,
    camera: c,
    viewer: w,
    pair_secret,
    mailbox_secret,
    mailbox: { ...m, ...(await describeMailbox(box, hex(v.mailbox_secret), scope)) },
    ...(await explain(v, box, wire)),
    wire: toHex(wire),
    now_ms: now,
    plaintext: toHex(pad(message)),
    message: {
      session_id: toHex(message.session),
      seq: toHex(u64(message.seq)),
      type: message.type,
      sent_ms: message.sent,
      expiry_ms: message.expiry,
      body: toHex(message.body),
    },
  };
}

/** Seals a new case. */
export async function makeEnvelope(
  name: string,
  v: Base,
  m: Pick<MailboxVector, 'purpose' | 'direction' | 'day' | 'session_id'>,
  message: Message,
  now: number,
): Promise<EnvelopeVector> {
  const from = m.direction === camera ? viewer : camera;
  const { wire, sessionExport } = await sealEnvelope(await pairOf(v, from), await mailboxOf(v, m), message);
  const made = await vectorOf(name, v, m, message, wire, now);
  if (!equal(sessionExport, hex(made.session_export))) {
    throw new Error(`${name}: the two ends export different session secrets`);
  }
  return made;
}

/** Seals as the other end does, without any checks: tag and plaintext are the caller's. */
async function sealAnything(v: EnvelopeVector, plaintext: Bytes, tag = hex(v.tag)): Promise<Bytes> {
  const pair = await pairOf(v, v.mailbox.direction === camera ? viewer : camera);
  const { enc, export: exported } = await send(pair.peer.kem, info('envelope', hex(v.context)));
  const material = await kdf(pair.secret, await exported(exporter('envelope key')), 'envelope', hex(v.context), 44);
  const header = concat(u8(1), tag, enc);
  return concat(header, await sealOnce(material, plaintext, header));
}

/** Wires that the viewer, to whom answers and welcomes go, must refuse. */
export async function makeRefused(answer: EnvelopeVector, welcome: EnvelopeVector): Promise<RefusedVector[]> {
  const out: RefusedVector[] = [];
  const wire = hex(answer.wire);
  const refuse = (name: string, v: EnvelopeVector, w: Bytes, error: EnvelopeFault, now = v.now_ms): unknown =>
    out.push({
      name,
      case: v.name,
      opener: v.mailbox.direction,
      mailbox: v.mailbox,
      now_ms: now,
      wire: toHex(w),
      error,
    });

  const edit = (b: Bytes, at: number, x: number): Bytes => b.map((old, i) => (i === at ? x : old));
  const flip = (at: number): Bytes => edit(wire, at, wire[at]! ^ 1);
  const inner = (v: EnvelopeVector, at: number, x: number): Promise<Bytes> =>
    sealAnything(v, edit(hex(v.plaintext), at, x));

  refuse('nothing', answer, none, 'not for us');
  refuse('version 2', answer, edit(wire, 0, 2), 'version');
  for (const at of [1, 9, 1128, wire.length - 1]) refuse(`byte ${at} changed`, answer, flip(at), 'not for us');
  refuse('cut short', answer, wire.slice(0, -1), 'not for us');
  refuse('one byte longer', answer, concat(wire, u8(0)), 'not for us');
  refuse('through another mailbox of the pair', welcome, wire, 'not for us');

  refuse(
    'sealed with another tag',
    answer,
    await sealAnything(answer, hex(answer.plaintext), edit(hex(answer.tag), 0, 0)),
    'not for us',
  );

  refuse('late', answer, wire, 'expired', answer.message.expiry_ms + 120_001);

  refuse(
    'a bucket too large',
    answer,
    await sealAnything(answer, concat(hex(answer.plaintext), new Uint8Array(2048 - 512))),
    'size',
  );

  refuse('no bucket', answer, await sealAnything(answer, concat(hex(answer.plaintext), u8(0))), 'not for us');
  refuse('length beyond the end', answer, await inner(answer, 41, 0xff), 'size');
  refuse('padding not zero', welcome, await inner(welcome, 511, 1), 'size');
  for (const type of [0, 1, 2, 5]) {
    refuse(`type ${type} in a session mailbox`, answer, await inner(answer, 24, type), 'type');
  }

  for (const type of [0, 2, 3, 4, 5]) {
    refuse(`type ${type} in the mailbox of the pair`, welcome, await inner(welcome, 24, type), 'type');
  }

  refuse('of another session', answer, await inner(answer, 0, hex(answer.plaintext)[0]! ^ 1), 'type');
  return out;
}

export const messageOf = (m: MessageVector): Message => ({
  session: hex(m.session_id),
  seq: BigInt(`0x${m.seq}`),
  type: m.type,
  sent: m.sent_ms,
  expiry: m.expiry_ms,
  body: hex(m.body),
});
