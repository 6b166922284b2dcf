import { concat, fromBase64url, utf8, type Bytes } from '../bytes';

// Derivations under versioned labels (doc/protocol.md, section 1), with WebCrypto. No two uses of one key share a
// label.

const prefix = 'peephole v1 ';

/** Returns the label as it precedes what is hashed, signed or expanded. */
export const info = (label: string, ...parts: Uint8Array[]): Bytes => concat(utf8(`${prefix}${label}\0`), ...parts);

/** Returns the label as an HPKE exporter context. */
export const exporter = (label: string): Bytes => utf8(prefix + label);

export const sha256 = async (...parts: Uint8Array[]): Promise<Bytes> =>
  new Uint8Array(await crypto.subtle.digest('SHA-256', concat(...parts)));

export const hash = (label: string, ...parts: Uint8Array[]): Promise<Bytes> => sha256(info(label, ...parts));

/** HKDF-SHA256 (RFC 5869). An empty salt means none. */
export async function hkdf(salt: Bytes, ikm: Bytes, info: Bytes, n: number): Promise<Bytes> {
  const key = await crypto.subtle.importKey('raw', ikm, 'HKDF', false, ['deriveBits']);
  return new Uint8Array(await crypto.subtle.deriveBits({ name: 'HKDF', hash: 'SHA-256', salt, info }, key, 8 * n));
}

export const kdf = (salt: Bytes, ikm: Bytes, label: string, context: Bytes, n: number): Promise<Bytes> =>
  hkdf(salt, ikm, info(label, context), n);

export const none: Bytes = new Uint8Array(0);

/** HMAC-SHA256. */
export async function mac(key: Bytes, label: string, ...parts: Uint8Array[]): Promise<Bytes> {
  const k = await crypto.subtle.importKey('raw', key, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  return new Uint8Array(await crypto.subtle.sign('HMAC', k, info(label, ...parts)));
}

export interface SigningKey {
  key: CryptoKey;
  publicKey: Bytes;
}

// RFC 8410, section 7
const pkcs8 = Uint8Array.from([0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20]);

/** Derives an Ed25519 key from a 32-byte seed. */
export async function signingKeyFromSeed(seed: Bytes): Promise<SigningKey> {
  const key = await crypto.subtle.importKey('pkcs8', concat(pkcs8, seed), 'Ed25519', true, ['sign']);
  const { x } = await crypto.subtle.exportKey('jwk', key);
  return { key, publicKey: fromBase64url(x ?? '') };
}

export const sign = async (key: CryptoKey, label: string, message: Uint8Array): Promise<Bytes> =>
  new Uint8Array(await crypto.subtle.sign('Ed25519', key, info(label, message)));

export async function verify(publicKey: Bytes, label: string, message: Uint8Array, signature: Bytes): Promise<boolean> {
  const key = await crypto.subtle.importKey('raw', publicKey, 'Ed25519', false, ['verify']);
  return crypto.subtle.verify('Ed25519', key, signature, info(label, message));
}

/** AES-256-GCM with a 12-byte nonce. */
export class AEAD {
  private constructor(private readonly key: CryptoKey) {}

  static async create(key: Bytes): Promise<AEAD> {
    return new AEAD(await crypto.subtle.importKey('raw', key, 'AES-GCM', false, ['encrypt', 'decrypt']));
  }

  async seal(iv: Bytes, plaintext: Bytes, additionalData: Bytes): Promise<Bytes> {
    return new Uint8Array(await crypto.subtle.encrypt({ name: 'AES-GCM', iv, additionalData }, this.key, plaintext));
  }

  /** Throws unless the ciphertext was sealed with this key, nonce and additional data. */
  async open(iv: Bytes, ciphertext: Bytes, additionalData: Bytes): Promise<Bytes> {
    return new Uint8Array(await crypto.subtle.decrypt({ name: 'AES-GCM', iv, additionalData }, this.key, ciphertext));
  }
}

/** Seals the only message that a key from `material` (key ‖ nonce, 44 bytes) is ever used for. */
export async function sealOnce(material: Bytes, plaintext: Bytes, additionalData: Bytes): Promise<Bytes> {
  return (await AEAD.create(material.slice(0, 32))).seal(material.slice(32), plaintext, additionalData);
}

export async function openOnce(material: Bytes, ciphertext: Bytes, additionalData: Bytes): Promise<Bytes> {
  return (await AEAD.create(material.slice(0, 32))).open(material.slice(32), ciphertext, additionalData);
}
