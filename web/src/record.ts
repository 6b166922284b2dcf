import { concat, Reader, text, u64, u8, utf8, type Bytes } from './bytes';
import { AEAD, kdf, none } from './label';
import type { Direction } from './mailbox';

// Records: what follows the answer, on the session's mailboxes and on the data channel (doc/protocol.md, section 6). The nonce is iv XOR
// counter; the key is of one session, channel and direction, and the counter only rises.

export const onSignaling = 1;
export const onData = 2;
export const maxRecord = 4096;
export const minRecord = 9 + 16; // header and tag, and nothing in it

export interface RecordMessage {
  type: string;
  candidate?: string;
  mid?: string;
  challenge?: string;
  name?: string;
  code?: string;
  text?: string;
  reason?: string;
  network?: object;
}

/** One direction of one channel. */
export class RecordKey {
  #next = 0n;

  private constructor(
    private readonly aead: AEAD,
    private readonly iv: Bytes,
  ) {}

  static async derive(sessionSecret: Bytes, channel: number, direction: Direction): Promise<RecordKey> {
    const material = await kdf(none, sessionSecret, 'record', concat(u8(channel), u8(direction)), 44);
    return new RecordKey(await AEAD.create(material.slice(0, 32)), material.slice(32));
  }

  #nonce(counter: bigint): Bytes {
    const nonce = this.iv.slice();
    u64(counter).forEach((x, i) => (nonce[4 + i]! ^= x));
    return nonce;
  }

  async seal(m: RecordMessage): Promise<Bytes> {
    const counter = this.#next++;
    const header = concat(u8(1), u64(counter));
    return concat(header, await this.aead.seal(this.#nonce(counter), utf8(JSON.stringify(m)), header));
  }

  /** Throws on what does not open, and on a counter that is not above the last. Calls must not overlap. */
  async open(wire: Bytes): Promise<RecordMessage> {
    if (wire.length > maxRecord) throw new Error('open record: too long');
    const r = new Reader(wire);
    const version = r.u8();
    const counter = r.u64();
    if (version !== 1 || counter < this.#next) throw new Error('open record: version or counter');
    const plaintext = await this.aead.open(this.#nonce(counter), r.rest(), wire.slice(0, 9));
    this.#next = counter + 1n;
    const m = JSON.parse(text(plaintext)) as RecordMessage;
    if (typeof m !== 'object' || m === null || typeof m.type !== 'string') throw new Error('open record: malformed');
    return m;
  }
}
