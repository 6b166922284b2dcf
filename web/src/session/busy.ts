const wakeEvery = 20;

/**
 * Measures how much of the time this device has none for the page, by how late timers fire. A slow network delays no
 * timer. Nothing is measured while the page is hidden, because browsers then slow its timers.
 */
export class Busy {
  #due: number;
  #late = 0;
  #asked = performance.now();
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(private readonly hidden: () => boolean = () => document.hidden) {
    this.#due = this.#asked + wakeEvery;
    this.#timer = setInterval(() => this.#wake(), wakeEvery);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Returns the percentage since the last call. */
  percent(): number {
    this.#wake();
    const now = performance.now();
    const percent = Math.round((100 * this.#late) / Math.max(now - this.#asked, 1));
    this.#late = 0;
    this.#asked = now;
    return Math.min(percent, 100);
  }

  #wake(): void {
    const now = performance.now();
    if (!this.hidden()) this.#late += Math.max(now - this.#due, 0);
    this.#due = now + wakeEvery;
  }
}
