import type { Mailbox } from './mailbox';
import type { RecordKey, RecordMessage } from './record';
import type { Signaling } from './signaling';

const messageTTL = 30; // seconds

/** How long the end of a session waits for the relay to take the last word of it. Milliseconds. */
export const lastWord = 1_000;

/**
 * Posts this end's records to the session's mailbox in the order they are said in, while the session goes on: a relay that is away does not end it. None
 * waits for the relay's word on the one before, which would cost a round trip each.
 */
export class Outbox {
  #sealed = Promise.resolve();

  constructor(
    private readonly signaling: Pick<Signaling, 'send'>,
    private readonly to: Mailbox,
    private readonly key: RecordKey,
  ) {}

  /** Resolves once the relay has it, or never will. */
  say(message: RecordMessage): Promise<void> {
    const posted = this.#sealed.then(async () => {
      const wire = await this.key.seal(message);
      return { taken: this.signaling.send(this.to, wire, messageTTL) };
    });
    this.#sealed = posted.then(() => undefined, () => undefined);
    return posted.then(({ taken }) => taken).catch(() => undefined);
  }

  /** Says the last word of a session, and waits for the relay to take it, for a moment. */
  async last(message: RecordMessage): Promise<void> {
    await Promise.race([this.say(message), new Promise((resolve) => setTimeout(resolve, lastWord))]);
  }
}
