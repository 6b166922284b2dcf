import type { Bytes } from '../bytes';
import type { Carrier } from '../media/carrier';
import type { Clock } from '../crypto/expiry';

/** What one session should do besides showing the camera's picture. */
export interface SessionOptions {
  /** 16 bytes, the same for all sessions in which one person goes on watching. */
  watch: Bytes;
  /** The person asked to reveal no address to the camera and its network but the relay's. */
  relayOnly: boolean;
  /** The camera is known to reveal no address of its own, and so to want none of this device's. */
  cameraHides: boolean;
  /** The relay at which the pair was made. */
  relayURL: string;
  /** The version of the camera's relay list that this device holds. */
  listVersion: string;
  /** Dates envelopes and decides which have expired. */
  clock: Pick<Clock, 'now' | 'confirm'>;
  /** From the camera's refusal of the previous offer. */
  nonce?: string | undefined;
  /** Best first. */
  carriers?: Carrier[];
}
