/** A backlog begins at this many waiting frames, half a second or more, and ends below the lower mark. */
const backlogFrom = 15;
const backlogUntil = 3;

/** Notices when a decoder falls behind and when it has caught up. */
export class Backlog {
  #behind = false;

  constructor(private readonly changed: (behind: boolean) => void) {}

  update(waiting: number): void {
    const behind = waiting >= (this.#behind ? backlogUntil : backlogFrom);
    if (behind === this.#behind) return;
    this.#behind = behind;
    this.changed(behind);
  }
}
