import type { Bytes } from './bytes';
import { FrameError } from './sframe';

/** The outward shape of a sealed frame (doc/protocol.md, section 8): what the browser's depacketizer takes it for. */
export type Carrier = 'h264' | 'vp8';

/** The sealed frame inside a carrier frame, a view of it. Throws FrameError on any other shape. */
export function unwrap(carrier: Carrier, frame: Bytes): Bytes {
  return carrier === 'h264' ? unwrapH264(frame) : unwrapVP8(frame);
}

// Annex B as the depacketizer wrote it: before a keyframe the constant SPS and PPS, then one slice. The scan ends at the slice:
// what follows its header is sealed and may hold start codes.
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
