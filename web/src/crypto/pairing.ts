import {
  concat,
  equal,
  fromBase64url,
  random,
  Reader,
  toBase64url,
  u16,
  u32,
  u8,
  utf8,
  var16,
  type Bytes,
} from '../bytes';
import type { Pair } from './envelope';
import { seal } from './hpke';
import { Bundle, camera, viewer, type Identity, type Role } from './identity';
import { AEAD, hash, info, kdf, mac, none, openOnce, sealOnce, sha256 } from './label';
import { rendezvous, type Mailbox } from './mailbox';

// Pairing (doc/protocol.md, section 3), the scanner's end. A Scanner takes messages and returns messages; it does no
// I/O.

/** Why pairing failed, in words for a person (section 9). */
export class PairingError extends Error {
  override name = 'PairingError';

  /**
   * The message comes from nobody who has this code, so the relay made it up. Two scanners can read one code; a message
   * for one of them does not open at the other and is not strange.
   */
  strange = false;
}

export const sentences = {
  foreign: 'This is not a Peephole pairing code.',
  torn: 'This code is damaged or incomplete. Scan it again, or copy the whole link.',
  newer: 'This code is from a newer Peephole. Update this app.',
  expired: 'This code has expired. Show a new one on the other device.',
  used: 'This code has already been used. Show a new one on the other device.',
  bound: 'Another device is pairing with this code. If that is not you, show a new one on the other device.',
  closed: 'The other device is not in its set-up window. Open it there and show a new code.',
  unsaved: 'The camera could not save this browser: its disk is full or read-only. Mend that, and scan its new code.',
  nobody: 'No device is waiting at this code: it was used, has expired, or the device restarted. Show a new one.',
  invalid: 'A pairing message does not verify: the relay or another device interfered. Show a new code.',
  notACamera: 'This code is another viewer’s, not a camera’s.',
} as const;

const strangeError = (): PairingError => Object.assign(pairingError('invalid'), { strange: true });

export const pairingError = (why: keyof typeof sentences): PairingError => new PairingError(sentences[why]);

/** A pairing code. It contains the pairing secret. */
export interface Code {
  relayURL: string;
  /** The role of the displayer. */
  role: Role;
  fingerprint: Bytes;
  secret: Bytes;
  /** Unix seconds. */
  expiry: number;
}

/** Reads a link or the text of a QR code. Throws PairingError with a sentence for the person. */
export async function parseCode(input: string): Promise<Code> {
  const link = input.trim();
  const at = link.indexOf('/pair#');
  if (at < 0) throw pairingError(link.startsWith('http') && link.includes('/pair') ? 'torn' : 'foreign');
  if (link.length > 300) throw pairingError('foreign');

  const relayURL = link.slice(0, at);
  let payload: Bytes;
  try {
    payload = fromBase64url(link.slice(at + '/pair#'.length));
  } catch {
    throw pairingError('torn');
  }

  if (payload.length > 0 && payload[0]! > 1) throw pairingError('newer');
  if (payload.length !== 58 || payload[0] !== 1 || !isRelayURL(relayURL)) throw pairingError('torn');

  const body = payload.slice(0, 54);
  const sum = (await hash('qr checksum', utf8(relayURL), u8(0), body)).slice(0, 4);
  const role = payload[1]!;
  if (!equal(sum, payload.slice(54)) || (role !== camera && role !== viewer)) throw pairingError('torn');

  const r = new Reader(body.slice(2));
  return {
    relayURL,
    role,
    fingerprint: r.bytes(32),
    secret: r.bytes(16),
    expiry: r.u32(),
  };
}

// URL accepts hosts that no relay has, such as names with a trailing dot and IPv4-mapped addresses.
const relayName = /^([a-z0-9_-]+\.)*[a-z_-][a-z0-9_-]*$/;
const relayAddress = /^(\d+(\.\d+){3}|\[(?!::ffff:[0-9a-f]+:[0-9a-f]+\]).+\])$/;

/** Reports whether the input is a relay URL in its one spelling, that of URL.origin. http is only for this machine. */
export function isRelayURL(input: string): boolean {
  const url = URL.canParse(input) ? new URL(input) : undefined;
  if (url?.origin !== input || url.port === '0' || !(relayName.test(url.hostname) || relayAddress.test(url.hostname))) {
    return false;
  }
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLocal(input));
}

/** Reports whether a relay URL leads to this machine. */
export function isLocal(relayURL: string): boolean {
  const host = new URL(relayURL).hostname;
  return host === 'localhost' || host === '[::1]' || /^127(\.\d+){3}$/.test(host);
}

/** Returns the link of a code, as a displayer writes it. The page hands it on when it opens anew to pair. */
export async function formatCode(c: Code): Promise<string> {
  const body = concat(u8(1), u8(c.role), c.fingerprint, c.secret, u32(c.expiry));
  const sum = (await hash('qr checksum', utf8(c.relayURL), u8(0), body)).slice(0, 4);
  return `${c.relayURL}/pair#${toBase64url(concat(body, sum))}`;
}

export async function rendezvousOf(c: Code): Promise<{ toDisplayer: Mailbox; toScanner: Mailbox }> {
  const r = await kdf(none, c.secret, 'pairing rendezvous', c.fingerprint, 32);
  return { toDisplayer: await rendezvous(r, 1), toScanner: await rendezvous(r, 2) };
}

