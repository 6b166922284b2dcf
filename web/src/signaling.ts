import { concat, Reader, text, toHex, u32, u64, u8, utf8, var16, type Bytes } from './bytes';
import { sign } from './label';
import type { Mailbox } from './mailbox';

// The client of a relay's signaling (doc/protocol.md, section 5). It comes back by itself, and trusts nothing that arrives.

const Type = {
  challenge: 0x01, open: 0x10, post: 0x11, ack: 0x12, grant: 0x13, close: 0x14, reject: 0x15,
  ok: 0x20, error: 0x21, deliver: 0x22, granted: 0x23,
} as const;

const read = 1;
const write = 2;
const firstBackOff = 250;
const maxBackOff = 30_000;
const steady = 5_000; // a connection that held for so long lets the back-off begin anew
const answerWithin = 10_000;
// While somebody waits, in milliseconds. Browsers open one WebSocket to a server at a time, and put off those who fail often: so an attempt that
// hangs is given up for another, each with twice the patience, and none is made beside it.
const hurryFor = 60_000;
const hurryAnswer = 600;
const hurryMost = 2_400;
const hurryBackOff = 2_000;
const maxFrame = 65_536;
const pairingTicket = utf8('pairing');

/** A relay's refusal. */
export class RelayError extends Error {
  override name = 'RelayError';

  constructor(
    readonly code: number,
    message: string,
  ) {
    super(message);
  }
}

export interface TURNCredentials {
  username: string;
  credential: string;
}

/** Both ends' access to the relay's TURN server, for one session. */
export interface Grant {
  urls: string[];
  ttl: number;
  viewer: TURNCredentials;
  camera: TURNCredentials;
}

interface Request {
  resolve(json: Bytes): void;
  reject(e: Error): void;
}

/**
 * Called in order; true lets the relay delete the message. reject tells the relay that it is none of this mailbox's: it does not open under any key
 * that belongs here. Only its first call counts; once the connection is lost that brought the message, there is nobody to tell.
 */
export type Handle = (body: Bytes, reject: () => void) => Promise<boolean>;

interface Receiver {
  box: Mailbox;
  handle: Handle;
}

/** One WebSocket connection. */
interface Link {
  socket: WebSocket;
  nonce: Bytes;
  since: number;
  /** The mailboxes open for writing, by name; resolved when the request is on its way. */
  opened: Map<string, Promise<void>>;
}

export class Signaling {
  readonly #receivers = new Map<string, Receiver>();
  readonly #requests = new Map<number, Request>();
  #waiting: (() => void)[] = [];
  #link: Link | undefined;
  #socket: WebSocket | undefined;
  #lastID = 0;
  #backOff = firstBackOff;
  #clock = 0;
  #closed = false;
  #deliveries = Promise.resolve();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #hurriedUntil = -Infinity;
  #patience = hurryAnswer;
  #heard = 0; // frames

  /** onState hears true when the relay is reached, and false when it is lost or cannot be. */
  constructor(
    readonly relayURL: string,
    private readonly onState: (connected: boolean) => void = () => undefined,
  ) {
    this.#dial();
    globalThis.addEventListener?.('online', this.hurry);
  }

