import type { Carrier } from './carrier';
import type { TrackKey } from './frame';

/** Leads to the worker, for one session. */
export type Port = Omit<MessagePort, 'postMessage'> & { postMessage(m: Order): void };

/** Sent to the worker: start once the answer has opened, and end with the session. */
export type Order = { type: 'start'; track: TrackKey } | { type: 'end' };

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
