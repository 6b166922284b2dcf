import { random, toHex, type Bytes } from './bytes';

/** A frame whose challenge is older than this is shown as delayed, never as live. Milliseconds. */
export const liveFor = 5_000;
const known = 64;

/** Tells live from delayed by this device's clock alone: a frame that carries a challenge was sealed after it was issued. */
export class Freshness {
  readonly #issued = new Map<string, { now: number; wall: number }>();

  /** now: performance.now(), which may stand still while the device sleeps; wall: Date.now(), which may be set. */
  issue(now: number, wall: number): Bytes {
    const challenge = random(8);
    this.#issued.set(toHex(challenge), { now, wall });
    for (const oldest of this.#issued.keys()) {
      if (this.#issued.size <= known) break;
      this.#issued.delete(oldest);
    }
    return challenge;
  }

  /** challenge: in hex, out of an opened frame. The clock that says longer counts: what was held back during a sleep is not live after it. */
  live(challenge: string, now: number, wall: number): boolean {
    const issued = this.#issued.get(challenge);
    return issued !== undefined && Math.max(now - issued.now, wall - issued.wall) <= liveFor;
  }
}
