import { Clocks } from '../../src/clocks';

/** The two clocks of a device that a test puts to sleep, and sets. */
export class FakeClocks {
  now = 1_000;
  wall = 1_700_000_000_000;
  readonly clocks = new Clocks(
    () => this.now,
    () => this.wall,
  );

  /** Time passes. */
  runs(ms: number): void {
    this.now += ms;
    this.wall += ms;
  }
}
