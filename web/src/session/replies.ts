import { TokenBucket } from '../tokenbucket';
import type { Bytes } from '../bytes';
import { addressed, EnvelopeError, openEnvelope, type Opened, type Pair } from '../crypto/envelope';
import type { Mailbox } from '../crypto/mailbox';

/** How many envelopes to open in search of the expected one: at once, and a second. */
export const attemptsAtOnce = 16;
export const attemptsPerSecond = 1;

/**
 * Opens what may be the envelope that is expected in a mailbox. There is one, and another whenever the camera restarts.
 * The attempts are limited because anyone who has seen one envelope can copy its tag, and each attempt costs a
 * private-key operation.
 */
export class Replies {
  readonly #attempts: TokenBucket;

  constructor(
    private readonly pair: Pair,
    private readonly box: Mailbox,
    private readonly now: () => number,
    counted?: () => number,
  ) {
    this.#attempts = new TokenBucket(attemptsAtOnce, attemptsPerSecond, counted);
  }

  /** Throws EnvelopeError. */
  async open(wire: Bytes): Promise<Opened> {
    await addressed(this.pair, this.box, wire);
    if (!this.#attempts.takeToken()) throw new EnvelopeError('too many');
    return openEnvelope(this.pair, this.box, wire, this.now());
  }
}
