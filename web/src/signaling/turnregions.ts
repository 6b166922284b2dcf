import type { Grant } from './client';
import type { Region } from './region';
import { maxRoundTrip, type Leg, type Place } from './relaylist';

// Chooses the region whose TURN server a session uses: the one on the shortest way between both ends
// (doc/protocol.md, section 5.11). A page cannot send STUN, so it measures the regions' relays over HTTP. Go's viewer
// measures by STUN; signaling/region/testdata/ways.json tests the choice of both.

/** How many milliseconds another region must save over the relay's own. */
const minSaved = 10;
/** How long measured round trips may be used for a choice, in milliseconds. */
const probeLife = 5_000;
/** How long after a measurement has begun a choice may wait for answers, in milliseconds. */
const probeWait = 250;
/** How much later than the relay's own region others may answer and still count. */
const probeGrace = 10;
/** How long the measurement of a region may take, in milliseconds. */
const probeTimeout = 3_000;
/** How long to avoid a region whose relay was lost, in milliseconds. */
const avoidFor = 30_000;

/** A way of media through the TURN server of a region, with the round trips of both ends to it in milliseconds. */
export interface Way {
  /** The region's. */
  name: string;
  camera: number;
  viewer: number;
  /** How many regions there were to choose from. */
  regions: number;
}

/** The ICE servers of a session, and where they are. */
export interface Granted {
  grant: Grant;
  /** Of the relay whose servers they are. */
  place: Place;
  /** Why it is that one; undefined where there was no choice. */
  way?: Way;
}

/** A region through which media can go, and the camera's leg to it. */
export interface Candidate {
  region: Region;
  leg: Leg;
}

/**
 * Returns the shortest way through a region whose legs both ends know. It prefers region own, if both legs to it are
 * known, unless another is at least 10 ms shorter. Returns undefined if no region is known to both ends.
 */
export function shortestWay(own: string | undefined, camera: Leg[], viewer: Leg[]): Way | undefined {
  const ways = camera.flatMap(({ name, roundTrip }) => {
    const leg = viewer.find((v) => v.name === name);
    return leg ? [{ name, camera: roundTrip, viewer: leg.roundTrip, regions: 0 }] : [];
  });
  const length = (w: Way): number => w.camera + w.viewer;
  const [first, ...others] = ways;
  if (first === undefined) return undefined;

  const shortest = others.reduce((a, b) => (length(b) < length(a) ? b : a), first);
  const owns = ways.find(({ name }) => name === own);
  const chosen = owns && length(owns) < length(shortest) + minSaved ? owns : shortest;
  return { ...chosen, regions: ways.length };
}

/** One measurement of this device's legs. */
interface Probe {
  began: number;
  /** How many regions were asked. */
  asked: number;
  /** The round trips so far, by the regions' names. */
  least: Map<string, number>;
  over: boolean;
  /** Resolves when another region has answered, or none will any more. */
  changed: Promise<void>;
  wake: () => void;
}

export class TURNRegions {
  readonly #avoided = new Map<string, number>(); // until when, by the relay's URL
  #last: Promise<Probe> | undefined;
  #lastBegan = -Infinity;