  close(): void {
    this.#closed = true;
    globalThis.removeEventListener?.('online', this.hurry);
    clearTimeout(this.#timer);
    this.#socket?.close();
    this.#link = undefined;
    this.#fail(new Error('signaling is closed'));
  }

  /** The relay's clock in Unix seconds: it may choose a mailbox's day, and nothing else. */
  get serverTime(): number {
    return (Date.now() + this.#clock) / 1000;
  }

  /** Resolves once the relay is reached. */
  async connected(): Promise<void> {
    while (this.#link === undefined) {
      if (this.#closed) throw new Error('signaling is closed');
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Opens box for reading now and after every reconnect, until stop is called. */
  receive(box: Mailbox, handle: Handle): () => void {
    const name = toHex(box.name);
    const receiver = { box, handle };
    this.#receivers.set(name, receiver);
    if (this.#link) void this.#open(this.#link, box, read);
    return () => {
      if (this.#receivers.get(name) !== receiver) return;
      this.#receivers.delete(name);
      this.release(box);
    };
  }

  /** Gives up a mailbox that nothing more is sent to. */
  release(box: Mailbox): void {
    const link = this.#link;
    if (link === undefined || this.#receivers.has(toHex(box.name))) return;
    link.opened.delete(toHex(box.name));
    this.#put(link, u8(Type.close), box.name);
  }

  /** Posts body to box, to be kept for ttl seconds; tried again over reconnects. Throws RelayError when refused. */
  async send(box: Mailbox, body: Bytes, ttl: number): Promise<void> {
    await this.#request(box, (id) => concat(u8(Type.post), u32(id), box.name, u32(ttl), body));
  }

  /** Asks for both ends' ICE servers, on a mailbox to the camera. */
  async grant(box: Mailbox): Promise<Grant> {
    const json = await this.#request(box, (id) => concat(u8(Type.grant), u32(id), box.name));
    return parseGrant(text(json));
  }

  async #request(box: Mailbox, frame: (id: number) => Bytes): Promise<Bytes> {
    for (;;) {
      await this.connected();
      const link = this.#link;
      if (link === undefined) continue;
      try {
        return await this.#ask(link, box, frame);
      } catch (e) {
        if (e instanceof RelayError || this.#closed) throw e;
      }
    }
  }

  /** One request on one connection. A relay that does not answer is a connection that is lost. */
  async #ask(link: Link, box: Mailbox, frame: (id: number) => Bytes): Promise<Bytes> {
    const name = toHex(box.name);
    const opened = link.opened.get(name) ?? this.#open(link, box, write);
    link.opened.set(name, opened);
    await opened;
    if (link !== this.#link) throw new Error('connection to the relay lost');
    const id = ++this.#lastID;
    const answer = new Promise<Bytes>((resolve, reject) => this.#requests.set(id, { resolve, reject }));
    this.#put(link, frame(id));
    const timer = setTimeout(() => this.#lost(link.socket), answerWithin);
    if (this.#hurrying) this.#doubt(link);
    try {
      return await answer;
    } finally {
      clearTimeout(timer);
    }
  }

  async #open(link: Link, box: Mailbox, access: number): Promise<void> {
    const key = access === read ? box.read.key : box.write.key;
    const signature = await sign(key, 'mailbox open', concat(var16(utf8(this.relayURL)), link.nonce, box.name, u8(access)));
    const ticket = box.purpose === 3 ? pairingTicket : new Uint8Array(0);
    const id = ++this.#lastID;
    this.#put(link, u8(Type.open), u32(id), u8(access), box.read.publicKey, box.write.publicKey, signature, var16(ticket));
  }

  #put(link: Link, ...parts: Uint8Array[]): void {
    if (link.socket.readyState === WebSocket.OPEN) link.socket.send(concat(...parts));
  }

  #dial(): void {
    const socket = new WebSocket(`ws${this.relayURL.slice('http'.length)}/v1/signal`, 'peephole.signal.2');
    socket.binaryType = 'arraybuffer';
    socket.onmessage = (e: MessageEvent<ArrayBuffer>) => this.#message(socket, e.data);
    socket.onclose = () => this.#lost(socket);
    this.#socket = socket;
    if (!this.#hurrying) return;
    setTimeout(() => {
      if (this.#link !== undefined || this.#socket !== socket) return;
      this.#patience = Math.min(2 * this.#patience, hurryMost);
      this.#lost(socket);
    }, 2 * this.#patience); // TCP, TLS and the challenge take more than one round trip
  }

  #lost(socket: WebSocket): void {
    if (socket !== this.#socket) return;
    socket.close(); // it may only have gone silent
    if (this.#link && performance.now() - this.#link.since >= steady) this.#backOff = firstBackOff;
    this.#link = undefined;
    this.#socket = undefined;
    this.#fail(new Error('connection to the relay lost'));
    if (this.#closed) return;
    this.onState(false);
    // Jitter: after a restart a relay must not meet all its clients at once.
    this.#timer = setTimeout(() => this.#dial(), this.#backOff * (0.1 + Math.random()));
    this.#backOff = Math.min(2 * this.#backOff, this.#hurrying ? hurryBackOff : maxBackOff);
  }

  /**
   * Says that somebody waits: the media stalled, the device has a network again. A connection that does not answer soon is given up, and for a minute the
   * relay is dialled without the back-off that is there for thousands of clients with nothing to do.
   */
  readonly hurry = (): void => {
    if (this.#closed) return;
    this.#hurriedUntil = performance.now() + hurryFor;
    this.#patience = hurryAnswer;
    this.#backOff = firstBackOff;
    if (this.#link) return this.#doubt(this.#link);
    clearTimeout(this.#timer);
    const waiting = this.#socket;
    this.#dial();
    waiting?.close(); // it may be waiting for a network that is gone
  };

  /** The same after a change of networks: the connection is made anew without asking whether the old one lives. */
  renew(): void {
    if (this.#link) this.#lost(this.#link.socket);
    this.hurry();
  }

  get #hurrying(): boolean {
    return performance.now() < this.#hurriedUntil;
  }

  /** Gives a connection up that says nothing soon although it was asked. */
  #doubt(link: Link): void {
    const heard = this.#heard;
    if (this.#requests.size === 0) return; // the next request will ask
    setTimeout(() => {
      if (this.#link !== link || this.#heard !== heard || this.#requests.size === 0) return;
      this.#patience = Math.min(2 * this.#patience, hurryMost);
      this.#lost(link.socket);
    }, this.#patience);
  }

  #fail(e: Error): void {
    for (const r of this.#requests.values()) r.reject(e);
    this.#requests.clear();
    for (const wake of this.#waiting) wake();
    this.#waiting = [];
  }

  #message(socket: WebSocket, data: ArrayBuffer): void {
    try {
      if (!(data instanceof ArrayBuffer) || data.byteLength > maxFrame) throw new Error('malformed frame');
      if (socket === this.#socket) this.#frame(socket, new Reader(new Uint8Array(data)));
    } catch {
      this.#lost(socket); // no relay of ours
    }
  }

  #frame(socket: WebSocket, r: Reader): void {
    const type = r.u8();
    const link = this.#link;
    this.#heard++;
    if ((link === undefined) !== (type === Type.challenge)) throw new Error('malformed frame'); // it is first, and comes once
    if (link === undefined) return this.#challenge(socket, r);
    if (type === Type.deliver) return this.#deliver(link, toHex(r.bytes(32)), r.u64(), r.rest());
    const id = r.u32();
    const request = this.#requests.get(id);
    this.#requests.delete(id);
    if (type === Type.granted) return request?.resolve(r.rest());
    if (type === Type.error) {
      const refusal = new RelayError(r.u16(), text(r.var16()));
      r.end();
      return request?.reject(refusal);
    }
    r.end();
    if (type !== Type.ok) throw new Error('malformed frame');
    request?.resolve(new Uint8Array(0));
  }

  #challenge(socket: WebSocket, r: Reader): void {
    const link = { socket, nonce: r.bytes(32), since: performance.now(), opened: new Map<string, Promise<void>>() };
    this.#clock = Number(r.u64()) - Date.now();
    r.end();
    this.#link = link;
    for (const { box } of this.#receivers.values()) void this.#open(link, box, read);
    for (const wake of this.#waiting) wake();
    this.#waiting = [];
    this.onState(true);
  }

  #deliver(link: Link, name: string, seq: bigint, body: Bytes): void {
    this.#deliveries = this.#deliveries.then(async () => {
      const receiver = this.#receivers.get(name);
      if (receiver === undefined) return;
      let said = false;
      const reject = (): void => {
        if (!said) this.#put(link, u8(Type.reject), receiver.box.name, u64(seq));
        said = true;
      };
      if (await receiver.handle(body, reject).catch(() => true)) this.#put(link, u8(Type.ack), receiver.box.name, u64(seq));
    });
  }
}

function parseGrant(json: string): Grant {
  const g = JSON.parse(json) as Partial<Grant>;
  const credentials = (c: Partial<TURNCredentials> | undefined): boolean => typeof c?.username === 'string' && typeof c.credential === 'string';
  if (!Array.isArray(g.urls) || g.urls.length > 8 || g.urls.some((u) => typeof u !== 'string') || !credentials(g.viewer) || !credentials(g.camera)) {
    throw new RelayError(400, 'malformed grant');
  }
  return g as Grant;
}
