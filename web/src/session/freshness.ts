import { random, toHex, type Bytes } from '../bytes';
import type { Challenged, Clocks, Moment } from '../clocks';

/** How long after its challenge was issued a picture may be called live, in milliseconds. */
export const liveFor = 5_000;
const known = 64;

/** Reports whether a picture may be called live now. Ask again for as long as it is shown. */
export const isLive = (clocks: Clocks, picture: Challenged | undefined): boolean =>
  clocks.age(picture?.issued) <= liveFor;

/**
 * Tells how old a picture can be, by this device's clocks alone: a frame that carries a challenge was sealed after that
 * challenge was issued.
 */
export class Freshness {
  readonly #issued = new Map<string, Moment>();

  constructor(private readonly clocks: Clocks) {}

  issueChallenge(): Bytes {
    const at = this.clocks.read(); // before anybody can answer
    const challenge = random(8);
    this.#issued.set(toHex(challenge), at);

    for (const oldest of this.#issued.keys()) {
      if (this.#issued.size <= known) break;
      this.#issued.delete(oldest);
    }

    return challenge;
  }

  /** Returns when a challenge, in hex, was issued; undefined if not here, or so long ago that it has been forgotten. */
  issuedAt(challenge: string): Moment | undefined {
    return this.#issued.get(challenge);
  }
}
