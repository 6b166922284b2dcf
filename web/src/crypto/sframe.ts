import { concat, equal, u16, u64, utf8, type Bytes } from '../bytes';

// SFrame (RFC 9605), the AES-GCM suites, on WebCrypto.
//
//	+-+-----+-+-----+---------------+---------------+---------------------+
//	|X|  K  |Y|  C  | KID (0..8 B)  | CTR (0..8 B)  | ciphertext ‖ tag    |
//	+-+-----+-+-----+---------------+---------------+---------------------+
//
// X or Y 0: K or C is the value itself, below 8. 1: it is the length in bytes less one (section 4.3).

/** AES_128_GCM_SHA256_128 and AES_256_GCM_SHA512_128 (section 4.5). */
export type Suite = 4 | 5;

const suites = {
  4: { hash: 'SHA-256', keySize: 16 },
  5: { hash: 'SHA-512', keySize: 32 },
} as const;

const nonceSize = 12;
const tagSize = 16;

export interface Header {
  kid: bigint;
  ctr: bigint;
  /** The header's length in bytes. */
  size: number;
}

/** What opens the frames of one of the camera's tracks. */
export interface FrameSecret {
  kid: bigint;
  /** 64 bytes. */
  baseKey: Bytes;
  /** The SFrame metadata, which binds frames to camera, viewer, session and track. */
  binding: Bytes;
}

/** The frame does not open: it is malformed, foreign, altered or replayed. */
export class FrameError extends Error {
  override name = 'FrameError';
}

/** The frame has already been opened. */
export class RepeatedFrame extends FrameError {}

export function encodeHeader(kid: bigint, ctr: bigint): Bytes {
  const k = encodeField(kid);
  const c = encodeField(ctr);
  return concat(Uint8Array.of((k.bits << 4) | c.bits), k.bytes, c.bytes);
}

function encodeField(value: bigint): { bits: number; bytes: Bytes } {
  if (value < 8n) return { bits: Number(value), bytes: new Uint8Array(0) };
  const all = u64(value);
  const bytes = all.slice(all.findIndex((b) => b !== 0));
  return { bits: 8 | (bytes.length - 1), bytes };
}

/** Throws FrameError if the header is truncated or is not the shortest encoding of its values. */
export function decodeHeader(frame: Bytes): Header {
  const config = frame[0];
  if (config === undefined) throw new FrameError('decode SFrame header: empty');

  let size = 1;
  const field = (bits: number): bigint => {
    if (bits < 8) return BigInt(bits);
    const bytes = frame.subarray(size, size + (bits & 7) + 1);
    size += (bits & 7) + 1;
    return bytes.reduce((v, b) => (v << 8n) | BigInt(b), 0n);
  };

  const kid = field(config >> 4);
  const ctr = field(config & 15);
  if (!equal(encodeHeader(kid, ctr), frame.subarray(0, size))) throw new FrameError('decode SFrame header: malformed');

  return { kid, ctr, size };
}

/** Derives the key and the salt of a KID from its base key (section 4.4.2). */
export async function deriveKeySalt(suite: Suite, kid: bigint, baseKey: Bytes): Promise<{ key: Bytes; salt: Bytes }> {
  const { hash, keySize } = suites[suite];
  const ikm = await crypto.subtle.importKey('raw', baseKey, 'HKDF', false, ['deriveBits']);
  const expand = async (label: string, size: number): Promise<Bytes> => {
    const info = concat(utf8(label), u64(kid), u16(suite));
    return new Uint8Array(
      await crypto.subtle.deriveBits({ name: 'HKDF', hash, salt: new Uint8Array(0), info }, ikm, size * 8),
    );
  };

  return {
    key: await expand('SFrame 1.0 Secret key ', keySize),
    salt: await expand('SFrame 1.0 Secret salt ', nonceSize),
  };
}

/**
 * Seals or opens the frames of one KID. It does not detect repeated counters: the sender counts, and the receiver has a
 * ReplayWindow.
 */
export class FrameKey {
  private constructor(
    readonly kid: bigint,
    private readonly key: CryptoKey,
    private readonly salt: Bytes,
  ) {}

  static async derive(suite: Suite, kid: bigint, baseKey: Bytes, use: 'encrypt' | 'decrypt'): Promise<FrameKey> {
    const { key, salt } = await deriveKeySalt(suite, kid, baseKey);
    return new FrameKey(kid, await crypto.subtle.importKey('raw', key, 'AES-GCM', false, [use]), salt);
  }

  /** The caller must never pass the same ctr twice. */
  async seal(ctr: bigint, metadata: Bytes, plaintext: Bytes): Promise<Bytes> {
    const header = encodeHeader(this.kid, ctr);
    const sealed = await crypto.subtle.encrypt(this.params(ctr, header, metadata), this.key, plaintext);
    return concat(header, new Uint8Array(sealed));
  }

  /** Throws FrameError if the frame has another KID or does not open. */
  async open(frame: Bytes, metadata: Bytes): Promise<{ ctr: bigint; plaintext: Bytes }> {
    const { kid, ctr, size } = decodeHeader(frame);
    if (kid !== this.kid) throw new FrameError('open frame: another KID');

    try {
      const params = this.params(ctr, frame.subarray(0, size), metadata);
      return { ctr, plaintext: new Uint8Array(await crypto.subtle.decrypt(params, this.key, frame.subarray(size))) };
    } catch {
      throw new FrameError('open frame: authentication failed');
    }
  }

  private params(ctr: bigint, header: Bytes, metadata: Bytes): AesGcmParams {
    const iv = this.salt.slice();
    const counter = u64(ctr);
    for (let i = 0; i < 8; i++) iv[nonceSize - 8 + i]! ^= counter[i]!;
    return { name: 'AES-GCM', iv, additionalData: concat(header, metadata), tagLength: tagSize * 8 };
  }
}

/** Accepts each counter once, and refuses those more than `size` below the highest. */
export class ReplayWindow {
  #next = 0n;
  readonly #seen: BigUint64Array<ArrayBuffer>;

  constructor(size = 1024) {
    this.#seen = new BigUint64Array(size).fill(2n ** 64n - 1n);
  }

  /** Reports whether ctr is new. Ask before opening a frame, and call record once it has opened. */
  fresh(ctr: bigint): boolean {
    if (ctr === 2n ** 64n - 1n) return false;
    if (ctr >= this.#next) return true;
    return ctr + BigInt(this.#seen.length) >= this.#next && this.#seen[this.#slot(ctr)] !== ctr;
  }

  record(ctr: bigint): void {
    this.#seen[this.#slot(ctr)] = ctr;
    if (ctr >= this.#next) this.#next = ctr + 1n;
  }

  #slot(ctr: bigint): number {
    return Number(ctr % BigInt(this.#seen.length));
  }
}
