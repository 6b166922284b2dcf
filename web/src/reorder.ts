/** What Reorder needs to know of a frame. */
export interface Ordered {
  ctr: bigint;
  keyframe: boolean;
}

/**
 * Puts frames back into the order of their counters for a decoder that cannot: a browser hands each frame to a transform as soon as it
 * is complete, so one that waits for a retransmission is overtaken. Time is the caller's, in milliseconds.
 *
 * A frame missing for longer than `patience` is given up; then nothing is released before the next keyframe. That is a freeze, so it waits
 * for as long as a packet that was lost twice, or thrice, takes to come over a long line. What waits for a keyframe, which has more packets to
 * lose than any other frame, waits as long.
 */
export class Reorder<T extends Ordered> {
  readonly #waiting = new Map<bigint, { frame: T; since: number }>();
  #next: bigint | undefined;
  #last = -1n; // the highest counter released: nothing goes back behind it, a keyframe that was held back neither

  constructor(
    private readonly patience = 1000,
    private readonly limit = 64,
  ) {}

  /** Takes a frame; gives those that can be decoded now, in order. */
  push(frame: T, now: number): T[] {
    if (frame.ctr <= this.#last || (this.#next !== undefined && frame.ctr < this.#next)) return [];
    this.#waiting.set(frame.ctr, { frame, since: now });
    if (this.#next === undefined) return this.#skip(now);
    const out = this.#run();
    if (this.#stuck(now)) out.push(...this.#skip(now));
    return out;
  }

  /** Whether a keyframe has to be asked for: frames arrive and none of them can be decoded. */
  get starved(): boolean {
    return this.#next === undefined;
  }

  /** The highest counter released: no frame up to it is waited for. */
  get passed(): bigint {
    return this.#last;
  }

  /** Nothing is released before the next keyframe: the decoder lost its state. */
  reset(): void {
    this.#next = undefined;
    this.#waiting.clear();
  }

  #run(): T[] {
    const out: T[] = [];
    for (let w = this.#waiting.get(this.#next!); w; w = this.#waiting.get(this.#next!)) {
      this.#last = this.#next!++;
      this.#waiting.delete(this.#last);
      out.push(w.frame);
    }
    return out;
  }

  #stuck(now: number): boolean {
    const oldest = this.#waiting.values().next().value;
    return oldest !== undefined && (now - oldest.since > this.patience || this.#waiting.size > this.limit);
  }

  /** Goes on at the lowest keyframe that waits, if there is one. */
  #skip(now: number): T[] {
    const keys = [...this.#waiting.values()].filter((w) => w.frame.keyframe).map((w) => w.frame.ctr);
    this.#next = keys.length > 0 ? keys.reduce((a, b) => (a < b ? a : b)) : undefined;
    for (const [ctr, w] of this.#waiting) {
      const useless = this.#next !== undefined ? ctr < this.#next : now - w.since > this.patience || this.#waiting.size > this.limit;
      if (useless) this.#waiting.delete(ctr);
    }
    return this.#next === undefined ? [] : this.#run();
  }
}
