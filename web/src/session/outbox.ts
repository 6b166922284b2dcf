import type { Mailbox } from '../crypto/mailbox';
import type { RecordKey, RecordMessage } from './record';
import type { Relays } from '../signaling/relays';

const messageTTL = 30; // seconds

/** How long the end of a session waits for the relay to take its last message, in milliseconds. */
export const lastMessageWait = 1_000;

/**
 * Posts this end's records to the session's mailbox in order. It lasts as long as the session: losing the relay does
 * not end it. No record waits for the relay to confirm the one before, which would cost a round trip each.
 */
export class Outbox {
  #sealed = Promise.resolve();

  constructor(
    private readonly relays: Pick<Relays, 'send'>,
    private readonly to: Mailbox,
    private readonly key: RecordKey,
  ) {}

  /** Resolves once a relay has the record or never will. */
  post(message: RecordMessage): Promise<void> {
    const posted = this.#sealed.then(async () => {
      const wire = await this.key.seal(message);
      return { taken: this.relays.send(this.to, wire, messageTTL) };
    });

    this.#sealed = posted.then(
      () => undefined,
      () => undefined,
    );

    return posted.then(({ taken }) => taken).catch(() => undefined);
  }

  /** Says the last message of a session, and waits a moment for the relay to take it. */
  async postLast(message: RecordMessage): Promise<void> {
    await Promise.race([this.post(message), new Promise((resolve) => setTimeout(resolve, lastMessageWait))]);
  }
}
