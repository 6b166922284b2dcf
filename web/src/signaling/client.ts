import { concat, Reader, text, toHex, u32, u64, u8, utf8, var16, type Bytes } from '../bytes';
import { sign } from '../crypto/label';
import type { Mailbox } from '../crypto/mailbox';
import { printableText } from '../printable';
import type { Carrier } from './carrier';
import { Race } from './race';

// The client of a relay's signaling (doc/protocol.md, section 5). It reconnects by itself and trusts nothing that
// arrives. What carries its frames is the business of Race.

const Type = {
  challenge: 0x01,
  open: 0x10,
  post: 0x11,
  ack: 0x12,
  grant: 0x13,
  close: 0x14,
  reject: 0x15,
  ok: 0x20,
  error: 0x21,
  deliver: 0x22,
  granted: 0x23,
  closed: 0x24,
} as const;

const read = 1;
const write = 2;
const firstBackOff = 250;
const maxBackOff = 30_000;
const steady = 5_000; // a connection that lasted this long resets the back-off
const answerWithin = 10_000;
// Milliseconds, while somebody waits. Browsers open one WebSocket to a server at a time and delay clients that fail
// often, so an attempt that hangs is replaced, never doubled, and each new one gets twice the time.
const urgentFor = 60_000;
const minProbeTimeout = 600;
const maxProbeTimeout = 2_400;
const maxUrgentBackOff = 2_000;
/** How long to leave a mailbox alone after another connection has taken over reading it, in milliseconds. */
export const replacedRest = 30_000;
const maxBody = 40_000;
// A browser accepts whatever the network delivers, even if the page cannot keep up. A relay that sends more than a
// mailbox holds, or that reads nothing, counts as a lost connection; the next connection delivers again what was not
// acknowledged.
const maxPending = 512; // deliveries
const maxUnread = 1 << 20; // bytes
const maxURLs = 8;
const maxURL = 300;
const maxCredential = 508; // RFC 8656, section 18
const pairingTicket = utf8('pairing');

/** The relay refused a request. */
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

/** Access to the relay's TURN server for both ends of one session. */
export interface Grant {
  /** The region of the server, if it is not the relay's own. */
  region?: string;
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
 * Handles a delivered message; called in order. Resolving to true lets the relay delete the message. `reject` tells the
 * relay that the message opens under no key of this mailbox: only the first call counts, and only while the connection
 * that delivered the message lasts.
 */
export type Handle = (body: Bytes, reject: () => void) => Promise<boolean>;

interface Receiver {
  box: Mailbox;
  handle: Handle;
}

/** A connection on which the relay has sent its challenge. */
interface Link {
  carrier: Carrier;
  nonce: Bytes;
  since: number;
  /** In milliseconds, at most. */
  roundTrip: number;
  /** The mailboxes open for writing, by name. Each promise resolves once the request is on its way. */
  opened: Map<string, Promise<void>>;
}

export class Signaling {
  readonly #receivers = new Map<string, Receiver>();
  /** Timers by mailbox name: when each ends, the mailbox is opened for reading again. */
  readonly #resting = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #requests = new Map<number, Request>();
  #waiting: (() => void)[] = [];
  #link: Link | undefined;
  #race: Race | undefined; // the connection, or the attempt at one
  #dialled = 0;
  #lastID = 0;
  #backOff = firstBackOff;
  #clock = 0;
  #closed = false;
  #deliveries = Promise.resolve();
  #pending = 0; // deliveries in the queue
  #timer: ReturnType<typeof setTimeout> | undefined;
  #urgentUntil = -Infinity;
  #probeTimeout = minProbeTimeout;
  #heard = 0; // frames received

  /**
   * onState is called with true when the relay is reached, and with false when it is lost or cannot be reached; then
   * `held` says that it accepted the connection and sent nothing.
   */
  constructor(
    readonly relayURL: string,
    private readonly onState: (connected: boolean, held: boolean) => void = () => undefined,
  ) {
    this.#dial();
    globalThis.addEventListener?.('online', this.probe);
  }

