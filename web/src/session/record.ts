import type { TokenBucket } from '../tokenbucket';
import { concat, Reader, text, toBase64url, u64, u8, utf8, type Bytes } from '../bytes';
import { AEAD, kdf, none } from '../crypto/label';
import type { Direction } from '../crypto/mailbox';

// Records: the messages after the answer, on the session's mailboxes and on the data channel (doc/protocol.md, section
// 6). The nonce is iv XOR counter. It never repeats under a key: each key belongs to one session, channel and
// direction, and its counter only rises.

export const onSignaling = 1;
export const onData = 2;
export const maxRecord = 4096;
export const minRecord = 9 + 16; // an empty one: header and tag

/**
 * How much work the other end can cause by its records, on both channels together. A start takes some forty records,
 * and later there are a few a second.
 */
export const recordsAtOnce = 192;
export const recordsPerSecond = 16;

/** The record opens, but the other end may send no more of them now. */
export class TooFast extends Error {
  override name = 'TooFast';
}

export interface RecordMessage {
  type: string;
  candidate?: string;
  mid?: string;
  challenge?: string;
  /** In a challenge: for what percentage of the time since the last one this device had no time for the page. */
  busy?: number;
  name?: string;
  code?: string;
  text?: string;
  reason?: string;
  network?: object;
}

/** Makes a challenge record; busy is a percentage. */
export function challengeMessage(challenge: Bytes, busy: number): RecordMessage {
  const m = { type: 'challenge', challenge: toBase64url(challenge) };
  return busy > 0 ? { ...m, busy } : m;
}

/** The key of one direction of one channel. */
export class RecordKey {
  #next = 0n;

  private constructor(
    private readonly aead: AEAD,
    private readonly iv: Bytes,
    private readonly allowance: TokenBucket | undefined,
  ) {}

  /** allowance bounds how many records are accepted; both channels share one. */
  static async derive(
    sessionSecret: Bytes,
    channel: number,
    direction: Direction,
    allowance?: TokenBucket,
  ): Promise<RecordKey> {
    const material = await kdf(none, sessionSecret, 'record', concat(u8(channel), u8(direction)), 44);
    return new RecordKey(await AEAD.create(material.slice(0, 32)), material.slice(32), allowance);
  }

  #nonce(counter: bigint): Bytes {
    const nonce = this.iv.slice();
    u64(counter).forEach((x, i) => (nonce[4 + i]! ^= x));
    return nonce;
  }

  async seal(m: RecordMessage): Promise<Bytes> {
    const plaintext = utf8(JSON.stringify(m));
    if (plaintext.length > maxRecord - minRecord) throw new Error('seal record: too long');
    const counter = this.#next++;
    const header = concat(u8(1), u64(counter));
    return concat(header, await this.aead.seal(this.#nonce(counter), plaintext, header));
  }

  /** Throws if the record does not open, or its counter is not above the last one. Calls must not overlap. */
  async open(wire: Bytes): Promise<RecordMessage> {
    if (wire.length > maxRecord) throw new Error('open record: too long');

    const r = new Reader(wire);
    const version = r.u8();
    const counter = r.u64();
    if (version !== 1 || counter < this.#next) throw new Error('open record: version or counter');

    const plaintext = await this.aead.open(this.#nonce(counter), r.rest(), wire.slice(0, 9));
    this.#next = counter + 1n;
    if (this.allowance?.takeToken() === false) throw new TooFast('open record: too many');

    const m = JSON.parse(text(plaintext)) as RecordMessage;
    if (typeof m !== 'object' || m === null || typeof m.type !== 'string') throw new Error('open record: malformed');

    return m;
  }
}
