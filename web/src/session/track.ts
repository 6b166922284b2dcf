import { concat, u8, type Bytes } from '../bytes';
import { hash, kdf } from '../crypto/label';
import type { FrameSecret } from '../crypto/sframe';

// The tracks of a session and their SFrame keys (doc/protocol.md, section 7).

export const videoTrack = 0;
export const stillTrack = 2;

/** The session secret, and what it is bound to. */
export interface SessionSecret {
  /** 32 bytes. */
  key: Bytes;
  id: Bytes;
  /** The fingerprints of the two ends. */
  camera: Bytes;
  viewer: Bytes;
  cameraRandom: Bytes;
}

export async function cameraTrack(s: SessionSecret, track: number): Promise<FrameSecret> {
  return {
    kid: BigInt(2 * track),
    baseKey: await kdf(s.cameraRandom, s.key, 'sframe', concat(u8(1), u8(track)), 64),
    binding: await hash('frame binding', s.camera, s.viewer, s.id, u8(track)),
  };
}
