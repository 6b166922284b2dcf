import { toHex, type Bytes } from './bytes';
import { hasSize } from './envelope';
import { sha256 } from './label';
import { maxRecord, minRecord } from './record';
import { mayBePiece } from './still';

// The messages of a session's own mailbox, and which of them are no reason for alarm although they do not open. Mailboxes deliver at least
// once; a relay that restarts forgets what waited in it, so that what follows an answer can come without it.

/** A message, and the word to the relay that it does not open. */
export interface Message {
  body: Bytes;
  reject(): void;
}

const maxSeen = 256; // more than a session has messages
const maxEarly = 64; // as many as a camera's outbox holds

/** Tells a record from an envelope, by its outside. */
function mayBeRecord(body: Bytes): boolean {
  return body.length >= minRecord && body.length <= maxRecord && body[0] === 1 && !hasSize(body.length);
}

export class Arrivals {
  readonly #seen = new Set<string>();
  #early: Message[] = [];

  /** Whether a copy of this message has opened. */
  async again(m: Message): Promise<boolean> {
    return this.#seen.has(toHex(await sha256(m.body)));
  }

  /** Remembers a message that has opened, to know its copies by. */
  async opened(m: Message): Promise<void> {
    if (this.#seen.size < maxSeen) this.#seen.add(toHex(await sha256(m.body)));
  }

  /** Keeps a message that came before the answer, to be judged when there are keys; false: it is neither record nor piece, or one too many. */
  hold(m: Message): boolean {
    if (this.#early.length >= maxEarly || !(mayBeRecord(m.body) || mayBePiece(m.body))) return false;
    this.#early.push(m);
    return true;
  }

  /** What was held, in order. */
  release(): Message[] {
    const held = this.#early;
    this.#early = [];
    return held;
  }
}
