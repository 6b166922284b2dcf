import type { Bytes } from '../bytes';
import type { Mailbox } from '../crypto/mailbox';
import { Ask, type Relay, type Request } from './ask';
import { RelayError, Signaling, type Handle } from './client';
import type { Place } from './relaylist';
import { post, Search } from './search';
import { TURNRegions } from './turnregions';

// The relays of one camera: its home, and, when that does not lead to the camera, the others at which it may be
// (doc/protocol.md, section 5.10). A message goes to all of them, and what they deliver is handled one by one. A camera
// with nothing but a home has one relay, and this is like its Signaling.

/** How long a relay may take to be reached before a session goes on to the next, in milliseconds. */
export const reachWithin = 500;
/** How long a relay that is only watched may take to be reached again, in milliseconds. */
const backWithin = 300;
/** How many relays to try beyond those that the camera has named. */
export const maxMore = 2;

/** The codes of refusals after which another relay may do. */
const elsewhere = [404, 429, 503];

type AnyAsk = Omit<Ask<unknown>, 'done'>;

interface Receiver {
  box: Mailbox;
  handle: Handle;
  /** One for each relay. */
  stop: (() => void)[];
}

export class Relays {
  readonly #watched: Relay[] = []; // not in #relays: relays whose TURN servers sessions use
  readonly #relays: Relay[] = []; // the first is the home, the last the one that was tried last
  readonly #places: Place[]; // of those that come next
  readonly #searches = new Set<Search>(); // one for each session
  readonly #receivers = new Set<Receiver>();
  readonly #asks = new Set<AnyAsk>();
  #more: (() => Promise<Place[]>) | undefined;
  #finding = false; // more places
  #timekeeper: Signaling | undefined; // the relay that was reached first
  #waiting: (() => void)[] = [];
  #closed = false;

  /**
   * Connects to the home. `more` finds the places that are tried after the others. onState is called with true when a
   * relay is reached, and with false when the home is lost or cannot be reached, and no other relay can either; then
   * `held` says that the home accepted the connection and sent nothing.
   */
  constructor(
    [home, ...others]: [Place, ...Place[]],
    more: (() => Promise<Place[]>) | undefined,
    private readonly onState: (connected: boolean, held: boolean) => void = () => undefined,
    private readonly regions = new TURNRegions(async () => []),
  ) {
    this.#places = others;
    this.#more = more;
    this.#add(home);
    regions.probe();
  }

