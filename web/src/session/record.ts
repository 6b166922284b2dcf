import type { TokenBucket } from '../tokenbucket';
import { concat, Reader, text, toBase64url, u64, u8, utf8, type Bytes } from '../bytes';
import { AEAD, kdf, none } from '../crypto/label';
import type { Direction } from '../crypto/mailbox';
import { RecordWindow } from './recordwindow';

// Records: the messages after the answer, on the session's mailboxes and on the data channel (doc/protocol.md, section
// 6). The nonce is iv XOR counter. It never repeats under a key: each key belongs to one session, channel and
// direction, and its sender counts up.

/** The first byte of a record. Version 1 had counters that must rise, and a piece of a picture begins with 2. */
export const recordVersion = 3;

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

/**
 * The record is the other end's, but is not obeyed, and that is no reason for alarm: ways deliver at least once, and
 * overtake each other.
 */
export class HarmlessRecord extends Error {
  override name = 'HarmlessRecord';

  /** copy: it has opened before. late: a newer one counts, or nobody can tell. fast: more come than are obeyed. */
  constructor(readonly why: 'copy' | 'late' | 'fast') {
    super(`open record: ${why}`);
  }
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
  relays?: unknown;
}

/** Makes a challenge record; busy is a percentage. */
export function challengeMessage(challenge: Bytes, busy: number): RecordMessage {
  const m = { type: 'challenge', challenge: toBase64url(challenge) };
  return busy > 0 ? { ...m, busy } : m;
}

/** The types of records that state something. Of each, only the newest counts; the order of all others is free. */
const states = new Set(['challenge', 'status', 'sending', 'network', 'relays']);

/** The key of one direction of one channel. */
export class RecordKey {
  #next = 0n; // to seal
  readonly #window = new RecordWindow();
  readonly #newest = new Map<string, bigint>(); // the counter of the newest record of each of the states

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
    const header = concat(u8(recordVersion), u64(counter));
    return concat(header, await this.aead.seal(this.#nonce(counter), plaintext, header));
  }

  /** Throws HarmlessRecord if the record is not to be obeyed, and another error if it does not open. */
  async open(wire: Bytes): Promise<RecordMessage> {
    if (wire.length > maxRecord) throw new Error('open record: too long');

    const r = new Reader(wire);
    const version = r.u8();
    const counter = r.u64();
    if (version !== recordVersion) throw new Error('open record: version');
    const plaintext = await this.aead.open(this.#nonce(counter), r.rest(), wire.slice(0, 9));

    // Copies are not charged to the allowance: a way that repeats records must not silence the other ways.
    const accepted = this.#window.accept(counter);
    if (accepted !== 'new') throw new HarmlessRecord(accepted);
    if (this.allowance?.takeToken() === false) throw new HarmlessRecord('fast');

    const m = JSON.parse(text(plaintext)) as RecordMessage;
    if (typeof m !== 'object' || m === null || typeof m.type !== 'string') throw new Error('open record: malformed');
    if (this.#isReplaced(m.type, counter)) throw new HarmlessRecord('late');

    return m;
  }

  /** Reports whether a record with a newer state of the same kind has opened already, and notes the counter if not. */
  #isReplaced(type: string, counter: bigint): boolean {
    if (!states.has(type)) return false;
    if (counter < (this.#newest.get(type) ?? 0n)) return true;
    this.#newest.set(type, counter);
    return false;
  }
}
