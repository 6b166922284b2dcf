import type { Bytes } from '../bytes';
import { maxFrame, type Carrier, type Owner } from './carrier';

/** Carries each frame as one binary message of a WebSocket (RFC 6455). */
export class WebSocketCarrier implements Carrier {
  readonly name = 'websocket';
  readonly #socket: WebSocket;
  #closed = false;

  constructor(
    relayURL: string,
    private readonly owner: Owner,
  ) {
    this.#socket = new WebSocket(`ws${relayURL.slice('http'.length)}/v1/signal`, 'peephole.signal.3');
    this.#socket.binaryType = 'arraybuffer';
    this.#socket.onmessage = (e: MessageEvent<unknown>) => this.#message(e.data);
    this.#socket.onclose = () => this.#lost();
  }

  /** Reports whether the relay, or a proxy in front of it, has accepted the connection. */
  get open(): boolean {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  get unsent(): number {
    return this.#socket.bufferedAmount;
  }

  send(frame: Bytes): void {
    if (this.open) this.#socket.send(frame);
  }

  close(): void {
    this.#closed = true;
    this.#socket.close();
  }

  #message(data: unknown): void {
    if (this.#closed) return;
    if (!(data instanceof ArrayBuffer) || data.byteLength > maxFrame) return this.#lost();
    this.owner.frame(this, new Uint8Array(data));
  }

  #lost(): void {
    if (this.#closed) return;
    this.close();
    this.owner.lost(this);
  }
}
