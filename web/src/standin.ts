import { fromBase64url } from './bytes';

// Behind the VP8-shaped carrier the page decodes and draws, and the browser's own decoder gets, in place of every frame, one that it can
// read and nobody sees: 16x16 pixels, black, and then no change. It must get something. A browser makes room in its packet buffer as frames are
// decoded; where none ever is, a packet that came twice stays in it, and 2,048 packets later the whole buffer is emptied, with all frames
// that were waiting for a retransmission.

const key = fromBase64url('cAIAnQEqEAAQADkFAAEcJAwsLEQsJEAQAABgasD-_6tQgA');
const delta = fromBase64url('EQMA40vYBGevEE9Pro8v3j-AH8BhYL_QACAAAA');

/** What is asked of a frame that a transform is given. */
export interface Carried {
  data: ArrayBuffer;
}

/** Stand-ins for the frames of one track, held back until the frames are not waited for: a browser asks for no packet before a keyframe that it has. */
export class StandIns<T extends Carried> {
  #held: { carried: T; ctr: bigint }[] = [];

  constructor(private readonly limit = 256) {}

  /** Makes a frame that has opened its stand-in. */
  take(carried: T, ctr: bigint, keyframe: boolean): void {
    carried.data = (keyframe ? key : delta).slice().buffer;
    this.#held.push({ carried, ctr });
  }

  /**
   * Those that the browser may have when all frames up to a counter have been shown, or given up. They stay in the order in which they came, in which alone
   * a browser takes them back; it sorts them by itself.
   */
  until(ctr: bigint): T[] {
    const waiting = this.#held.findIndex((h) => h.ctr > ctr);
    const count = Math.max(waiting < 0 ? this.#held.length : waiting, this.#held.length - this.limit);
    return this.#held.splice(0, count).map((h) => h.carried);
  }
}