const Message = {
  bundle: 1,
  m1: 2,
  m2: 3,
  m3: 4,
  refusal: 5,
} as const;
const reasons: Record<number, keyof typeof sentences> = {
  1: 'used',
  2: 'bound',
  3: 'closed',
  4: 'invalid',
  5: 'unsaved',
};

/** How many M2s a scanner rejects before it stops listening, since each costs a private-key operation. */
export const maxRefused = 16;

/** The end that reads the code. */
export class Scanner {
  #t1: Bytes = none;
  #displayer: Bundle | undefined;
  #m1: Bytes | undefined;
  #m3: Bytes | undefined;

  #refused = 0; // M2s that did not open

  /** Set once M2 has verified. The device counts as paired when the first envelope under this pair opens. */
  pair: Pair | undefined;

  constructor(
    private readonly self: Identity,
    private readonly code: Code,
    private readonly nonce: Bytes = random(32),
  ) {}

  /** Handles a message; returns what to post to the displayer, if anything. Throws PairingError. */
  async handle(message: Bytes): Promise<Bytes | undefined> {
    const body = message.slice(1);

    switch (message[0]) {
      case Message.bundle:
        return (this.#m1 ??= await this.#bundle(body));
      case Message.m2:
        if (this.#displayer === undefined) return undefined; // left from an earlier attempt: the bundle is yet to come
        return (this.#m3 ??= await this.#m2(this.#displayer, body).catch((e: unknown) => {
          this.#refused++;
          throw e;
        }));
      case Message.refusal:
        return this.#refusal(body);
    }

    throw strangeError();
  }

  #key = (label: string, n: number): Promise<Bytes> => kdf(none, this.code.secret, label, this.code.fingerprint, n);

  async #bundle(body: Bytes): Promise<Bytes> {
    let displayer: Bundle;
    try {
      displayer = await Bundle.parse(await openOnce(await this.#key('pairing bundle', 44), body, u8(Message.bundle)));
    } catch {
      throw strangeError();
    }

    const own = this.self.bundle;
    if (!equal(displayer.fingerprint, this.code.fingerprint) || equal(own.fingerprint, displayer.fingerprint)) {
      throw pairingError('invalid');
    }

    const { role, relayURL } = this.code;
    const ctx = concat(u8(1), u8(role), u8(3 - role), var16(utf8(relayURL)), displayer.bytes);
    const m1MAC = await mac(await this.#key('pairing m1 mac', 32), 'pairing m1', ctx, own.bytes, this.nonce);
    const sealed = await seal(
      displayer.kem,
      info('pairing m1', await sha256(ctx)),
      concat(own.bytes, this.nonce, m1MAC),
    );

    this.#t1 = await sha256(ctx, own.bytes, u16(sealed.length), sealed);
    this.#displayer = displayer;
    return concat(u8(Message.m1), sealed);
  }

  async #m2(displayer: Bundle, body: Bytes): Promise<Bytes> {
    if (this.#refused >= maxRefused) throw pairingError('invalid');

    let r: Reader;
    try {
      r = new Reader(await this.self.kem.open(body, info('pairing m2', this.#t1)));
    } catch {
      throw pairingError('invalid');
    }

    if (r.data.length !== 3 * 32 + 32 + 64) throw pairingError('invalid');

    const [nonceS, nonceD, k, tag, signature] = [r.bytes(32), r.bytes(32), r.bytes(32), r.bytes(32), r.bytes(64)];
    const t = concat(this.#t1, nonceS, nonceD, k);
    const want = await mac(await this.#key('pairing m2 mac', 32), 'pairing m2', t);
    if (
      !equal(nonceS, this.nonce) ||
      !equal(tag, want) ||
      !(await displayer.verify('pairing m2 signature', concat(t, tag), signature))
    ) {
      throw pairingError('invalid');
    }

    const { role, secret } = this.code;
    const t2 = await sha256(this.#t1, var16(body));
    const root = await kdf(t2, concat(secret, k), 'pairing root', none, 32);
    const m3MAC = await mac(await kdf(none, root, 'pairing m3 mac', none, 32), 'pairing m3', t2);
    const m3 = concat(m3MAC, await this.self.sign('pairing m3 signature', t2));

    this.pair = {
      role: role === camera ? viewer : camera,
      self: this.self,
      peer: displayer,
      secret: await kdf(none, root, 'pair secret', none, 32),
      mailboxSecret: await kdf(none, root, 'mailbox secret', none, 32),
    };

    return concat(u8(Message.m3), await sealOnce(await kdf(none, root, 'pairing m3', none, 44), m3, none));
  }

  async #refusal(body: Bytes): Promise<undefined> {
    let reason: Bytes;
    try {
      const aead = await AEAD.create(await this.#key('pairing refusal', 32));
      reason = await aead.open(body.slice(0, 12), body.slice(12), u8(Message.refusal));
    } catch {
      throw strangeError();
    }

    const why = reasons[reason[0] ?? 0] ?? 'invalid';
    if (this.pair !== undefined && why === 'used') return undefined; // we used it

    throw pairingError(why);
  }
}
