import type { Bytes } from '../bytes';

/** The longest frame, in bytes (doc/protocol.md, section 5.2). */
export const maxFrame = 65_536;

/** A connection to a relay, or an attempt at one. It carries whole frames, in order. */
export interface Carrier {
  /** By what it is carried. */
  readonly name: 'websocket' | 'webtransport';
  /** How many bytes wait to be sent. */
  readonly unsent: number;
  /** Sends a frame, if the connection is open. */
  send(frame: Bytes): void;
  /** Ends the connection. Its owner hears nothing more of it. */
  close(): void;
}

/** The owner of a carrier. It is never called before it has got the carrier. */
export interface Owner {
  frame(from: Carrier, frame: Bytes): void;
  /** Called once, when the connection is lost, or could not be made, or carried what is no frame. */
  lost(from: Carrier): void;
}
