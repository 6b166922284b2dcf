import { concat, random, toHex, u8, utf8, var16, type Bytes } from '../../src/bytes';
import { seal } from '../../src/crypto/hpke';
import type { Role } from '../../src/crypto/identity';
import { AEAD, info, kdf, mac, none, sealOnce, sha256 } from '../../src/crypto/label';
import type { Mailbox } from '../../src/crypto/mailbox';
import { formatCode, rendezvousOf, Scanner, type Code } from '../../src/crypto/pairing';
import { codeWords } from '../../src/crypto/words';
import { describeMailbox, identityOf, type DeviceVector } from './device';
import { hex } from './testdata';

// The shape of crypto/pairing/testdata/vectors.json, and of the "pairing" member of testdata/vectors-ts.json. The
// displayer's side is written here from doc/protocol.md alone; the viewer's code has only the scanner's.

export interface CodeVector {
  text: string;
  error: '' | 'foreign' | 'torn' | 'newer';
  relay_url: string;
  role: Role;
  fingerprint: string;
  s: string;
  expiry: number;
  words: string;
}

type MailboxVector = Record<'read_seed' | 'write_seed' | 'name', string>;

export interface PairingVector {
  name: string;
  code: CodeVector;
  displayer: DeviceVector;
  scanner: DeviceVector;
  rendezvous: string;
  to_displayer: MailboxVector;
  to_scanner: MailboxVector;
  bundle_key_nonce: string;
  bundle_message: string;
  ctx: string;
  nonce_s: string;
  m1_info: string;
  m1_plaintext: string;
  m1: string;
  t1: string;
  nonce_d: string;
  k: string;
  m2_info: string;
  m2_plaintext: string;
  m2: string;
  t2: string;
  root: string;
  m3_key_nonce: string;
  m3_plaintext: string;
  m3: string;
  pair_secret: string;
  mailbox_secret: string;
  refusals: { reason: number; message: string }[];
}

export interface PairingVectors {
  codes: CodeVector[];
  cases: PairingVector[];
}

export const codeOf = (v: CodeVector): Code => ({
  relayURL: v.relay_url,
  role: v.role,
  fingerprint: hex(v.fingerprint),
  secret: hex(v.s),
  expiry: v.expiry,
});

export async function makeCode(relayURL: string, role: Role, fingerprint: Bytes): Promise<CodeVector> {
  const code = {
    relayURL,
    role,
    fingerprint,
    secret: random(16),
    expiry: 1_795_000_600,
  };

  return {
    text: await formatCode(code),
    error: '',
    relay_url: relayURL,
    role,
    fingerprint: toHex(fingerprint),
    s: toHex(code.secret),
    expiry: code.expiry,
    words: (await codeWords(code)).join(' '),
  };
}

async function mailbox(box: Mailbox, r: Bytes): Promise<MailboxVector> {
  const { read_seed, write_seed, name } = await describeMailbox(box, r, concat(u8(3), u8(box.direction)));
  return { read_seed, write_seed, name };
}

export async function makeRefusal(code: Code, reason: number): Promise<Bytes> {
  const nonce = random(12);
  const aead = await AEAD.create(await kdf(none, code.secret, 'pairing refusal', code.fingerprint, 32));
  return concat(u8(5), nonce, await aead.seal(nonce, u8(reason), u8(5)));
}

