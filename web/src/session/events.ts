import type { Challenged, Moment } from '../clocks';
import type { Explain } from './explain';
import type { RelayList } from '../signaling/relaylist';
import type { Played, Playout } from '../media/playout';
import type { WorkerEvent } from '../media/workermessages';

// What a session tells its owner.

export const sentences = {
  rejected: 'The relay delivered something that is not from your camera; nothing was shown.',
  delayed: 'Delayed: this picture is not live.',
  noAnswer: 'Your camera did not answer. It may be off or without internet.',
  silent: 'The relay does not answer.',
  lost: 'The connection to the camera was lost.',
  ended: 'The camera ended the session.',
  stalled: 'Nothing arrives from the camera.',
  hides: 'The camera hides its address.',
  untold: 'This browser does not say which picture it shows.',
  waitsRelay: 'Connecting to the relay…',
  waitsAnswer: 'Waiting for your camera’s answer, 10 seconds at most…',
  waitsWay: 'Your camera has answered. Looking for a path to it, 20 seconds at most…',
  waitsPicture: 'Connected. Waiting for the first picture…',
  behind: 'This device is too busy to keep up. Close other programs or tabs.',
} as const;

/** Why a session ended, in words for a person. */
export class SessionError extends Error {
  override name = 'SessionError';

  constructor(
    message: string,
    /** The camera refused for good, so trying again is pointless. */
    readonly refused = false,
  ) {
    super(message);
  }
}

export interface SessionEvents {
  /**
   * The h264 carrier: play this, and call played.show for each picture that appears on the screen, with its RTP
   * timestamp.
   */
  track(stream: MediaStream, played: Played): void;
  /** The vp8 carrier: draw and close this frame. */
  picture(frame: VideoFrame, of: Challenged): void;
  /** The picture that follows the answer, ahead of the stream: draw and close it, unless the stream has begun. */
  first(frame: VideoFrame, of: Challenged, captured: number): void;
  /** A frame of the stream has opened; captured is the camera's clock in Unix milliseconds. */
  opened(captured: number): void;
  /** The camera's clock and this device's disagree: the camera will accept an offer that repeats this nonce. */
  clockDisagrees(nonce: string): void;
  /** Where the camera is to be found from now on. */
  relays(list: RelayList): void;
  /** The relay of the session's ICE servers is lost. It may be another than those at which the camera is. */
  relayLost(another: boolean): void;
  /** Whether the camera reveals no address of its own. */
  hides(hides: boolean): void;
  /** Nothing has arrived from the camera for a while (true), or something arrives again (false). */
  stalled(stalled: boolean): void;
  explained(e: Explain, addresses: NonNullable<Explain['addresses']>): void;
  /** What the camera says about itself; empty when all is well. */
  status(text: string): void;
  rejected(what: string): void;
  /** This browser cannot decode the picture; why, in words for a person. */
  undecodable(why: string): void;
  /** What the session waits for from now on, and how long that can take. */
  waits(forWhat: string): void;
  /** Whether this device decodes more slowly than frames arrive. */
  behind(behind: boolean): void;
}

/**
 * Passes on what the worker said. A frame may wait long between being opened and being shown, so what counts is the
 * challenge of the picture on the screen, not of what has opened since.
 */
export function forwardWorkerEvent(
  e: WorkerEvent,
  when: (challenge: string) => Moment | undefined,
  playout: Playout,
  events: SessionEvents,
): void {
  switch (e.type) {
    case 'opened':
      events.opened(e.captured);
      if (e.carrier === 'h264') playout.give(e.rtp, when(e.challenge));
      break;
    case 'picture':
      events.picture(e.frame, { issued: when(e.challenge) });
      break;
    case 'rejected':
      events.rejected('frame');
      break;
    case 'undecodable':
      events.undecodable(e.why);
      break;
    case 'backlog':
      events.behind(e.behind);
      break;
  }
}
