import { concat, u32, type Bytes } from '../bytes';
import type { Carrier, Owner } from './carrier';
import { Splitter } from './splitter';

/** Reports whether this browser can try to reach a relay over HTTP/3. */
export const offersWebTransport = (relayURL: string): boolean =>
  relayURL.startsWith('https:') && globalThis.WebTransport !== undefined;

/**
 * Carries frames on one stream of a WebTransport session (HTTP/3), each preceded by its length. The relay opens the
 * stream, so that the challenge arrives together with the answer to the request.
 */
export class WebTransportCarrier implements Carrier {
  readonly name = 'webtransport';
  readonly #session: WebTransport;
  #writer: WritableStreamDefaultWriter<Bytes> | undefined;
  #unsent = 0;
  #closed = false;

  constructor(
    relayURL: string,
    private readonly owner: Owner,
  ) {
    this.#session = new WebTransport(`${relayURL}/v1/signal/3`, { congestionControl: 'low-latency' });
    this.#session.ready.catch(() => undefined); // closed is rejected, too
    void this.#session.closed.then(this.#lost, this.#lost);
    void this.#receive().then(this.#lost, this.#lost);
  }

  get unsent(): number {
    return this.#unsent;
  }

  send(frame: Bytes): void {
    if (this.#writer === undefined) return;

    const message = concat(u32(frame.length), frame);
    this.#unsent += message.length;
    void this.#writer.write(message).then(() => void (this.#unsent -= message.length), this.#lost);
  }

  close(): void {
    this.#closed = true;
    this.#session.close();
  }

  /** Returns when the stream ends, and throws when it fails or carries what is no frame. */
  async #receive(): Promise<void> {
    const { readable, writable } = await this.#stream();
    this.#writer = writable.getWriter();
    const reader = readable.getReader();
    const splitter = new Splitter();

    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;

      for (const frame of splitter.split(value)) {
        if (this.#closed) return; // the frame before was the last
        this.owner.frame(this, frame);
      }
    }
  }

  /** Waits for the relay's stream. Any other stream that it opens is ignored. */
  async #stream(): Promise<{ readable: ReadableStream<Uint8Array>; writable: WritableStream<Bytes> }> {
    const streams: ReadableStream<WebTransportBidirectionalStream> = this.#session.incomingBidirectionalStreams;
    const reader = streams.getReader();
    const { value, done } = await reader.read();
    if (done) throw new Error('session ended');
    return value;
  }

  readonly #lost = (): void => {
    if (this.#closed) return;
    this.close();
    this.owner.lost(this);
  };
}