/** Everything that both ends derive from the messages, step by step. */
export async function follow(
  v: Pick<PairingVector, 'code' | 'displayer' | 'scanner' | 'nonce_s' | 'nonce_d' | 'k' | 'm1' | 'm2'>,
): Promise<Partial<PairingVector>> {
  const c = codeOf(v.code);
  const key = (label: string, n: number): Promise<Bytes> => kdf(none, c.secret, label, c.fingerprint, n);
  const { toDisplayer, toScanner } = await rendezvousOf(c);
  const [displayer, scanner] = [await identityOf(v.displayer), await identityOf(v.scanner)];
  const r = await key('pairing rendezvous', 32);
  const bundleKeyNonce = await key('pairing bundle', 44);
  const ctx = concat(u8(1), u8(c.role), u8(3 - c.role), var16(utf8(c.relayURL)), displayer.bundle.bytes);

  const [nonceS, nonceD, k, m1, m2] = [
    hex(v.nonce_s),
    hex(v.nonce_d),
    hex(v.k),
    hex(v.m1).slice(1),
    hex(v.m2).slice(1),
  ];

  const m1MAC = await mac(await key('pairing m1 mac', 32), 'pairing m1', ctx, scanner.bundle.bytes, nonceS);
  const t1 = await sha256(ctx, scanner.bundle.bytes, var16(m1));
  const t = concat(t1, nonceS, nonceD, k);
  const m2MAC = await mac(await key('pairing m2 mac', 32), 'pairing m2', t);
  const t2 = await sha256(t1, var16(m2));
  const root = await kdf(t2, concat(c.secret, k), 'pairing root', none, 32);
  const m3KeyNonce = await kdf(none, root, 'pairing m3', none, 44);
  const m3MAC = await mac(await kdf(none, root, 'pairing m3 mac', none, 32), 'pairing m3', t2);
  const m3Plaintext = concat(m3MAC, await scanner.sign('pairing m3 signature', t2));
  return {
    rendezvous: toHex(r),
    to_displayer: await mailbox(toDisplayer, r),
    to_scanner: await mailbox(toScanner, r),
    bundle_key_nonce: toHex(bundleKeyNonce),
    bundle_message: toHex(concat(u8(1), await sealOnce(bundleKeyNonce, displayer.bundle.bytes, u8(1)))),
    ctx: toHex(ctx),
    m1_info: toHex(info('pairing m1', await sha256(ctx))),
    m1_plaintext: toHex(concat(scanner.bundle.bytes, nonceS, m1MAC)),
    t1: toHex(t1),
    m2_info: toHex(info('pairing m2', t1)),
    m2_plaintext: toHex(
      concat(nonceS, nonceD, k, m2MAC, await displayer.sign('pairing m2 signature', concat(t, m2MAC))),
    ),
    t2: toHex(t2),
    root: toHex(root),
    m3_key_nonce: toHex(m3KeyNonce),
    m3_plaintext: toHex(m3Plaintext),
    m3: toHex(concat(u8(4), await sealOnce(m3KeyNonce, m3Plaintext, none))),
    pair_secret: toHex(await kdf(none, root, 'pair secret', none, 32)),
    mailbox_secret: toHex(await kdf(none, root, 'mailbox secret', none, 32)),
  };
}

/** What a displayer and the scanner of src/ say to each other. */
export interface Run {
  scanner: Scanner;
  vector: PairingVector;
  /** The displayer's messages, to be replayed. */
  hello: Bytes;
  m2: Bytes;
  m3: Bytes;
}

export async function runPairing(
  name: string,
  code: CodeVector,
  displayer: DeviceVector,
  scanner: DeviceVector,
): Promise<Run> {
  const [nonceS, nonceD, k] = [random(32), random(32), random(32)];
  const fixed = {
    code,
    displayer,
    scanner,
    nonce_s: toHex(nonceS),
    nonce_d: toHex(nonceD),
    k: toHex(k),
  };

  const s = new Scanner(await identityOf(scanner), codeOf(code), nonceS);
  const hello = hex((await follow({ ...fixed, m1: '', m2: '' })).bundle_message!);
  const m1 = (await s.handle(hello))!;
  const before = await follow({ ...fixed, m1: toHex(m1), m2: '' });
  const m2 = concat(
    u8(3),
    await seal((await identityOf(scanner)).bundle.kem, hex(before.m2_info!), hex(before.m2_plaintext!)),
  );

  const m3 = (await s.handle(m2))!;
  const messages = { ...fixed, m1: toHex(m1), m2: toHex(m2) };
  const refusals = [];
  for (const reason of [1, 2, 3, 4]) refusals.push({ reason, message: toHex(await makeRefusal(codeOf(code), reason)) });

  const vector = { name, ...messages, ...(await follow(messages)), refusals } as PairingVector;
  return {
    scanner: s,
    vector,
    hello,
    m2,
    m3,
  };
}
