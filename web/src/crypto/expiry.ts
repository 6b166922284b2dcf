// The time by which this device decides what has expired (doc/protocol.md, section 4.1): its own clock, but never
// earlier than a floor that it keeps. Go's crypto/expiry does the same; loading the page stands for starting the
// machine.

const day = 86_400_000;
/** How far the floor stays behind the reading that raised it. */
const behind = day;
/** How far this device's clock may be ahead of the time that the page has counted and still be believed on its own. */
const leap = day;
const keepEvery = day;
/** How far apart two clocks may be and still agree. */
const agreement = 3 * 60_000;
/** No device of this protocol existed before: a clock that shows an earlier time was never set. */
const made = Date.UTC(2026, 0, 1);

/** What this device's clock showed when it was last believed, in Unix milliseconds; zeros mean never. */
export interface Reading {
  at: number;
  /** The earliest that it can have been then: the time that pages have counted since the clock was last confirmed. */
  least: number;
}

export interface Keeper {
  clock(): Promise<Reading>;
  /** Keeps the later of r and what another tab has kept, and returns it. */
  keepClock(r: Reading): Promise<Reading>;
}

export class Clock {
  #began: number; // the earliest time at which this page can have been loaded

  private constructor(
    private readonly keeper: Keeper,
    private readonly failed: (e: unknown) => void,
    private readonly wall: () => number,
    private readonly counted: () => number,
    private kept: Reading,
  ) {
    this.#began = kept.least; // unknown: how long no page was open before this one
  }

  /** `failed` is called when the floor cannot be stored. The floor holds all the same until the page is left. */
  static async open(
    keeper: Keeper,
    failed: (e: unknown) => void,
    wall = Date.now,
    counted = (): number => performance.now(),
  ): Promise<Clock> {
    const clock = new Clock(keeper, failed, wall, counted, await keeper.clock());
    await clock.keep();
    return clock;
  }

  get #floor(): number {
    return Math.max(this.kept.at - behind, made);
  }

  /** This device's time or the floor, whichever is later, in Unix milliseconds. */
  readonly now = (): number => Math.max(this.wall(), this.#floor);

  /** Raises the floor if it is due and the clock can be believed on its own. */
  async keep(): Promise<void> {
    const now = this.wall();
    const least = this.#began + this.counted();
    if (now <= least + leap) await this.#raise({ at: now, least });
  }

  /**
   * Takes the time that the other end of a pair has just stated in a sealed message: if both agree, this device's clock
   * is believed.
   */
  async confirm(said: number): Promise<void> {
    const now = this.wall();
    if (Math.abs(now - said) > agreement || now < this.#floor) return;
    this.#began = now - this.counted();
    await this.#raise({ at: now, least: now });
  }

  async #raise(r: Reading): Promise<void> {
    if (r.at < this.kept.at + keepEvery || r.at < made) return;
    this.kept = r;
    try {
      this.kept = await this.keeper.keepClock(r);
    } catch (e) {
      this.failed(e);
    }
  }
}
