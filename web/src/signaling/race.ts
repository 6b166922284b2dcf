import type { Bytes } from '../bytes';
import type { Carrier, Owner } from './carrier';
import { WebSocketCarrier } from './websocket';
import { offersWebTransport, WebTransportCarrier } from './webtransport';

/**
 * How long WebTransport may go on alone after the WebSocket has failed, in milliseconds. Where a network drops UDP,
 * Chromium gives up after 4 s and Firefox after 32 s, and the person, and the next attempt, would wait for that.
 */
const alone = 1_000;

/**
 * Tries to reach a relay by WebSocket and by WebTransport at once, and becomes the one over which the relay speaks
 * first. It is lost when both have failed, or when the one that won is lost.
 */
export class Race implements Carrier, Owner {
  readonly #socket: WebSocketCarrier;
  readonly #running = new Set<Carrier>();
  #winner: Carrier | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    relayURL: string,
    private readonly owner: Owner,
  ) {
    this.#socket = new WebSocketCarrier(relayURL, this);
    this.#running.add(this.#socket);

    try {
      if (offersWebTransport(relayURL)) this.#running.add(new WebTransportCarrier(relayURL, this));
    } catch {
      // the browser has an interface of that name, but not this one
    }
  }

  get name(): Carrier['name'] {
    return this.#winner?.name ?? 'websocket';
  }

  /** Reports whether the WebSocket has been accepted, and the relay has sent nothing so far. */
  get held(): boolean {
    return this.#winner === undefined && this.#socket.open;
  }

  get unsent(): number {
    return this.#winner?.unsent ?? 0;
  }

  send(frame: Bytes): void {
    this.#winner?.send(frame);
  }

  close(): void {
    clearTimeout(this.#timer);
    for (const carrier of this.#running) carrier.close();
    this.#running.clear();
  }

  frame(from: Carrier, frame: Bytes): void {
    if (this.#winner === undefined) this.#won(from);
    this.owner.frame(this, frame);
  }

  #won(winner: Carrier): void {
    this.#winner = winner;
    this.#running.delete(winner);
    this.close(); // the other one
    this.#running.add(winner);
  }

  lost(from: Carrier): void {
    this.#running.delete(from);
    if (this.#running.size === 0) this.#end();
    else if (from === this.#socket) this.#timer = setTimeout(() => this.#end(), alone);
  }

  #end(): void {
    this.close();
    this.owner.lost(this);
  }
}