  /** Reports whether the relay has accepted the connection and has sent nothing so far. */
  get held(): boolean {
    return this.#race?.held ?? false;
  }

  close(): void {
    this.#closed = true;
    globalThis.removeEventListener?.('online', this.probe);
    clearTimeout(this.#timer);
    for (const timer of this.#resting.values()) clearTimeout(timer);
    this.#race?.close();
    this.#link = undefined;
    this.#fail(new Error('signaling is closed'));
  }

  /** By what the relay is reached; undefined while it is not. */
  get carriedBy(): Carrier['name'] | undefined {
    return this.#link?.carrier.name;
  }

  /** The relay's clock in Unix seconds. It may choose the day of a mailbox and nothing else. */
  get serverTime(): number {
    return (Date.now() + this.#clock) / 1000;
  }

  /** How long a round trip to the relay takes at most, in milliseconds; 0 while it is not reached. */
  get roundTrip(): number {
    return this.#link?.roundTrip ?? 0;
  }

  /** Resolves once the relay is reached. */
  async connected(): Promise<void> {
    while (this.#link === undefined) {
      if (this.#closed) throw new Error('signaling is closed');
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Opens box for reading, now and after every reconnect, until the returned function is called. */
  receive(box: Mailbox, handle: Handle): () => void {
    const name = toHex(box.name);
    const receiver = { box, handle };
    this.#receivers.set(name, receiver);
    this.#openForReading(name);

    return () => {
      if (this.#receivers.get(name) !== receiver) return;
      this.#receivers.delete(name);
      this.release(box);
    };
  }

  /** Closes a mailbox to which nothing more will be sent. */
  release(box: Mailbox): void {
    const link = this.#link;
    if (link === undefined || this.#receivers.has(toHex(box.name))) return;
    link.opened.delete(toHex(box.name));
    this.#put(link, u8(Type.close), box.name);
  }

  /**
   * Posts body to box, to be kept for ttl seconds; retries across reconnects while it is wanted. Throws RelayError when
   * refused.
   */
  async send(box: Mailbox, body: Bytes, ttl: number, wanted?: () => boolean): Promise<void> {
    await this.#request(box, (id) => concat(u8(Type.post), u32(id), box.name, u32(ttl), body), wanted);
  }

  /**
   * Asks for the ICE servers of both ends in a region, on a mailbox that leads to the camera. If region is empty, or
   * the relay cannot grant there, it gets the relay's own. In all else it is like send.
   */
  async grant(box: Mailbox, region = '', wanted?: () => boolean): Promise<Grant> {
    const frame = (id: number): Bytes => concat(u8(Type.grant), u32(id), box.name, utf8(region));
    const json = await this.#request(box, frame, wanted);
    return parseGrant(text(json));
  }

  async #request(box: Mailbox, frame: (id: number) => Bytes, wanted = (): boolean => true): Promise<Bytes> {
    for (;;) {
      await this.connected();
      if (!wanted()) throw new Error('nobody waits for the relay any more');
      const link = this.#link;
      if (link === undefined) continue;

      try {
        return await this.#ask(link, box, frame);
      } catch (e) {
        if (e instanceof RelayError || this.#closed) throw e;
      }
    }
  }

  /** Makes one request on one connection. If the relay does not answer, the connection counts as lost. */
  async #ask(link: Link, box: Mailbox, frame: (id: number) => Bytes): Promise<Bytes> {
    const name = toHex(box.name);
    const opened = link.opened.get(name) ?? this.#open(link, box, write);
    link.opened.set(name, opened);
    await opened;
    if (link !== this.#link) throw new Error('connection to the relay lost');

    const id = ++this.#lastID;
    const answer = new Promise<Bytes>((resolve, reject) => this.#requests.set(id, { resolve, reject }));
    const began = performance.now();
    this.#put(link, frame(id));
    const timer = setTimeout(() => this.#lost(link.carrier), answerWithin);
    if (this.#urgent) this.#expectAnswer(link);

    try {
      const answered = await answer;
      link.roundTrip = Math.min(link.roundTrip, performance.now() - began);
      return answered;
    } finally {
      clearTimeout(timer);
    }
  }

  #openForReading(name: string): void {
    const receiver = this.#receivers.get(name);
    if (this.#link && receiver && !this.#resting.has(name)) void this.#open(this.#link, receiver.box, read);
  }

  async #open(link: Link, box: Mailbox, access: number): Promise<void> {
    const key = access === read ? box.read.key : box.write.key;
    const signature = await sign(
      key,
      'mailbox open',
      concat(var16(utf8(this.relayURL)), link.nonce, box.name, u8(access)),
    );

    const ticket = box.purpose === 3 ? pairingTicket : new Uint8Array(0);
    const id = ++this.#lastID;
    this.#put(
      link,
      u8(Type.open),
      u32(id),
      u8(access),
      box.read.publicKey,
      box.write.publicKey,
      signature,
      var16(ticket),
    );
  }

  #put(link: Link, ...parts: Uint8Array[]): void {
    link.carrier.send(concat(...parts));
    if (link.carrier.unsent > maxUnread) this.#lost(link.carrier);
  }

  #dial(): void {
    this.#dialled = performance.now();
    const race = new Race(this.relayURL, {
      frame: (from, frame) => this.#message(from, frame),
      lost: (from) => this.#lost(from),
    });

    this.#race = race;
    if (!this.#urgent) return;

    setTimeout(() => {
      if (this.#link !== undefined || this.#race !== race) return;
      this.#probeTimeout = Math.min(2 * this.#probeTimeout, maxProbeTimeout);
      this.#lost(race);
    }, 2 * this.#probeTimeout); // TCP, TLS and the challenge take more than one round trip
  }

  #lost(carrier: Carrier): void {
    if (carrier !== this.#race) return;

    const { held } = this;
    carrier.close(); // it may only have gone silent
    if (this.#link && performance.now() - this.#link.since >= steady) this.#backOff = firstBackOff;
    this.#link = undefined;
    this.#race = undefined;
    this.#fail(new Error('connection to the relay lost'));
    if (this.#closed) return;

    this.onState(false, held);
    // Jitter, so that not all clients come back at the same moment after a relay restarts.
    this.#timer = setTimeout(() => this.#dial(), this.#backOff * (0.1 + Math.random()));
    this.#backOff = Math.min(2 * this.#backOff, this.#urgent ? maxUrgentBackOff : maxBackOff);
  }

  /**
   * Somebody waits: media stalled, or the device has a network again. Replaces a connection that does not answer soon,
   * and for a minute dials without the long back-off, which exists for thousands of idle clients.
   */
  readonly probe = (): void => {
    if (this.#closed) return;

    this.#urgentUntil = performance.now() + urgentFor;
    this.#probeTimeout = minProbeTimeout;
    this.#backOff = firstBackOff;
    if (this.#link) return this.#expectAnswer(this.#link);

    clearTimeout(this.#timer);
    const waiting = this.#race;
    this.#dial();
    waiting?.close(); // it may be waiting for a network that is gone
  };

  /** The device may have changed networks: replaces the connection without probing it first. */
  redial(): void {
    if (this.#link) this.#lost(this.#link.carrier);
    this.probe();
  }

  get #urgent(): boolean {
    return performance.now() < this.#urgentUntil;
  }

  /** Drops a connection that says nothing soon although a request is pending. */
  #expectAnswer(link: Link): void {
    const heard = this.#heard;
    if (this.#requests.size === 0) return; // the next request will probe it
    setTimeout(() => {
      if (this.#link !== link || this.#heard !== heard || this.#requests.size === 0) return;
      this.#probeTimeout = Math.min(2 * this.#probeTimeout, maxProbeTimeout);
      this.#lost(link.carrier);
    }, this.#probeTimeout);
  }

  #fail(e: Error): void {
    for (const r of this.#requests.values()) r.reject(e);
    this.#requests.clear();
    for (const wake of this.#waiting) wake();
    this.#waiting = [];
  }

  #message(carrier: Carrier, frame: Bytes): void {
    try {
      if (carrier === this.#race) this.#frame(carrier, new Reader(frame));
    } catch {
      this.#lost(carrier); // this is no relay of ours
    }
  }

  #frame(carrier: Carrier, r: Reader): void {
    const type = r.u8();
    const link = this.#link;
    this.#heard++;

    // The challenge comes first, and only once.
    if ((link === undefined) !== (type === Type.challenge)) throw new Error('malformed frame');
    if (link === undefined) return this.#challenge(carrier, r);
    if (type === Type.deliver) return this.#deliver(link, toHex(r.bytes(32)), r.u64(), r.rest());
    if (type === Type.closed) return this.#replaced(r);

    const id = r.u32();
    const request = this.#requests.get(id);
    this.#requests.delete(id);
    if (type === Type.granted) return request?.resolve(r.rest());

    if (type === Type.error) {
      const refusal = new RelayError(r.u16(), printableText(text(r.var16())));
      r.end();
      return request?.reject(refusal);
    }

    r.end();
    if (type !== Type.ok) throw new Error('malformed frame');

    request?.resolve(new Uint8Array(0));
  }

  #challenge(carrier: Carrier, r: Reader): void {
    const since = performance.now();
    const link = {
      carrier,
      nonce: r.bytes(32),
      since,
      roundTrip: (since - this.#dialled) / 2, // at most: TCP or QUIC takes one, and the request for the challenge one
      opened: new Map<string, Promise<void>>(),
    };
    this.#clock = Number(r.u64()) - Date.now();
    r.end();
    this.#link = link;
    for (const name of this.#receivers.keys()) this.#openForReading(name);
    for (const wake of this.#waiting) wake();
    this.#waiting = [];
    this.onState(true, false);
  }

  /**
   * Another connection reads this mailbox now. Two that kept taking it from each other would never stop, so this one
   * rests first.
   */
  #replaced(r: Reader): void {
    const name = toHex(r.bytes(32));
    r.u16();
    r.var16();
    r.end();
    if (!this.#receivers.has(name) || this.#resting.has(name)) return;

    const rested = (): void => {
      this.#resting.delete(name);
      this.#openForReading(name);
    };

    this.#resting.set(name, setTimeout(rested, replacedRest));
  }

  #deliver(link: Link, name: string, seq: bigint, body: Bytes): void {
    if (body.length === 0 || body.length > maxBody || this.#pending >= maxPending) {
      throw new Error('malformed frame, or too many');
    }

    this.#pending++;

    const handled = this.#deliveries.then(async () => {
      const receiver = this.#receivers.get(name);
      if (receiver === undefined) return;

      let said = false;
      const reject = (): void => {
        if (!said) this.#put(link, u8(Type.reject), receiver.box.name, u64(seq));
        said = true;
      };

      if (await receiver.handle(body, reject).catch(() => true)) {
        this.#put(link, u8(Type.ack), receiver.box.name, u64(seq));
      }
    });

    this.#deliveries = handled.finally(() => this.#pending--);
  }
}

function parseGrant(json: string): Grant {
  const g = JSON.parse(json) as Partial<Grant>;
  const short = (x: unknown, most: number): boolean => typeof x === 'string' && x.length <= most;
  const credentials = (c: Partial<TURNCredentials> | undefined): boolean =>
    short(c?.username, maxCredential) && short(c?.credential, maxCredential);
  const urls = Array.isArray(g.urls) && g.urls.length <= maxURLs && g.urls.every((u) => short(u, maxURL));
  if (g.region !== undefined && typeof g.region !== 'string') throw new RelayError(400, 'malformed grant');
  if (!urls || !credentials(g.viewer) || !credentials(g.camera)) throw new RelayError(400, 'malformed grant');
  return g as Grant;
}
