import { Bundle, Identity } from '../../src/crypto/identity';
import { KEMKey } from '../../src/crypto/hpke';
import { kdf, none, signingKeyFromSeed } from '../../src/crypto/label';
import { concat, toHex, u8, type Bytes } from '../../src/bytes';
import type { Mailbox } from '../../src/crypto/mailbox';
import { deviceWords } from '../../src/crypto/words';
import { hex } from './testdata';

/** A device in a vector file. */
export interface DeviceVector {
  signing_seed: string;
  kem_seed: string;
  bundle: string;
  fingerprint: string;
  words: string;
}

export async function identityOf(d: DeviceVector): Promise<Identity> {
  return Identity.load({
    signingKey: (await signingKeyFromSeed(hex(d.signing_seed))).key,
    kemSeed: hex(d.kem_seed),
    bundle: hex(d.bundle),
  });
}

/** Makes a device whose keys a vector file may reveal. */
export async function makeDevice(): Promise<DeviceVector> {
  const signingSeed = crypto.getRandomValues(new Uint8Array(32));
  const { key, seed } = await KEMKey.generate();
  const bundle = concat(u8(1), (await signingKeyFromSeed(signingSeed)).publicKey, key.publicKey);
  const { fingerprint } = await Bundle.parse(bundle);
  const words = (await deviceWords(fingerprint)).join(' ');
  return {
    signing_seed: toHex(signingSeed),
    kem_seed: toHex(seed),
    bundle: toHex(bundle),
    fingerprint: toHex(fingerprint),
    words,
  };
}

export interface MailboxKeys {
  read_seed: string;
  read_public: string;
  write_seed: string;
  write_public: string;
  name: string;
}

/** Returns a mailbox's keys as a vector file shows them. Its seeds are derived again, by hand. */
export async function describeMailbox(box: Mailbox, secret: Bytes, scope: Bytes): Promise<MailboxKeys> {
  const seed = (label: string): Promise<Bytes> => kdf(none, secret, label, scope, 32);
  return {
    read_seed: toHex(await seed('mailbox read')),
    read_public: toHex(box.read.publicKey),
    write_seed: toHex(await seed('mailbox write')),
    write_public: toHex(box.write.publicKey),
    name: toHex(box.name),
  };
}
