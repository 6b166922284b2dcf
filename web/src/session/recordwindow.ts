/** How many counters the window covers, the newest included. */
export const recordWindowSize = 64;

/**
 * Remembers which of the newest counters were accepted, so that each is accepted once and in any order (RFC 4303,
 * section 3.4.3).
 */
export class RecordWindow {
  #newest = 0n;
  #seen = 0n; // bit n is set if #newest - n was accepted

  /**
   * Notes a counter, and tells whether it is new, was accepted before, or is too old to tell. The record that carries
   * it must have opened, so that a forged one cannot displace a genuine one.
   */
  accept(counter: bigint): 'new' | 'copy' | 'late' {
    if (counter > this.#newest) {
      const step = counter - this.#newest;
      this.#seen = step < recordWindowSize ? BigInt.asUintN(recordWindowSize, this.#seen << step) : 0n;
      this.#newest = counter;
    }

    const behind = this.#newest - counter;
    if (behind >= recordWindowSize) return 'late';
    if ((this.#seen >> behind) & 1n) return 'copy';
    this.#seen |= 1n << behind;
    return 'new';
  }
}
