/** How long a question must have been visible before an answer counts, in milliseconds. */
export const longEnough = 700;

/**
 * Decides whether a person can have read a question before answering it. A page that opens under a click, or comes to
 * the front between the two clicks of a double click, gets a click that was meant for something else.
 */
export class Attention {
  #since: number | undefined;

  /** A question appears, comes back to the front (inFront), or is no longer in front of the person. */
  restart(inFront: boolean, now: number): void {
    this.#since = inFront ? now : undefined;
  }

  enough(now: number): boolean {
    return this.#since !== undefined && now - this.#since >= longEnough;
  }
}
