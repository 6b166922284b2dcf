import type { Carrier } from './carrier';
import type { Explain } from './explain';
import type { WorkerEvent } from './workermessages';

// What a session tells the page.

export const sentences = {
  rejected: 'The relay delivered something that is not from your camera; nothing was shown.',
  delayed: 'Delayed: this picture is not live.',
  noAnswer: 'Your camera did not answer. It may be off or without internet.',
  lost: 'The connection to the camera was lost.',
  ended: 'The camera ended the session.',
  stalled: 'Nothing arrives from the camera.',
  hides: 'The camera hides its address.',
} as const;

/** Why a session ended, in a person's words. */
export class SessionError extends Error {
  override name = 'SessionError';

  constructor(
    message: string,
    /** The camera said no for good: trying again is of no use. */
    readonly refused = false,
  ) {
    super(message);
  }
}

export interface SessionEvents {
  /** The h264 carrier: play this. */
  track(stream: MediaStream): void;
  /** The vp8 carrier: draw and close this. */
  picture(frame: VideoFrame): void;
  /** The picture that came behind the answer, before the stream: draw and close this, unless the stream has begun. */
  first(frame: VideoFrame, live: boolean, captured: number): void;
  /** One frame has opened (h264), or is about to be shown (vp8). */
  frame(live: boolean, carrier: Carrier): void;
  /** A frame of the stream has opened; the camera's clock, Unix milliseconds. */
  opened(captured: number): void;
  /** Whether the camera shows no address of its own. */
  hides(hides: boolean): void;
  /** For a while nothing has arrived from the camera; or it does again. */
  stalled(stalled: boolean): void;
  explained(e: Explain, addresses: NonNullable<Explain['addresses']>): void;
  /** What the camera says about itself; empty when all is well. */
  status(text: string): void;
  rejected(what: string): void;
  undecodable(reason: string): void;
}

/**
 * Tells what the worker said. Behind vp8 a frame may wait long for the one before it, so what counts is whether it is live when it is shown,
 * by its own challenge, and not what has opened meanwhile.
 */
export function tell(e: WorkerEvent, live: (challenge: string) => boolean, events: SessionEvents): void {
  switch (e.type) {
    case 'opened':
      events.opened(e.captured);
      if (e.carrier === 'h264') events.frame(live(e.challenge), e.carrier);
      break;
    case 'picture':
      events.frame(live(e.challenge), 'vp8');
      events.picture(e.frame);
      break;
    case 'rejected':
      events.rejected('frame');
      break;
    case 'undecodable':
      events.undecodable(e.reason);
      break;
  }
}
