import type { Carrier } from './carrier';
import type { TrackKey } from './frame';

/** Sent to the worker once a session, when the answer has opened. */
export interface Start {
  type: 'start';
  track: TrackKey;
}

/**
 * Sent from the worker. A `picture` carries a VideoFrame for the page to draw and close; the h264 carrier sends none,
 * because its track plays. `rtp` is the RTP timestamp by which the page recognizes a picture of the track; undefined if
 * it is not needed or the browser does not report it.
 */
export type WorkerEvent =
  | { type: 'opened'; carrier: Carrier; rtp: number | undefined; captured: number; challenge: string }
  | { type: 'piece' } // of a large picture
  | { type: 'rejected'; reason: string }
  | { type: 'keyframe' }
  | { type: 'undecodable'; why: string }
  | { type: 'backlog'; behind: boolean }
  | { type: 'picture'; frame: VideoFrame; challenge: string };
