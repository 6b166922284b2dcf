import { text, toHex, type Bytes } from '../bytes';
import { isForeign, Type, type Pair } from '../crypto/envelope';
import type { Identity } from '../crypto/identity';
import { dayOf, pairMailbox, toViewer, type Mailbox } from '../crypto/mailbox';
import { pairingError, PairingError, rendezvousOf, Scanner, sentences, type Code } from '../crypto/pairing';
import { printableName } from '../printable';
import { Replies } from '../session/replies';
import { RelayError, Signaling } from '../signaling/client';
import { heldBack, Reach } from '../signaling/reach';
import { parseRelayList } from '../signaling/relaylist';
import type { Camera } from './store';
import { afterOwnTime } from '../timelimit';

// Runs a pairing over a relay, from a code to the camera's first sealed message.

const patience = 10_000;
const keep = 600;

/** Names the work that only one tab may do at a time: pairings by codes of one camera read the same mailboxes. */
export const pairingName = (code: Code): string => `peephole pairing ${toHex(code.fingerprint)}`;

/**
 * Pairs by a code to which a person has agreed. Nowhere else does a code lead to a connection. Throws PairingError with
 * a sentence for the person, or the signal's reason once it is aborted.
 */
export async function pairWith(self: Identity, code: Code, signal: AbortSignal, now = Date.now): Promise<Camera> {
  signal.throwIfAborted();
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error));
  });

  let block!: (e: Error) => void;
  const blocked = new Promise<never>((_, reject) => (block = reject));
  const reach = new Reach(code.relayURL);
  const signaling = new Signaling(code.relayURL, (connected, held) => {
    if (connected) return reach.connected();
    const why = reach.failed(held);
    if (reach.blocked) block(new PairingError(why));
  });

  try {
    return await Promise.race([aborted, blocked, new Attempt(self, code, signaling, now).run()]);
  } finally {
    signaling.close();
  }
}

/** One attempt to pair by a code. */
class Attempt {
  readonly #scanner: Scanner;
  #spoilt = false; // something came that is not from the code's displayer
  #awaiting = false; // the camera's welcome
  #paired!: (c: Camera) => void;
  #failed!: (e: unknown) => void;
  readonly #outcome = new Promise<Camera>((resolve, reject) => {
    this.#paired = resolve;
    this.#failed = reject;
  });

  constructor(
    self: Identity,
    private readonly code: Code,
    private readonly signaling: Signaling,
    private readonly now: () => number,
  ) {
    this.#scanner = new Scanner(self, code);
  }

  async run(): Promise<Camera> {
    const { toDisplayer, toScanner } = await rendezvousOf(this.code);
    const { host } = new URL(this.code.relayURL);
    const unreached = `Cannot reach the relay at ${host}. Check your connection and try again.`;
    const why = (): string => (this.signaling.held ? heldBack(host) : unreached);
    await within(patience, this.signaling.connected(), () => new PairingError(why()));

    this.signaling.receive(toScanner, async (message, reject) => {
      await this.#receive(message, reject, toDisplayer);
      return false; // acknowledge nothing before the pair is made, so that an interrupted scanner may begin again
    });
    const callOff = afterOwnTime(patience, () => this.#failed(pairingError(this.#whyLate())));
    return this.#outcome.finally(callOff);
  }

  #whyLate(): 'invalid' | 'expired' | 'nobody' {
    if (this.#spoilt) return 'invalid';
    return this.now() / 1000 > this.code.expiry ? 'expired' : 'nobody';
  }

  async #receive(message: Bytes, reject: () => void, toDisplayer: Mailbox): Promise<void> {
    try {
      const reply = await this.#scanner.handle(message);
      if (this.#scanner.pair && !this.#awaiting) {
        this.#awaiting = true;
        await this.#awaitWelcome(this.#scanner.pair);
      }
      if (reply) this.#send(toDisplayer, reply);
    } catch (e) {
      // A refusal that opened is final. What is not from the displayer is ignored, and the wait for it goes on.
      if (e instanceof PairingError && e.message !== sentences.invalid) return this.#failed(e);
      if (e instanceof PairingError && e.strange) reject();
      this.#spoilt = true;
    }
  }

  #send(toDisplayer: Mailbox, reply: Bytes): void {
    void this.signaling
      .send(toDisplayer, reply, keep)
      .catch((e: unknown) => this.#failed(e instanceof RelayError ? pairingError('nobody') : e));
  }

  /** Waits for the camera's first sealed message in today's mailbox of the pair. */
  async #awaitWelcome(pair: Pair): Promise<void> {
    const day = await dayOf(pair.mailboxSecret, this.signaling.serverTime);
    const box = await pairMailbox(pair.mailboxSecret, toViewer, day);
    // The pair is only seconds old, so the message is new whatever its date: a camera whose clock was never set dates
    // it 1970.
    const replies = new Replies(pair, box, () => -Infinity);

    this.signaling.receive(box, async (wire, reject) => {
      try {
        const opened = await replies.open(wire);
        if (opened.type === Type.welcome) this.#paired(this.#cameraOf(pair, opened.body));
      } catch (e) {
        if (isForeign(e)) reject();
        this.#spoilt = true;
      }
      return true;
    });
  }

  #cameraOf(pair: Pair, welcome: Bytes): Camera {
    const { relayURL } = this.code;
    const { name, relays } = JSON.parse(text(welcome)) as { name?: unknown; relays?: unknown };
    const list = parseRelayList(relays, relayURL);

    return {
      id: pair.peer.id,
      name: (typeof name === 'string' && printableName(name)) || 'Camera',
      relayURL,
      pairedAt: Date.now(),
      bundle: pair.peer.bytes,
      secret: pair.secret,
      mailboxSecret: pair.mailboxSecret,
      ...(list === undefined ? {} : { relays: list }),
    };
  }
}

async function within<T>(ms: number, promise: Promise<T>, why: () => Error): Promise<T> {
  let callOff = (): void => undefined;
  const late = new Promise<never>((_, reject) => (callOff = afterOwnTime(ms, () => reject(why()))));
  try {
    return await Promise.race([promise, late]);
  } finally {
    callOff();
  }
}
