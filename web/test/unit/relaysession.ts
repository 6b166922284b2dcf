import { concat, random, u32, u64, u8, type Bytes } from '../../src/bytes';
import { Splitter } from '../../src/signaling/splitter';

/** A relay in place of the browser's WebTransport. A session is on its way until the test accepts it or breaks it. */
export class RelaySession {
  static readonly all: RelaySession[] = [];
  readonly nonce = random(32);
  readonly ready: Promise<void>;
  readonly closed: Promise<object>;
  readonly incomingBidirectionalStreams: ReadableStream<object>;
  /** What the page has written so far. */
  readonly written: Bytes[] = [];
  /** Whether the page has closed the session. */
  gone = false;
  /** Whether the network takes nothing that the page writes. */
  stalled = false;
  #streams!: ReadableStreamDefaultController<object>;
  #toPage!: ReadableStreamDefaultController<Uint8Array>;
  #fromPage!: WritableStreamDefaultController;
  #isReady!: () => void;
  #isClosed!: () => void;
  readonly #reject: ((e: Error) => void)[] = [];
  readonly #splitter = new Splitter();
  readonly #frames: Bytes[] = [];
  #taker: ((f: Bytes) => void) | undefined;

  constructor(
    readonly url: string,
    readonly options: object,
  ) {
    RelaySession.all.push(this);
    this.incomingBidirectionalStreams = new ReadableStream({ start: (c) => void (this.#streams = c) });

    this.ready = new Promise((resolve, reject) => {
      this.#isReady = resolve;
      this.#reject.push(reject);
    });

    this.closed = new Promise((resolve, reject) => {
      this.#isClosed = () => resolve({});
      this.#reject.push(reject);
    });
  }

  /** Accepts the session, and opens its stream. */
  accept(): this {
    this.#isReady();
    const readable = new ReadableStream<Uint8Array>({ start: (c) => void (this.#toPage = c) });
    const writable = new WritableStream<Bytes>({
      start: (c) => void (this.#fromPage = c),
      write: (b) => this.#write(b),
    });
    this.#streams.enqueue({ readable, writable });
    return this;
  }

  #write(b: Bytes): Promise<void> | undefined {
    this.written.push(b);
    for (const frame of this.#splitter.split(b)) {
      if (this.#taker) this.#taker(frame);
      else this.#frames.push(frame);
      this.#taker = undefined;
    }

    return this.stalled ? new Promise(() => undefined) : undefined;
  }

  /** Sends bytes as they are. */
  write = (...parts: Uint8Array[]): void => this.#toPage.enqueue(concat(...parts));

  /** Sends one frame. */
  say = (...parts: Uint8Array[]): void => this.write(u32(concat(...parts).length), ...parts);

  challenge = (): void => this.say(...this.greeting());

  greeting = (): Bytes[] => [u8(0x01), this.nonce, u64(1_795_000_000_000)];

  take = (): Promise<Bytes> =>
    new Promise((resolve) => (this.#frames.length > 0 ? resolve(this.#frames.shift()!) : (this.#taker = resolve)));

  /** The page closes the session: whatever is under way fails. */
  close(): void {
    if (this.gone) return;
    this.gone = true;
    this.#fail(new Error('closed by the page'));
  }

  /** The session fails, like one whose network is gone. */
  break(): void {
    this.#fail(new Error('lost'));
  }

  /** The relay closes the session. */
  end = (): void => this.#isClosed();

  /** The relay ends its side of the stream alone. */
  endStream = (): void => this.#toPage.close();

  /** The relay no longer takes what the page writes. */
  stopReading = (): void => this.#fromPage.error(new Error('stop sending'));

  #fail(e: Error): void {
    for (const reject of this.#reject) reject(e);

    for (const end of [this.#streams, this.#toPage, this.#fromPage]) {
      try {
        end?.error(e);
      } catch {
        // it has ended already
      }
    }
  }
}
globalThis.WebTransport = RelaySession as unknown as typeof WebTransport;
