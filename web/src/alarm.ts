// When a card's alarm is shown (promise 4): from the first thing that does not open until the right picture is back. Where a picture
// goes on meanwhile, it stays for a while, so that a person can read it.

/** How long an alarm stays at least, in milliseconds. */
export const alarmFor = 10_000;

export class Alarm {
  #last: number | undefined;

  /** Everything that did not open. */
  count = 0;

  get on(): boolean {
    return this.#last !== undefined;
  }

  /** Something did not open, now. */
  rejected(now: number): void {
    this.count++;
    this.#last = now;
  }

  /** The camera's picture is on the screen, now. */
  shown(now: number): void {
    if (this.#last !== undefined && now - this.#last >= alarmFor) this.#last = undefined;
  }
}
