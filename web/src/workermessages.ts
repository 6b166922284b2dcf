import type { Carrier } from './carrier';
import type { TrackKey } from './frame';

/** To the worker: once, when the answer has opened, and once for each session. */
export interface Start {
  type: 'start';
  track: TrackKey;
}

/** From the worker. A `picture` carries a VideoFrame that the page draws and closes; the h264 carrier has none, its track plays. */
export type WorkerEvent =
  | { type: 'opened'; carrier: Carrier; keyframe: boolean; captured: number; challenge: string }
  | { type: 'rejected'; reason: string }
  | { type: 'keyframe' }
  | { type: 'undecodable'; reason: string }
  | { type: 'picture'; frame: VideoFrame; challenge: string };
