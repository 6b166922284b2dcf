import { concat } from '../bytes';
import { isLocal } from '../crypto/pairing';
import { maxMap, openMap, placeOrder, replaces, type Region, type RegionMap } from '../signaling/region';
import { noVersion, type Place, type RelayList } from '../signaling/relaylist';
import type { Candidate } from '../signaling/turnregions';
import type { Camera, KeptMap, Learned } from './store';

// Where a camera is to be found (doc/protocol.md, section 5.10): at the relays of the list that it told last, or else
// in regions of its operator's map, which this device fetches from the camera's home.

/** How old a map may be before it is fetched again, in milliseconds. */
const maxAge = 86_400_000;
/** How long to wait before trying again to fetch a map, in milliseconds. */
const retryAfter = 600_000;
/** How long a fetch may take, in milliseconds. */
const fetchWithin = 10_000;

/** What the page provides. */
export interface Page {
  /** The relay that serves it. */
  origin: string;
  /** Reports whether the page's address lets it connect to a relay. */
  reaches(relay: string): boolean;
  /** Unix milliseconds. */
  now(): number;
  fetch: typeof fetch;
}

export class Whereabouts {
  #asked = -Infinity; // when the map was last asked for
  #askedFor = ''; // for which version of the list

  /** keep stores what is new. */
  constructor(
    private readonly camera: Camera,
    private readonly keep: (learned: Learned) => void,
    private readonly page: Page,
  ) {}

  /** The version of the list that this device holds. */
  get version(): string {
    return this.camera.relays?.version ?? noVersion;
  }

  /** Returns the home and the standby, as far as the page can connect to them; without any, the pair's own relay. */
  places(): [Place, ...Place[]] {
    const { relays, relayURL } = this.camera;
    const named = relays ? [relays.home, relays.standby] : [];
    const [home, ...others] = named.filter((p) => p !== undefined).filter((p) => this.page.reaches(p.url));
    return home === undefined ? [{ url: relayURL, roundTrip: 0 }] : [home, ...others];
  }

  /** Returns a function that finds the regions to try beyond these places; undefined if there can be no map. */
  get beyond(): (() => Promise<Place[]>) | undefined {
    return this.camera.relays?.operator && (() => this.#regions());
  }

  /**
   * Returns the regions of the map in the place order, as far as the page can connect to them: none on this machine,
   * unless the pair was made there.
   */
  async #regions(): Promise<Place[]> {
    const { relays } = this.camera;
    if (relays === undefined) return [];
    const ordered = await placeOrder(relays.seed, await this.#reachable());
    return ordered.map(({ name, url }) => ({ name, url, roundTrip: 0 }));
  }

  /** Returns the regions among whose TURN servers there is a choice, with the camera's legs to them. */
  async turnRegions(): Promise<Candidate[]> {
    const legs = this.camera.relays?.turn ?? [];
    if (legs.length < 2) return [];
    const regions = (await this.#reachable()).filter(({ key }) => key !== undefined);
    return regions.flatMap((region) => {
      const leg = legs.find(({ name }) => name === region.name);
      return leg ? [{ region, leg }] : [];
    });
  }

  /** Returns the map's regions to which the page can connect. */
  async #reachable(): Promise<Region[]> {
    const { relays, map, relayURL } = this.camera;
    const opened = relays && map && (await this.#open(map.wire, relays));
    if (opened === undefined) return [];

    // A relay lets its page connect to all regions of its own operator's map.
    const own = opened.regions.some(({ url }) => url === this.page.origin);
    return opened.regions
      .filter(({ url, turn }) => isLocal(relayURL) || !(isLocal(url) || isLocal(`https://${turn}`)))
      .filter(({ url }) => own || this.page.reaches(url));
  }

  /** Takes the list that the camera has just told. */
  async learn(relays: RelayList): Promise<void> {
    this.camera.relays = relays;
    this.keep({ relays });
    await this.refresh();
  }

  /** Fetches the map if it is due. Without it, a camera that has moved takes longer to find; nothing else is lost. */
  async refresh(): Promise<void> {
    const { relays, map } = this.camera;
    if (relays?.operator === undefined || !this.page.reaches(relays.home.url)) return;

    const now = this.page.now();
    if (map?.version === relays.version && Math.abs(now - map.fetched) < maxAge) return;
    if (this.#askedFor === relays.version && Math.abs(now - this.#asked) < retryAfter) return;

    this.#asked = now;
    this.#askedFor = relays.version;
    const wire = await this.#fetch(relays.home.url).catch(() => undefined);
    if (wire !== undefined) await this.#take(wire, relays, now);
  }

  /** Keeps a map that the operator has signed: this one, or the one before if that is newer. */
  async #take(wire: string, relays: RelayList, fetched: number): Promise<void> {
    const [other, kept] = await Promise.all([
      this.#open(wire, relays),
      this.camera.map && this.#open(this.camera.map.wire, relays),
    ]);
    if (other === undefined || this.camera.relays !== relays) return;

    const better = kept === undefined || replaces(other, kept, fetched / 1000);
    const map: KeptMap = { wire: better ? wire : this.camera.map!.wire, version: relays.version, fetched };
    this.camera.map = map;
    this.keep({ map });
  }

  async #open(wire: string, { operator }: RelayList): Promise<RegionMap | undefined> {
    return operator && openMap(wire, operator).catch(() => undefined);
  }

  async #fetch(relay: string): Promise<string> {
    const answer = await this.page.fetch(`${relay}/v1/regions`, {
      cache: 'no-store',
      credentials: 'omit',
      redirect: 'error',
      referrerPolicy: 'no-referrer',
      signal: AbortSignal.timeout(fetchWithin),
    });
    if (!answer.ok || answer.body === null) throw new Error(`fetch map of regions: status ${answer.status}`);

    const parts: Uint8Array[] = [];
    let size = 0;
    const reader = answer.body.getReader();

    for (;;) {
      const { value, done } = await reader.read();
      if (done) return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(concat(...parts));

      size += value.length;
      parts.push(value);
      if (size > maxMap) {
        await reader.cancel();
        throw new Error('fetch map of regions: too long');
      }
    }
  }
}
