// Decides how long a card's alarm is shown (promise 4): from the first thing that does not open until the right picture
// is back, and at least long enough for a person to read it.

/** The shortest time that an alarm stays, in milliseconds. */
export const alarmFor = 10_000;

export class Alarm {
  #last: number | undefined;

  /** How many things did not open. */
  count = 0;

  get on(): boolean {
    return this.#last !== undefined;
  }

  /** Something did not open. */
  rejected(now: number): void {
    this.count++;
    this.#last = now;
  }

  /** The camera's picture is on the screen. */
  shown(now: number): void {
    if (this.#last !== undefined && now - this.#last >= alarmFor) this.#last = undefined;
  }
}
