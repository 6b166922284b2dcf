// Measures how long ago something was, on a device that sleeps and whose clock may be set. A page has no clock that
// both counts sleep and cannot be set (performance.now() counts sleep only in some browsers on some systems), so it
// reads two. Go's package clock does the same.

/**
 * How far the two clocks may disagree about one age, in milliseconds: leap seconds and corrections by a time server are
 * no contradiction.
 */
const slack = 1_000;

/** A point in time, by both clocks. */
export interface Moment {
  /** performance.now(), which may stop while the device sleeps. */
  readonly now: number;
  /** Date.now(), which may be set. */
  readonly wall: number;
}

/** A picture on the screen, and the challenge that bounds its age for as long as it is shown. */
export interface Challenged {
  /** When the challenge that it answers was issued; undefined if it answers none. */
  readonly issued: Moment | undefined;
}

export class Clocks {
  constructor(
    private readonly now = (): number => performance.now(),
    private readonly wall = (): number => Date.now(),
  ) {}

  read(): Moment {
    return { now: this.now(), wall: this.wall() };
  }

  /**
   * Returns the milliseconds since a moment, by whichever clock counted more. Returns Infinity if the clocks contradict
   * each other, since one of them was set or stopped for an unknown time, and for an undefined moment.
   */
  age(m: Moment | undefined): number {
    if (m === undefined) return Infinity;
    const now = this.now() - m.now;
    const wall = this.wall() - m.wall;
    return now < 0 || Math.abs(now - wall) > slack ? Infinity : Math.max(now, wall);
  }
}

/** The clocks of this device. */
export const clocks = new Clocks();
