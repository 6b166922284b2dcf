import { KEM_MLKEM768_X25519 } from '@panva/hpke-noble';
import { AEAD_AES_256_GCM, AEAD_EXPORT_ONLY, CipherSuite, KDF_HKDF_SHA256, type Key } from 'hpke';
import type { Bytes } from '../bytes';

// HPKE (RFC 9180) in base mode, with X-Wing (0x647a) and HKDF-SHA256. The KEM is bundled because not all browsers have
// it yet.

export const encSize = 1120;
export const publicSize = 1216;

const exportOnly = new CipherSuite(KEM_MLKEM768_X25519, KDF_HKDF_SHA256, AEAD_EXPORT_ONLY);
const sealing = new CipherSuite(KEM_MLKEM768_X25519, KDF_HKDF_SHA256, AEAD_AES_256_GCM);

export type Export = (context: Bytes) => Promise<Bytes>;

const own = (b: Uint8Array): Bytes => new Uint8Array(b);

/** An X-Wing key pair. */
export class KEMKey {
  private constructor(
    private readonly privateKey: Key,
    readonly publicKey: Bytes,
  ) {}

  /** Returns a new key pair, and the 32-byte seed to store it by. */
  static async generate(): Promise<{ key: KEMKey; seed: Bytes }> {
    const pair = await exportOnly.GenerateKeyPair(true);
    const seed = own(await exportOnly.SerializePrivateKey(pair.privateKey));
    return { key: new KEMKey(pair.privateKey, own(await exportOnly.SerializePublicKey(pair.publicKey))), seed };
  }

  static async load(seed: Bytes, publicKey: Bytes): Promise<KEMKey> {
    return new KEMKey(await exportOnly.DeserializePrivateKey(seed, false), publicKey);
  }

  /** Throws if enc has the wrong size or form. An enc for another key yields a different secret and no error. */
  async receive(enc: Bytes, info: Bytes): Promise<Export> {
    const ctx = await exportOnly.SetupRecipient(this.privateKey, enc, { info });
    return async (context) => own(await ctx.Export(context, 32));
  }

  /** Opens enc ‖ ciphertext. Throws unless it was sealed to this key under this info. */
  async open(body: Bytes, info: Bytes): Promise<Bytes> {
    return own(await sealing.Open(this.privateKey, body.slice(0, encSize), body.slice(encSize), { info }));
  }
}

export async function send(publicKey: Bytes, info: Bytes): Promise<{ enc: Bytes; export: Export }> {
  const { encapsulatedSecret, ctx } = await exportOnly.SetupSender(await exportOnly.DeserializePublicKey(publicKey), {
    info,
  });
  return { enc: own(encapsulatedSecret), export: async (context) => own(await ctx.Export(context, 32)) };
}

/** Returns enc ‖ ciphertext. */
export async function seal(publicKey: Bytes, info: Bytes, plaintext: Bytes): Promise<Bytes> {
  const { encapsulatedSecret, ciphertext } = await sealing.Seal(
    await sealing.DeserializePublicKey(publicKey),
    plaintext,
    { info },
  );

  const out = new Uint8Array(encapsulatedSecret.length + ciphertext.length);
  out.set(encapsulatedSecret);
  out.set(ciphertext, encapsulatedSecret.length);
  return out;
}
