import { concat } from '../bytes';
import type { Frame } from './frame';

/** The largest picture, in bytes. */
export const maxPicture = 8 << 20;
/** How many pieces may wait: those of two pictures of the largest size, 500,000 bytes a piece. */
const maxPieces = 34;

/**
 * Puts large pictures together from their pieces. A browser hands over each frame as soon as it is complete, so later
 * pieces overtake one that waits for a retransmission.
 */
export class Joiner<T extends Frame> {
  readonly #pieces = new Map<bigint, T>();

  /** Takes an opened frame. Returns the picture that it completes, as its last piece with the whole access unit. */
  push(piece: T): T | undefined {
    if (!piece.continued && !piece.continues) return piece;

    this.#pieces.set(piece.ctr, piece);

    const pieces = this.#run(piece);
    const last = pieces?.at(-1);
    if (pieces === undefined || last === undefined) {
      this.#bound();
      return undefined;
    }

    for (const p of pieces) this.#pieces.delete(p.ctr);
    if (pieces.some((p) => p.keyframe !== last.keyframe)) return undefined;
    if (pieces.reduce((n, p) => n + p.accessUnit.length, 0) > maxPicture) return undefined;

    // The picture is as old as its first piece says.
    const { ctr: first, captured, challenge } = pieces[0]!;
    const accessUnit = concat(...pieces.map((p) => p.accessUnit));
    return Object.assign(last, {
      first,
      captured,
      challenge,
      accessUnit,
      continued: false,
    });
  }

  /** Returns all pieces of a piece's picture in order; undefined while some are missing. */
  #run(piece: T): T[] | undefined {
    let first: T | undefined = piece;
    while (first?.continued) first = this.#pieces.get(first.ctr - 1n);
    const run: T[] = [];

    for (let p = first; p !== undefined; p = this.#pieces.get(p.ctr + 1n)) {
      if (p.continued !== run.length > 0) return undefined;
      run.push(p);
      if (!p.continues) return run;
    }

    return undefined;
  }

  /** Drops the oldest piece if too many wait. */
  #bound(): void {
    if (this.#pieces.size <= maxPieces) return;
    const oldest = [...this.#pieces.keys()].reduce((a, b) => (a < b ? a : b));
    this.#pieces.delete(oldest);
  }
}