  close(): void {
    this.#closed = true;
    for (const { client, late } of [...this.#relays, ...this.#watched]) {
      clearTimeout(late);
      client.close();
    }

    for (const ask of this.#asks) ask.drop(new Error('signaling is closed'));
    this.#wake();
  }

  /** By what the first relay that is reached is reached; undefined while none is. */
  get carriedBy(): Signaling['carriedBy'] {
    return this.#relays.find((r) => r.state === 'reached')?.client.carriedBy;
  }

  /** The clock of the relay that was reached first, in Unix seconds. */
  get serverTime(): number {
    return (this.#timekeeper ?? this.#relays[0]!.client).serverTime;
  }

  /** Resolves once a relay is reached. */
  async connected(): Promise<void> {
    while (!this.#relays.some((r) => r.state === 'reached')) {
      if (this.#closed) throw new Error('signaling is closed');
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Opens box for reading at every relay until the returned function is called. The relays' copies are all handled. */
  receive(box: Mailbox, handle: Handle): () => void {
    let last = Promise.resolve();

    const oneByOne: Handle = (body, reject) => {
      const handled = last.then(() => handle(body, reject));
      last = handled.then(
        () => undefined,
        () => undefined,
      );
      return handled;
    };

    const receiver = { box, handle: oneByOne, stop: this.#relays.map((r) => r.client.receive(box, oneByOne)) };
    this.#receivers.add(receiver);

    return () => {
      this.#receivers.delete(receiver);
      for (const stop of receiver.stop) stop();
    };
  }

  /** Closes a mailbox to which nothing more will be sent. */
  release(box: Mailbox): void {
    for (const { client } of this.#relays) client.release(box);
  }

  /** Posts body to box at every relay, to be kept for ttl seconds. Throws RelayError when all have refused. */
  send(box: Mailbox, body: Bytes, ttl: number): Promise<void> {
    return this.#ask(post(box, body, ttl));
  }

  /** Whether no other relay is known at which the camera may be. */
  get alone(): boolean {
    return this.#relays.length === 1 && !this.#hasMore;
  }

  /**
   * Begins a session's search for the camera. lost is called when the relay of its ICE servers is lost, until the
   * search is ended.
   */
  search(lost: (another: boolean) => void = () => undefined): Search {
    const hooks = {
      ask: <T>(request: Request<T>) => this.#ask(request),
      goOn: (from: Relay) => this.#goOn(from),
      over: () => this.#settle(),
      ended: (s: Search) => this.#searches.delete(s),
      relayAt: (place: Place) => this.#relayAt(place),
      isAway: (url: string) => this.#find(url)?.state === 'failed',
      lost,
    };
    const search = new Search(hooks, this.regions);

    this.#searches.add(search);
    const last = this.#relays.at(-1)!;
    if (last.state === 'failed') this.#goOn(last);
    return search;
  }

  probe(): void {
    this.#again((r) => r.client.probe());
  }

  redial(): void {
    this.regions.forget();
    for (const relay of [...this.#relays, ...this.#watched]) relay.moved = true;
    this.#again((r) => r.client.redial());
  }

  /** Tries to reach every relay again. */
  #again(dial: (r: Relay) => void): void {
    for (const relay of this.#watched) dial(relay);
    for (const relay of this.#relays) {
      dial(relay);
      if (relay.state === 'failed') this.#await(relay);
    }
  }

  #add(place: Place): void {
    const client = new Signaling(place.url, (connected, held) => this.#changed(relay, connected, held));
    const relay: Relay = { place, client, state: 'trying' };
    this.#relays.push(relay);
    for (const { box, handle, stop } of this.#receivers) stop.push(client.receive(box, handle));
    this.#await(relay);
  }

  /** Returns the relay at a place. Connects to it if need be, only so that its loss is noticed. */
  #relayAt(place: Place): Relay {
    const known = this.#find(place.url);
    if (known) return known;

    const client = new Signaling(place.url, (connected) => this.#watchedChanged(relay, connected));
    const relay: Relay = { place, client, state: 'trying' };
    this.#watched.push(relay);
    return relay;
  }

  /**
   * A relay may close the connection of who asks it for nothing. It is lost if it cannot be reached again soon, or at
   * first.
   */
  #watchedChanged(relay: Relay, connected: boolean): void {
    const before = relay.state;
    if (connected) {
      relay.state = 'reached';
      relay.moved = false;
      clearTimeout(relay.late);
    } else if (before === 'reached') {
      relay.state = 'trying';
      relay.late = setTimeout(() => this.#watchedFailed(relay), backWithin);
      queueMicrotask(() => relay.client.probe()); // dials at once
    } else {
      this.#watchedFailed(relay);
    }
  }

  #watchedFailed(relay: Relay): void {
    clearTimeout(relay.late);
    if (relay.state === 'trying') this.#loseGranter(relay, true);
    relay.state = 'failed';
  }

  #find(url: string): Relay | undefined {
    return [...this.#relays, ...this.#watched].find((r) => r.place.url === url);
  }

  #loseGranter(relay: Relay, another: boolean): void {
    for (const search of [...this.#searches]) search.lose(relay, another);
  }

  /** Gives a relay a moment to be reached. */
  #await(relay: Relay): void {
    relay.state = 'trying';
    clearTimeout(relay.late);
    relay.late = setTimeout(() => this.#failed(relay), reachWithin);
  }

  #changed(relay: Relay, connected: boolean, held: boolean): void {
    if (connected) return this.#reached(relay);
    if (relay.state === 'reached') this.#lost(relay);
    else this.#failed(relay);

    const [home, ...others] = this.#relays;
    const alone = !this.#hasMore && others.every((r) => r.state === 'failed');
    if (relay === home && alone) this.onState(false, held);
  }

  #reached(relay: Relay): void {
    relay.state = 'reached';
    relay.moved = false;
    clearTimeout(relay.late);
    this.#timekeeper ??= relay.client;
    this.#wake();
    for (const ask of this.#wanted()) ask.start(relay);
    this.onState(true, false);
  }

  #lost(relay: Relay): void {
    this.#await(relay);
    this.#loseGranter(relay, false);
  }

  #failed(relay: Relay): void {
    relay.state = 'failed';
    clearTimeout(relay.late);
    this.#goOn(relay);
    this.#settle();
  }

  /** Reports whether a session looks for the camera. */
  get #searching(): boolean {
    return [...this.#searches].some((s) => s.searching);
  }

  /** Reports whether there is a relay to go on to. */
  get #hasMore(): boolean {
    return this.#places.length > 0 || this.#more !== undefined || this.#finding;
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting = [];
  }

  /** Goes on to the next relay, if a session looks for the camera and `from` was tried last. */
  #goOn(from: Relay): void {
    if (this.#closed || !this.#searching || from !== this.#relays.at(-1)) return;

    const next = this.#places.shift();
    if (next !== undefined) this.#add(next);
    else void this.#findMore(from);
  }

  async #findMore(from: Relay): Promise<void> {
    const more = this.#more;
    if (more === undefined) return;

    this.#more = undefined;
    this.#finding = true;
    const found = await more().catch(() => []);
    this.#finding = false;

    const tried = this.#relays.map((r) => r.place.url);
    this.#places.push(...found.filter(({ url }) => !tried.includes(url)).slice(0, maxMore));
    this.#goOn(from);
    this.#settle();
  }

  #ask<T>(request: Request<T>): Promise<T> {
    const ask = new Ask(request, (relay, why) => {
      if (why instanceof RelayError && elsewhere.includes(why.code)) this.#goOn(relay);
      this.#settle();
    });

    this.#asks.add(ask);
    for (const relay of this.#relays) if (relay.state === 'reached') ask.start(relay);
    return ask.done;
  }

  /** Returns what a relay that is reached now should be asked, and forgets the rest. */
  #wanted(): AnyAsk[] {
    for (const ask of this.#asks) {
      if (ask.wanted) continue;
      this.#asks.delete(ask);
      ask.drop(new Error('no relay was reached in time'));
    }
    return [...this.#asks];
  }

  /** Gives up what every relay has refused, unless there is another to go on to. */
  #settle(): void {
    if (this.#searching && this.#hasMore) return;
    for (const ask of this.#wanted()) ask.settle(this.#relays);
  }
}
