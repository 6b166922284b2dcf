import { toHex, type Bytes } from '../bytes';
import { hasSize } from '../crypto/envelope';
import { sha256 } from '../crypto/label';
import { maxRecord, minRecord } from './record';
import { mayBePiece } from './still';

// The messages in a session's own mailbox, and which of them may fail to open without raising an alarm. Mailboxes
// deliver at least once, and a relay that restarts forgets waiting messages, so those that follow an answer can come
// without it.

/** A message, and the call that tells the relay that it does not open. */
export interface Message {
  body: Bytes;
  reject(): void;
}

const maxSeen = 256; // more than the messages of a session
const maxEarly = 64; // as many as a camera's outbox holds

/** Tells a record from an envelope by its outside. */
function mayBeRecord(body: Bytes): boolean {
  return body.length >= minRecord && body.length <= maxRecord && body[0] === 1 && !hasSize(body.length);
}

export class Inbox {
  readonly #seen = new Set<string>();
  #early: Message[] = [];

  /** Reports whether a copy of this message has opened. */
  async isCopy(m: Message): Promise<boolean> {
    return this.#seen.has(toHex(await sha256(m.body)));
  }

  /** Remembers a message that has opened, to recognize copies of it. */
  async remember(m: Message): Promise<void> {
    if (this.#seen.size < maxSeen) this.#seen.add(toHex(await sha256(m.body)));
  }

  /**
   * Holds a message that came before the answer until there are keys to open it. Returns false if it is neither a
   * record nor a piece, or if too many are held.
   */
  hold(m: Message): boolean {
    if (this.#early.length >= maxEarly || !(mayBeRecord(m.body) || mayBePiece(m.body))) return false;
    this.#early.push(m);
    return true;
  }

  /** Returns the held messages in order, and holds them no longer. */
  release(): Message[] {
    const held = this.#early;
    this.#early = [];
    return held;
  }
}
