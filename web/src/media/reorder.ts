/** What Reorder needs to know about a frame. */
export interface Ordered {
  ctr: bigint;
  /** The counter of its first piece; equal to ctr unless it came in several. */
  first: bigint;
  keyframe: boolean;
}

/**
 * Restores the order of frames by their counters, for a decoder that cannot. A browser hands each frame to a transform
 * as soon as it is complete, so later ones overtake one that waits for a retransmission. Times are the caller's, in
 * milliseconds.
 *
 * A frame that is missing for longer than `patience` is given up, and nothing is released before the next keyframe.
 * That freezes the picture, so patience allows for a packet that was lost two or three times over a long line. A
 * keyframe has the most packets to lose, and is waited for just as long.
 */
export class Reorder<T extends Ordered> {
  readonly #waiting = new Map<bigint, { frame: T; since: number }>();
  #next: bigint | undefined;
  #last = -1n; // the highest counter released: nothing goes back behind it, not even a delayed keyframe

  constructor(
    private readonly patience = 1000,
    private readonly limit = 64,
  ) {}

  /** Takes a frame; returns those that can now be decoded, in order. */
  push(frame: T, now: number): T[] {
    if (frame.first <= this.#last || (this.#next !== undefined && frame.first < this.#next)) return [];
    this.#waiting.set(frame.first, { frame, since: now });
    if (this.#next === undefined) return this.#skip(now);
    const out = this.#run();
    if (this.#stuck(now)) out.push(...this.#skip(now));
    return out;
  }

  /** Reports whether to ask for a keyframe: frames arrive and none of them can be decoded. */
  get starved(): boolean {
    return this.#next === undefined;
  }

  /** The highest counter released. Frames up to it are no longer waited for. */
  get passed(): bigint {
    return this.#last;
  }

  /** Releases nothing before the next keyframe, because the decoder lost its state. */
  reset(): void {
    this.#next = undefined;
    this.#waiting.clear();
  }

  #run(): T[] {
    const out: T[] = [];
    for (let w = this.#waiting.get(this.#next!); w; w = this.#waiting.get(this.#next!)) {
      this.#waiting.delete(this.#next!);
      this.#last = w.frame.ctr;
      this.#next = this.#last + 1n;
      out.push(w.frame);
    }

    return out;
  }

  #stuck(now: number): boolean {
    const oldest = this.#waiting.values().next().value;
    return oldest !== undefined && (now - oldest.since > this.patience || this.#waiting.size > this.limit);
  }

  /** Continues at the lowest waiting keyframe, if there is one. */
  #skip(now: number): T[] {
    const keys = [...this.#waiting.values()].filter((w) => w.frame.keyframe).map((w) => w.frame.first);
    this.#next = keys.length > 0 ? keys.reduce((a, b) => (a < b ? a : b)) : undefined;

    for (const [first, w] of this.#waiting) {
      const useless =
        this.#next !== undefined
          ? first < this.#next
          : now - w.since > this.patience || this.#waiting.size > this.limit;
      if (useless) this.#waiting.delete(first);
    }

    return this.#next === undefined ? [] : this.#run();
  }
}
