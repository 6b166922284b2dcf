import type { Bytes } from '../bytes';

/** The longest frame, in bytes (doc/protocol.md, section 5.2). */
export const maxFrame = 65_536;

/** A connection to a relay, or an attempt at one. It carries whole frames, in order. */
export interface Carrier {
  /** What carries the frames. */
  readonly name: 'websocket' | 'webtransport';
  /** How many bytes wait to be sent. */
  readonly unsent: number;
  /** Sends a frame, if the connection is open. */
  send(frame: Bytes): void;
  /** Ends the connection. Its owner hears nothing more of it. */
  close(): void;
}

/** The owner of a carrier. A carrier calls it only after its own constructor has returned. */
export interface Owner {
  frame(from: Carrier, frame: Bytes): void;
  /** Called once, when the connection is lost, could not be made, or carried something that is not a frame. */
  lost(from: Carrier): void;
}
