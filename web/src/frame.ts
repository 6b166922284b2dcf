import { Reader, toHex, type Bytes } from './bytes';
import { unwrap, type Carrier } from './carrier';
import { FrameError, FrameKey, RepeatedFrame, ReplayWindow } from './sframe';
import type { FrameSecret } from './track';

// The plaintext of a video frame (doc/protocol.md, section 7):
//
//	+--------+----------+----------+--------------------+----------------+-------------+
//	| u8 = 1 | u8 flags | u8 codec | u64 captured (ms)  | challenge [8]  | access unit |
//	+--------+----------+----------+--------------------+----------------+-------------+

const codecH264 = 1;
const flagKeyframe = 1;

export interface Frame {
  /** The sender's counter: in the order of capture, without gaps. */
  ctr: bigint;
  keyframe: boolean;
  /** The camera's clock, Unix milliseconds: for display only. */
  captured: number;
  /** The challenge that the camera had last received, in hex. */
  challenge: string;
  /** H.264, Annex B. */
  accessUnit: Bytes;
}

/** Throws FrameError on another version, codec or flag. */
export function parseFrame(ctr: bigint, plaintext: Bytes): Frame {
  try {
    const r = new Reader(plaintext);
    const [version, flags, codec] = [r.u8(), r.u8(), r.u8()];
    if (version !== 1 || flags > flagKeyframe || codec !== codecH264) throw new FrameError('parse frame: unknown version, flag or codec');
    return { ctr, keyframe: flags === flagKeyframe, captured: Number(r.u64()), challenge: toHex(r.bytes(8)), accessUnit: r.rest() };
  } catch (e) {
    throw e instanceof FrameError ? e : new FrameError('parse frame: too short');
  }
}

/** What a receiver needs to open one track. */
export interface TrackKey extends FrameSecret {
  carrier: Carrier;
}

/**
 * Whether the person is told of a frame that did not open: of all, but behind vp8 of one that has opened before. A browser makes such a one again of packets
 * that came twice (doc/protocol.md, section 8.1).
 */
export function isTold(carrier: Carrier, e: unknown): boolean {
  return carrier !== 'vp8' || !(e instanceof RepeatedFrame);
}

/** Opens the frames of one track, each once. */
export class FrameOpener {
  readonly #window = new ReplayWindow();

  private constructor(
    private readonly track: TrackKey,
    private readonly key: FrameKey,
  ) {}

  static async create(track: TrackKey): Promise<FrameOpener> {
    return new FrameOpener(track, await FrameKey.derive(5, track.kid, track.baseKey, 'decrypt'));
  }

  /** Throws FrameError on everything that is not a new frame of this track. */
  async open(carried: Bytes): Promise<Frame> {
    const { ctr, plaintext } = await this.key.open(unwrap(this.track.carrier, carried), this.track.binding);
    if (!this.#window.fresh(ctr)) throw new RepeatedFrame('open frame: repeated counter');
    this.#window.record(ctr);
    return parseFrame(ctr, plaintext);
  }
}
