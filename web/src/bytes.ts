/** A byte string in the type that WebCrypto accepts. */
export type Bytes = Uint8Array<ArrayBuffer>;

export function concat(...parts: Uint8Array[]): Bytes {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

/** Encodes an integer in `size` bytes (1 to 8), big-endian. Throws RangeError if it does not fit. */
export function uint(size: number, value: number | bigint): Bytes {
  let v = BigInt(value);
  if (v < 0n || v >= 1n << BigInt(8 * size)) throw new RangeError(`encode u${8 * size}: out of range`);
  const out = new Uint8Array(size);
  for (let i = size - 1; i >= 0; i--, v >>= 8n) out[i] = Number(v & 0xffn);
  return out;
}

export const u8 = (v: number): Bytes => uint(1, v);
export const u16 = (v: number): Bytes => uint(2, v);
export const u32 = (v: number): Bytes => uint(4, v);
export const u64 = (v: number | bigint): Bytes => uint(8, v);

/** A 16-bit length, followed by that many bytes. */
export const var16 = (b: Uint8Array): Bytes => concat(u16(b.length), b);

export const utf8 = (s: string): Bytes => new TextEncoder().encode(s);

/** Throws TypeError on invalid UTF-8. */
export const text = (b: Uint8Array): string => new TextDecoder('utf-8', { fatal: true }).decode(b);

export const random = (n: number): Bytes => crypto.getRandomValues(new Uint8Array(n));

/** Compares in constant time: it depends only on the lengths. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let diff = 0;
  for (let i = 0; i < a.length; i++) diff |= a[i]! ^ b[i]!;
  return diff === 0;
}

/** Base64url without padding (RFC 4648, 5). */
export function toBase64url(b: Uint8Array): string {
  let s = '';
  for (const x of b) s += String.fromCharCode(x);
  return btoa(s).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/** Throws on characters outside the alphabet and on any encoding but the canonical one. */
export function fromBase64url(s: string): Bytes {
  if (!/^[A-Za-z0-9_-]*$/.test(s)) throw new Error('decode base64url: foreign character');
  const out = Uint8Array.from(atob(s.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
  if (toBase64url(out) !== s) throw new Error('decode base64url: not canonical');
  return out;
}

export const toHex = (b: Uint8Array): string => Array.from(b, (x) => x.toString(16).padStart(2, '0')).join('');

/** Reads fields one after the other. Throws when a field runs past the end, and from end() when bytes are left over. */
export class Reader {
  #at = 0;

  constructor(readonly data: Bytes) {}

  bytes(n: number): Bytes {
    if (n > this.data.length - this.#at) throw new RangeError('read field: too short');
    this.#at += n;
    return this.data.slice(this.#at - n, this.#at);
  }

  uint(size: number): bigint {
    return this.bytes(size).reduce((v, x) => (v << 8n) | BigInt(x), 0n);
  }

  u8 = (): number => Number(this.uint(1));
  u16 = (): number => Number(this.uint(2));
  u32 = (): number => Number(this.uint(4));
  u64 = (): bigint => this.uint(8);
  var16 = (): Bytes => this.bytes(this.u16());
  rest = (): Bytes => this.bytes(this.data.length - this.#at);

  end(): void {
    if (this.#at !== this.data.length) throw new RangeError('read fields: too long');
  }
}
