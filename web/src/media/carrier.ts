import type { Bytes } from '../bytes';
import { FrameError } from '../crypto/sframe';

/**
 * What a sealed frame looks like from outside (doc/protocol.md, section 8), so that the browser's depacketizer accepts
 * it.
 */
export type Carrier = 'h264' | 'vp8';

/** Returns the sealed frame inside a carrier frame, as a view of it. Throws FrameError on any other shape. */
export function unwrap(carrier: Carrier, frame: Bytes): Bytes {
  return carrier === 'h264' ? unwrapH264(frame) : unwrapVP8(frame);
}

// Annex B as the depacketizer writes it: before a keyframe the constant SPS and PPS, then one slice. The scan stops at
// the slice, because what follows its header is sealed and may contain start codes.
function unwrapH264(frame: Bytes): Bytes {
  for (let i = 0; i + 5 < frame.length; i++) {
    if (frame[i] !== 0 || frame[i + 1] !== 0 || frame[i + 2] !== 1) continue;
    const header = frame[i + 3];
    const shape = (header! << 16) | (frame[i + 4]! << 8) | frame[i + 5]!;
    if (shape === 0x658884 || shape === 0x419a84) return frame.subarray(i + 6);
    if (header !== 0x67 && header !== 0x68) break;
  }

  throw new FrameError('unwrap h264: no slice of the carrier');
}

const vp8Key = [0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x10, 0x00, 0x10, 0x00];
const vp8Delta = [0x11, 0x02, 0x00];

function unwrapVP8(frame: Bytes): Bytes {
  for (const header of [vp8Key, vp8Delta]) {
    if (header.every((b, i) => frame[i] === b)) return frame.subarray(header.length);
  }
  throw new FrameError('unwrap vp8: no frame header of the carrier');
}