  /** candidates returns the regions to choose from. measure calls found with each round trip to a relay, in ms. */
  constructor(
    private readonly candidates: () => Promise<Candidate[]>,
    private readonly measure: (relay: string, found: (ms: number) => void) => Promise<void> = roundTrips,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Measures the regions, unless that was done just now, so that the legs are known when a relay is reached. */
  probe(): void {
    void this.#probe();
  }

  /** Forgets what was measured: this device may be in another network. */
  forget(): void {
    this.#last = undefined;
  }

  /** Avoids a region for a while, because its relay was lost. */
  avoid(relay: string): void {
    this.#avoided.set(relay, this.now() + avoidFor);
  }

  /**
   * Returns the shortest way for a session that this relay grants, and the place of that way's relay. roundTrip is this
   * device's to the asked relay: it stands in for its region if only other regions have answered. A region that is
   * avoided, or whose relay cannot be reached, is not chosen, unless it is the asked relay's own.
   */
  async choose(
    relay: Place,
    roundTrip: number,
    isAway: (url: string) => boolean = () => false,
  ): Promise<{ place: Place; way?: Way }> {
    const candidates = await this.candidates();
    if (candidates.length < 2) return { place: relay };

    const avoided = (url: string): boolean => this.now() < (this.#avoided.get(url) ?? 0);
    const usable = candidates.filter(({ region: { url } }) => url === relay.url || !(avoided(url) || isAway(url)));
    const probe = await this.#probe();
    await this.#answers(probe, relay.name);
    const legs = new Map(probe.least);
    if (legs.size > 0 && relay.name !== undefined && !legs.has(relay.name)) legs.set(relay.name, roundTrip);
    const viewer = [...legs].map(([name, ms]) => ({ name, roundTrip: bounded(ms) }));
    const way = shortestWay(
      relay.name,
      usable.map(({ leg }) => leg),
      viewer,
    );
    const to = usable.find(({ region }) => region.name === way?.name)?.region;
    return way && to ? { place: { name: to.name, url: to.url, roundTrip: 0 }, way } : { place: relay };
  }

  /** Returns the last probe if it is young enough, and begins another one if not. */
  #probe(): Promise<Probe> {
    if (this.#last === undefined || this.now() - this.#lastBegan >= probeLife) {
      this.#lastBegan = this.now();
      this.#last = this.#begin();
    }
    return this.#last;
  }

  async #begin(): Promise<Probe> {
    const candidates = await this.candidates();
    const probe: Probe = {
      began: this.now(),
      asked: candidates.length,
      least: new Map(),
      over: false,
      changed: Promise.resolve(),
      wake: () => undefined,
    };
    renew(probe);
    const measured = candidates.map(({ region }) =>
      this.measure(region.url, (ms) => {
        const known = probe.least.get(region.name);
        probe.least.set(region.name, Math.min(ms, known ?? Infinity));
        if (known === undefined) renew(probe);
      }).catch(() => undefined),
    );
    void Promise.all(measured).then(() => {
      probe.over = true;
      renew(probe);
    });
    return probe;
  }

  /**
   * Waits until all regions have answered, or the rest are too far away to matter. The relay asked is normally the
   * camera's home, hence nearest to it, so a region farther from here than the relay's own saves nothing.
   */
  async #answers(probe: Probe, own: string | undefined): Promise<void> {
    let last = probe.began + probeWait;
    let answered = false;
    for (;;) {
      if (!answered && own !== undefined && probe.least.has(own)) {
        answered = true;
        last = Math.min(last, this.now() + probeGrace);
      }
      const left = last - this.now();
      if (probe.over || probe.least.size === probe.asked || left <= 0) return;

      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, left)));
      await Promise.race([probe.changed, late]);
      clearTimeout(timer);
    }
  }
}

/** Wakes whoever waits for a probe. */
function renew(probe: Probe): void {
  probe.wake();
  probe.changed = new Promise((resolve) => (probe.wake = resolve));
}

const bounded = (ms: number): number => Math.min(Math.max(1, Math.ceil(ms)), maxRoundTrip);

/** Measures round trips to a relay. The first request opens the connection and does not count. */
async function roundTrips(relay: string, found: (ms: number) => void): Promise<void> {
  const signal = AbortSignal.timeout(probeTimeout);
  for (let sample = 0; sample < 3; sample++) {
    const began = performance.now();
    await fetch(`${relay}/v1/regions`, {
      method: 'HEAD',
      cache: 'no-store',
      credentials: 'omit',
      redirect: 'error',
      referrerPolicy: 'no-referrer',
      signal,
    });
    if (sample > 0) found(performance.now() - began);
  }
}
