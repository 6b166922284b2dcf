/** A token bucket: allows `atOnce` things at once and `perSecond` a second, to bound work that costs much. */
export class TokenBucket {
  #left: number;
  #since: number;

  constructor(
    private readonly atOnce: number,
    private readonly perSecond: number,
    private readonly now = (): number => performance.now(),
  ) {
    this.#left = atOnce;
    this.#since = now();
  }

  /** Takes one token; reports whether there was one. */
  takeToken(): boolean {
    const now = this.now();
    this.#left = Math.min(this.atOnce, this.#left + ((now - this.#since) / 1000) * this.perSecond);
    this.#since = now;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}
