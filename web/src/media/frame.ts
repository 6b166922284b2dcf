import { Reader, toHex, type Bytes } from '../bytes';
import { unwrap, type Carrier } from './carrier';
import { FrameError, FrameKey, RepeatedFrame, ReplayWindow, type FrameSecret } from '../crypto/sframe';

// The plaintext of a video frame (doc/protocol.md, section 7):
//
//	+--------+----------+----------+--------------------+----------------+-------------+
//	| u8 = 2 | u8 flags | u8 codec | u64 captured (ms)  | challenge [8]  | access unit |
//	+--------+----------+----------+--------------------+----------------+-------------+

const version = 2;
const codecH264 = 1;
const headerSize = 19;
const flagKeyframe = 1;
const flagContinued = 2;
const flagContinues = 4;

export interface Frame {
  /** The sender's counter, of the last piece: in the order of capture and without gaps. */
  ctr: bigint;
  /** The counter of the first piece; equal to ctr unless the picture is large. */
  first: bigint;
  /** This is a piece of a large picture, and not the first. */
  continued: boolean;
  /** This is a piece of a large picture, and not the last. */
  continues: boolean;
  keyframe: boolean;
  /** The camera's clock in Unix milliseconds, only for display. */
  captured: number;
  /** The last challenge that the camera had received, in hex. */
  challenge: string;
  /** H.264, Annex B; in a piece, that part of it. */
  accessUnit: Bytes;
}

/** Throws FrameError on an unknown version, codec or flag. */
export function parseFrame(ctr: bigint, plaintext: Bytes): Frame {
  try {
    const r = new Reader(plaintext);
    const [v, flags, codec] = [r.u8(), r.u8(), r.u8()];
    const unknown = flags & ~(flagKeyframe | flagContinued | flagContinues);
    if (v !== version || unknown !== 0 || codec !== codecH264) {
      throw new FrameError('parse frame: unknown version, flag or codec');
    }
    if (plaintext.length <= headerSize) throw new FrameError('parse frame: no data');

    return {
      ctr,
      first: ctr,
      continued: (flags & flagContinued) !== 0,
      continues: (flags & flagContinues) !== 0,
      keyframe: (flags & flagKeyframe) !== 0,
      captured: Number(r.u64()),
      challenge: toHex(r.bytes(8)),
      accessUnit: r.rest(),
    };
  } catch (e) {
    throw e instanceof FrameError ? e : new FrameError('parse frame: too short');
  }
}

/** What a receiver needs to open one track. */
export interface TrackKey extends FrameSecret {
  carrier: Carrier;
}

/**
 * Reports whether to warn the person of a frame that did not open. The one exception is a repeated frame behind vp8: a
 * browser makes it again from duplicated packets (doc/protocol.md, section 8.1).
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

  /** Throws FrameError unless it is a new frame of this track. */
  async open(carried: Bytes): Promise<Frame> {
    const { ctr, plaintext } = await this.key.open(unwrap(this.track.carrier, carried), this.track.binding);
    if (!this.#window.fresh(ctr)) throw new RepeatedFrame('open frame: repeated counter');
    this.#window.record(ctr);
    return parseFrame(ctr, plaintext);
  }
}
