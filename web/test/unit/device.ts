import { Bundle, Identity } from '../../src/identity';
import { KEMKey } from '../../src/hpke';
import { kdf, none, signingKeyFromSeed } from '../../src/label';
import { concat, toHex, u8, type Bytes } from '../../src/bytes';
import type { Mailbox } from '../../src/mailbox';
import { hex } from './testdata';

/** A device in a vector file. */
export interface DeviceVector {
  signing_seed: string;
  kem_seed: string;
  bundle: string;
  fingerprint: string;
}

export async function identityOf(d: DeviceVector): Promise<Identity> {
  return Identity.load({ signingKey: (await signingKeyFromSeed(hex(d.signing_seed))).key, kemSeed: hex(d.kem_seed), bundle: hex(d.bundle) });
}

/** A device with keys that a vector file may give away. */
export async function makeDevice(): Promise<DeviceVector> {
  const signingSeed = crypto.getRandomValues(new Uint8Array(32));
  const { key, seed } = await KEMKey.generate();
  const bundle = concat(u8(1), (await signingKeyFromSeed(signingSeed)).publicKey, key.publicKey);
  const { fingerprint } = await Bundle.parse(bundle);
  return { signing_seed: toHex(signingSeed), kem_seed: toHex(seed), bundle: toHex(bundle), fingerprint: toHex(fingerprint) };
}

export interface MailboxKeys {
  read_seed: string;
  read_public: string;
  write_seed: string;
  write_public: string;
  name: string;
}

/** A mailbox's keys as a vector file shows them; its seeds are derived once more, by hand. */
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
