import { equal, toHex, type Bytes } from '../bytes';
import { sha256 } from '../crypto/label';
import { maxRecord, minRecord, recordVersion } from './record';
import { mayBePiece } from './still';

// The messages in a session's own mailbox, and which of them may fail to open without raising an alarm. Mailboxes
// deliver at least once, and a relay that restarts forgets waiting messages, so those that follow an answer can come
// without it. Records need no Inbox to recognize copies, because their counters do.

/** A message, and the call that tells the relay that it does not open. */
export interface Message {
  body: Bytes;
  reject(): void;
}

const maxSeen = 64; // more than a session has replies, and pieces of a picture
const maxEarly = 64; // as many as a camera's outbox holds

/** Tells a record from an envelope and a piece by its outside. */
const mayBeRecord = (body: Bytes): boolean =>
  body.length >= minRecord && body.length <= maxRecord && body[0] === recordVersion;

export class Inbox {
  readonly #seen = new Set<string>();
  #early: Message[] = [];

  /** Reports whether a copy of this reply or piece has opened. */
  async isCopy(m: Message): Promise<boolean> {
    return this.#seen.has(toHex(await sha256(m.body)));
  }

  /** Remembers a reply or piece that has opened, to recognize copies of it. */
  async remember(m: Message): Promise<void> {
    if (this.#seen.size < maxSeen) this.#seen.add(toHex(await sha256(m.body)));
  }

  /**
   * Holds a message that came before the answer until there are keys to open it. Of copies it holds one. Returns false
   * if it is neither a record nor a piece, or if too many are held.
   */
  hold(m: Message): boolean {
    if (this.#early.some(({ body }) => equal(body, m.body))) return true;
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
