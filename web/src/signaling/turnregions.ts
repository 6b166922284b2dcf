import type { Grant } from './client';
import type { Region } from './region';
import { maxRoundTrip, type Leg, type Place } from './relaylist';

// Which region's TURN server a session uses (doc/protocol.md, section 5.11): the one over which the way between both
// ends is shortest. A browser lets no page send STUN by itself, so a page measures by HTTP, at the regions' relays.
// Go's viewer does the same, by STUN; signaling/region/testdata/ways.json tests the choice of both.

/** By how many milliseconds a way through another region must be shorter than through the relay's own. */
const minSaved = 10;
/** For how long what was measured may be used to choose, in milliseconds. */
const probeLife = 5_000;
/** How long a choice may wait for what is being measured, from the beginning of that. */
const probeWait = 250;
/** How much later than the relay's own region others may answer and still count. */
const probeGrace = 10;
/** How long a region may take to answer. */
const probeTimeout = 3_000;
/** For how long a region is avoided whose relay was lost, in milliseconds. */
const avoidFor = 30_000;

/** A way of media through the TURN server of a region, with the round trips of both ends to it in milliseconds. */
export interface Way {
  /** The region's. */
  name: string;
  camera: number;
  viewer: number;
  /** Among how many regions it was chosen. */
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

/** A region that can serve as a way, and the camera's leg to it. */
export interface Candidate {
  region: Region;
  leg: Leg;
}

/**
 * Returns the way whose round trip is least, of those whose legs are known at both ends: the one through the region
 * own, unless another is at least 10 ms shorter or own's legs are not known; undefined if no region's are.
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

  /** candidates finds the regions among which there is a choice; measure, the round trip to a relay in milliseconds. */
  constructor(
    private readonly candidates: () => Promise<Candidate[]>,
    private readonly measure: (relay: string, found: (ms: number) => void) => Promise<void> = roundTrips,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Measures the regions, if that was not done just now, so that the legs are known when a relay is reached. */
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
   * Returns the shortest way for a session whose grant comes from the relay of a place, and where its relay is.
   * roundTrip is this device's to the first relay. It stands in for what was measured if nothing of that came in time.
   */
  async choose(relay: Place, roundTrip: number): Promise<{ place: Place; way?: Way }> {
    const candidates = await this.candidates();
    if (candidates.length < 2) return { place: relay };

    const usable = candidates.filter(({ region }) => !(this.now() < (this.#avoided.get(region.url) ?? 0)));
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
   * Waits until all regions have answered, or until what has not is too far away to matter: the region of the relay
   * that grants is among those nearest to the camera, so one that is farther from here than it saves nothing.
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

/** Measures the round trip to a relay, on a connection that the first request opens. */
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
