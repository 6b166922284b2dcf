import { concat, u8, type Bytes } from './bytes';
import { hash, kdf } from './label';

// The tracks of a session and their SFrame keys (doc/protocol.md, section 7).

export const videoTrack = 0;
export const stillTrack = 2;

/** The session secret, and what it is bound to. */
export interface SessionSecret {
  /** 32 bytes. */
  key: Bytes;
  id: Bytes;
  /** Fingerprints of the two ends. */
  camera: Bytes;
  viewer: Bytes;
  cameraRandom: Bytes;
}

/** How the frames of one of the camera's tracks are opened. */
export interface FrameSecret {
  kid: bigint;
  /** 64 bytes. */
  baseKey: Bytes;
  /** The SFrame metadata that binds frames to camera, viewer, session and track. */
  binding: Bytes;
}

export async function cameraTrack(s: SessionSecret, track: number): Promise<FrameSecret> {
  return {
    kid: BigInt(2 * track),
    baseKey: await kdf(s.cameraRandom, s.key, 'sframe', concat(u8(1), u8(track)), 64),
    binding: await hash('frame binding', s.camera, s.viewer, s.id, u8(track)),
  };
}
