import type { Challenged, Moment } from '../clocks';

/** The pictures of a track that the browser plays. */
export interface Played extends Challenged {
  /** The picture with this RTP timestamp is on the screen; undefined if the browser does not say. */
  show(rtp: number | undefined): void;
}

/** Reports whether an RTP timestamp precedes another. They wrap around (RFC 3550, section 5.1). */
const isBefore = (a: number, b: number): boolean => ((a - b) | 0) < 0;

/**
 * Tracks what a browser has been given to play, up to the picture that it shows. Opened frames wait in its jitter
 * buffer and decoder for as long as it likes, so a picture on the screen is identified by its RTP timestamp.
 *
 * The browser reports a picture shortly after showing it, and possibly before the worker's message about it arrives.
 * Until then the previous picture decides, which is safe: challenges only get younger along the stream. Pictures from
 * the camera's cached group are the exception, since they answer no challenge: while one is on its way to the screen it
 * may be there already, so nothing is live.
 */
export class Playout implements Played {
  readonly #given = new Map<number, Moment | undefined>();
  #shown: number | undefined;
  #before: Moment | undefined;

  constructor(
    /** The browser reports no RTP timestamps, so nothing that it plays can be called live. */
    private readonly untold: () => void,
    private readonly limit = 1024,
  ) {}

  /** An opened frame goes to the browser. */
  give(rtp: number | undefined, issued: Moment | undefined): void {
    if (rtp === undefined) return this.untold();
    if (this.#shown !== undefined && isBefore(rtp, this.#shown)) return; // already shown, or skipped
    this.#given.set(rtp, issued);
    if (this.#given.size > this.limit) this.#given.delete(this.#given.keys().next().value!);
  }

  /** The picture with this timestamp is on the screen. */
  show(rtp: number | undefined): void {
    if (rtp === undefined) return this.untold();
    this.#before = this.#own;
    this.#shown = rtp;
    for (const earlier of this.#given.keys()) if (isBefore(earlier, rtp)) this.#given.delete(earlier);
  }

  get issued(): Moment | undefined {
    for (const issued of this.#given.values()) if (issued === undefined) return undefined;
    return this.#own;
  }

  get #own(): Moment | undefined {
    return this.#shown !== undefined && this.#given.has(this.#shown) ? this.#given.get(this.#shown) : this.#before;
  }
}
