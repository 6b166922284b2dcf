import type { Signaling } from './client';
import type { Place } from './relaylist';

/** A relay that a viewer has come to, in search of a camera. */
export interface Relay {
  readonly place: Place;
  readonly client: Signaling;
  /** failed: the last try to reach it failed, or takes too long. */
  state: 'trying' | 'reached' | 'failed';
  /** This end has ended the connection, since the device may be in another network. */
  moved?: boolean;
  /** Ends the try, which takes too long then. */
  late?: ReturnType<typeof setTimeout>;
}

/** Something that each relay is asked for. */
export interface Request<T> {
  to(relay: Relay): Promise<T>;
  /** Whether relays that are reached from now on are asked, too. */
  wanted(): boolean;
  /** Called when a relay is asked. */
  asked?(relay: Relay): void;
  /** Called once, with what the first relay grants. */
  granted?(done: T): void;
}

/** A request that goes to every relay, once to each. It succeeds with the first that grants it. */
export class Ask<T> {
  readonly done: Promise<T>;
  #resolve!: (done: T) => void;
  #reject!: (why: unknown) => void;
  readonly #asked = new Set<Relay>();
  readonly #refusals = new Map<Relay, unknown>();
  #granted = false;

  /** refused is called with each relay's refusal. */
  constructor(
    private readonly request: Request<T>,
    private readonly refused: (relay: Relay, why: unknown) => void,
  ) {
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  get wanted(): boolean {
    return this.request.wanted();
  }

  start(relay: Relay): void {
    if (this.#asked.has(relay)) return;

    this.#asked.add(relay);
    this.request.asked?.(relay);
    this.request.to(relay).then(
      (done) => this.#grant(done),
      (why: unknown) => {
        this.#refusals.set(relay, why);
        this.refused(relay, why);
      },
    );
  }

  #grant(done: T): void {
    if (this.#granted) return;
    this.#granted = true;
    this.request.granted?.(done);
    this.#resolve(done);
  }

  /** Fails with the first relay's refusal if none of these relays is left to hope for. */
  settle(relays: Relay[]): void {
    const first = relays.find((r) => this.#refusals.has(r));
    if (first === undefined || relays.some((r) => r.state !== 'failed' && !this.#refusals.has(r))) return;
    this.#reject(this.#refusals.get(first));
  }

  /** Fails unless a relay has done it. */
  drop(why: Error): void {
    this.#reject(why);
  }
}
