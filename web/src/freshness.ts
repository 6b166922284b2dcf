import { random, toHex, type Bytes } from './bytes';

/** A frame whose challenge is older than this is shown as delayed, never as live. Milliseconds. */
export const liveFor = 5_000;
const known = 64;

/** Tells live from delayed by this device's clock alone: a frame that carries a challenge was sealed after it was issued. */
export class Freshness {
  readonly #issued = new Map<string, number>();

  /** now: performance.now(). */
  issue(now: number): Bytes {
    const challenge = random(8);
    this.#issued.set(toHex(challenge), now);
    for (const oldest of this.#issued.keys()) {
      if (this.#issued.size <= known) break;
      this.#issued.delete(oldest);
    }
    return challenge;
  }

  /** challenge: in hex, out of an opened frame. */
  live(challenge: string, now: number): boolean {
    const issued = this.#issued.get(challenge);
    return issued !== undefined && now - issued <= liveFor;
  }
}
