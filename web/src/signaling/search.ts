import type { Bytes } from '../bytes';
import type { Mailbox } from '../crypto/mailbox';
import type { Relay, Request } from './ask';
import type { Granted, TURNRegions } from './turnregions';

/** How long a grant or a sealed reply may take before the next relay is tried, beyond the round trips. In ms. */
export const replyWithin = 250;

export interface SearchHooks {
  /** Asks each relay. */
  ask<T>(request: Request<T>): Promise<T>;
  /** Goes on to the next relay, if this one was tried last. */
  goOn(from: Relay): void;
  /** This search needs no other relay any more. */
  over(): void;
  /** The session has ended. */
  ended(search: Search): void;
  /** Connects to the relay of a session's ICE servers, if need be, and returns it. */
  relayAt(place: Granted['place']): Relay;
  /** Whether the relay at a URL was tried and cannot be reached. */
  isAway(url: string): boolean;
  /** Called when that relay is lost. It may be another than those at which the camera is looked for. */
  lost(another: boolean): void;
}

/** One session's search for its camera, from its start to the first sealed reply (doc/protocol.md, section 5.10). */
export class Search {
  readonly #timers: ReturnType<typeof setTimeout>[] = [];
  #granter: Relay | undefined; // whose ICE servers the session has
  #found = false;
  #ended = false;

  constructor(
    private readonly hooks: SearchHooks,
    private readonly regions: TURNRegions,
  ) {}

  /** Whether the camera has not replied yet. */
  get searching(): boolean {
    return !this.#found;
  }

  /** Asks for the ICE servers of both ends, on a mailbox that leads to the camera. The first relay's grant counts. */
  async grant(box: Mailbox): Promise<Granted> {
    let waiting = true;
    const wanted = (): boolean => waiting && !this.#ended;
    try {
      return await this.hooks.ask({
        to: (relay) => this.#askOne(relay, box, wanted),
        wanted,
        granted: ({ place }) => (this.#granter = this.hooks.relayAt(place)),
      });
    } finally {
      waiting = false;
    }
  }

  /** Asks one relay for the ICE servers of the region on the shortest way. */
  async #askOne(relay: Relay, box: Mailbox, wanted: () => boolean): Promise<Granted> {
    const { client, place: own } = relay;
    const { place, way } = await this.regions.choose(own, client.roundTrip, this.hooks.isAway);
    if (wanted()) this.#expect(relay, wanted);
    const elsewhere = place.url === own.url ? '' : (place.name ?? '');
    const grant = await client.grant(box, elsewhere, wanted);
    if ((grant.region ?? '') !== elsewhere) return { grant, place: own }; // it grants nothing there
    return way ? { grant, place, way } : { grant, place };
  }

  /** Posts an offer, which the camera is to reply to. It is valid for ttl seconds. */
  offer(box: Mailbox, body: Bytes, ttl: number): Promise<void> {
    return this.hooks.ask({
      ...post(box, body, ttl, () => !this.#ended),
      asked: (relay) => this.#expect(relay),
    });
  }

  /** A sealed reply has come. What was posted still goes to the relays that are being reached. */
  found(): void {
    this.#found = true;
    this.#timers.forEach(clearTimeout);
    this.hooks.over();
  }

  /** A relay is lost. */
  lose(relay: Relay, another: boolean): void {
    if (relay !== this.#granter) return;
    if (relay.moved !== true) this.regions.avoid(relay.place.url);
    this.hooks.lost(another);
  }

  /** The session has ended. Nothing more is asked for it. */
  end(): void {
    this.#ended = true;
    this.hooks.ended(this);
    this.found();
  }

  /** Goes on if what a relay is asked for does not come in time, by whatever relay. */
  #expect(relay: Relay, waiting = (): boolean => true): void {
    if (this.#found) return;
    const ms = replyWithin + relay.client.roundTrip + relay.place.roundTrip;
    this.#timers.push(setTimeout(() => waiting() && this.hooks.goOn(relay), ms));
  }
}

/** Returns the request to keep a message for ttl seconds from now on. */
export function post(box: Mailbox, body: Bytes, ttl: number, sought = (): boolean => true): Request<void> {
  const until = performance.now() + 1000 * ttl;
  const wanted = (): boolean => sought() && performance.now() < until;
  const left = (): number => Math.ceil((until - performance.now()) / 1000);
  return { to: ({ client }) => client.send(box, body, left(), wanted), wanted };
}
