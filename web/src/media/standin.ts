import { fromBase64url } from '../bytes';

// Behind the VP8-shaped carrier, the page itself decodes and draws. For every frame the browser's own decoder gets a
// stand-in that it can decode and nobody sees: a black picture of 16x16 pixels, then no change. It must get something:
// a browser frees its packet buffer as frames are decoded. If none ever is, a duplicated packet stays in the buffer,
// and 2,048 packets later the whole buffer is emptied, including frames that were waiting for a retransmission.

const key = fromBase64url('cAIAnQEqEAAQADkFAAEcJAwsLEQsJEAQAABgasD-_6tQgA');
const delta = fromBase64url('EQMA40vYBGevEE9Pro8v3j-AH8BhYL_QACAAAA');

/** The part of a transform's frame that is needed here. */
export interface Carried {
  data: ArrayBuffer;
}

/**
 * The stand-ins for the frames of one track. Each is held back until its frame is no longer waited for, because a
 * browser asks for no packet older than a keyframe that it has.
 */
export class StandIns<T extends Carried> {
  #held: { carried: T; ctr: bigint }[] = [];

  constructor(private readonly limit = 256) {}

  /** Turns an opened frame into its stand-in. */
  replace(carried: T, ctr: bigint, keyframe: boolean): void {
    carried.data = (keyframe ? key : delta).slice().buffer;
    this.#held.push({ carried, ctr });
  }

  /**
   * Returns the stand-ins that the browser may have once all frames up to a counter have been shown or given up. They
   * keep the order of arrival, the only one in which a browser takes them back; it sorts them itself.
   */
  until(ctr: bigint): T[] {
    const waiting = this.#held.findIndex((h) => h.ctr > ctr);
    const count = Math.max(waiting < 0 ? this.#held.length : waiting, this.#held.length - this.limit);
    return this.#held.splice(0, count).map((h) => h.carried);
  }
}
