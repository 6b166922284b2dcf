import { concat, Reader, toHex, u8, type Bytes } from '../bytes';
import { KEMKey, publicSize } from './hpke';
import { hash, sign, verify } from './label';

// A device's long-term keys (doc/protocol.md, section 2). The Ed25519 key cannot leave the browser; the X-Wing seed is
// in script memory and in IndexedDB, because no browser can store such a key yet.

export const camera = 1;
export const viewer = 2;
export type Role = typeof camera | typeof viewer;

export const bundleSize = 1 + 32 + publicSize;

/** A device's public keys. */
export class Bundle {
  private constructor(
    readonly bytes: Bytes,
    readonly signing: Bytes,
    readonly kem: Bytes,
    readonly fingerprint: Bytes,
  ) {}

  static async parse(bytes: Bytes): Promise<Bundle> {
    if (bytes.length !== bundleSize || bytes[0] !== 1) {
      throw new Error('parse bundle: not an identity bundle of version 1');
    }
    const r = new Reader(bytes.slice(1));
    const [signing, kem] = [r.bytes(32), r.bytes(publicSize)];
    return new Bundle(bytes, signing, kem, await hash('identity bundle', bytes));
  }

  verify = (label: string, message: Bytes, signature: Bytes): Promise<boolean> =>
    verify(this.signing, label, message, signature);

  /**
   * The whole fingerprint, by which keys and people name the device: an attacker can make one that shares a part of it.
   */
  get id(): string {
    return toHex(this.fingerprint);
  }
}

/** An identity as IndexedDB stores it. */
export interface StoredIdentity {
  signingKey: CryptoKey;
  kemSeed: Bytes;
  bundle: Bytes;
}

export class Identity {
  private constructor(
    private readonly signingKey: CryptoKey,
    readonly kem: KEMKey,
    readonly bundle: Bundle,
  ) {}

  static async generate(): Promise<StoredIdentity> {
    const pair = (await crypto.subtle.generateKey('Ed25519', false, ['sign', 'verify'])) as CryptoKeyPair;
    const signing = new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey));
    const { key, seed } = await KEMKey.generate();
    return { signingKey: pair.privateKey, kemSeed: seed, bundle: concat(u8(1), signing, key.publicKey) };
  }

  static async load(stored: StoredIdentity): Promise<Identity> {
    const bundle = await Bundle.parse(stored.bundle);
    return new Identity(stored.signingKey, await KEMKey.load(stored.kemSeed, bundle.kem), bundle);
  }

  sign = (label: string, message: Bytes): Promise<Bytes> => sign(this.signingKey, label, message);
}
