import { addressesOf, fill, readIceStats, wayInUse, type IceStats } from './icestats';
import type { End, Explain } from './explain';
import { mappingOf, parseCandidate, parseNetwork, type Gathered, type Network } from './network';
import { relayed, type Candidate } from './pathtype';
import type { Way } from '../signaling/turnregions';
import { conclude } from './summary';

/**
 * For how long, in milliseconds, a session inspects its path every second. By then everything that was tried has worked
 * or never will.
 */
const settling = 30_000;
/** How often it inspects its path afterwards. */
const lookEvery = 10_000;
/** The limit on recorded changes of the path, for one that never settles. */
const maxRungs = 16;
const maxKnown = 128; // candidates of each end

export interface ExplainerEvents {
  /** Tells the other end about this end's network; returns false while it would not be heard. */
  tell(n: Network): boolean;
  changed(e: Explain, addresses: NonNullable<Explain['addresses']>): void;
}

/** Keeps what the page knows about a session's path, and reports changes. */
export class Explainer {
  readonly #start = performance.now();
  readonly #own: Gathered[] = [];
  readonly #ours = new Map<string, Candidate>();
  readonly #theirs = new Map<string, Candidate>();
  readonly #known: Explain;
  #pc: RTCPeerConnection | undefined;
  #servers = 0;
  #looking = false;
  #again = false;
  #looked = 0;
  #sent = '';
  #told = '';

  constructor(
    relayOnly: boolean,
    private readonly events: ExplainerEvents,
  ) {
    const end = (): End => ({
      candidates: {},
      complete: false,
      mapping: 'unknown',
      udp: 'unknown',
      relay: '',
    });

    this.#known = {
      sentence: '',
      role: 'viewer',
      relay_only: relayOnly,
      own: end(),
      other: end(),
      age_ms: 0,
      checks: [],
      selected: null,
      rungs: [],
      why_not: [],
      camera_relay_only: false,
    };
  }

  /** servers is the number of UDP ports that the browser asks for this device's mapped address. */
  follow(pc: RTCPeerConnection, servers: number): void {
    this.#pc = pc;
    this.#servers = servers;
    const ice = pc.sctp?.transport.iceTransport; // Firefox has the transport but not the event
    ice?.addEventListener('selectedcandidatepairchange', () => this.inspect());
  }

  /** Notes the region through which relayed media goes, and why. */
  region(way: Way | undefined): void {
    if (way === undefined) return;
    const { name, viewer, camera, regions } = way;
    this.#known.region = { name, own_ms: viewer, other_ms: camera, regions };
  }

  /** The camera's answer says that it reveals no address of its own. */
  cameraHides(): void {
    this.#known.camera_relay_only = true;
  }

  /** Notes one of this end's candidates; an empty line ends them. */
  gathered(line: string): void {
    const c = parseCandidate(line);
    if (c) this.#own.push(c);
    if (line !== '') return;
    this.#known.own.complete = true;
    this.inspect();
  }

  /** Notes one of the other end's candidates; an empty line ends them. */
  candidate(line: string): void {
    if (line !== '') return;
    this.#known.other.complete = true;
    this.inspect();
  }

  /** Takes what the other end says about its network. */
  receiveNetwork(said: unknown): void {
    const n = parseNetwork(said);
    if (n === undefined) return;
    Object.assign(this.#known.other, n);
    this.inspect();
  }

  /** Inspects the path again: often at first, and now and then later. */
  tick(): void {
    const now = performance.now();
    if (now - this.#start < settling || now - this.#looked >= lookEvery) this.inspect();
  }

  inspect(): void {
    const pc = this.#pc;
    if (pc === undefined || pc.connectionState === 'closed') return;

    this.#again = this.#looking;
    if (this.#looking) return;

    this.#looking = true;
    this.#looked = performance.now();

    void readIceStats(pc)
      .then(
        (s) => this.update(s),
        () => undefined,
      ) // the connection may close meanwhile
      .then(() => {
        this.#looking = false;
        if (this.#again) this.inspect();
      });
  }

  /** Explains what the browser's statistics say, and reports what is new. */
  update(s: IceStats): void {
    const e = this.#known;
    s.ours = remember(this.#ours, s.ours);
    s.theirs = remember(this.#theirs, s.theirs);
    fill(e, s);
    e.age_ms = round(performance.now() - this.#start);
    const { own, selected } = e;
    const mapped = mappingOf(this.#own, this.#servers, own.complete, own.relay === 'udp');
    if (!e.relay_only && !e.camera_relay_only) own.mapping = mapped;
    if (own.relay === 'udp' || this.#own.some((c) => c.type === 'srflx')) own.udp = 'open';
    else if (own.complete && own.relay !== '') own.udp = 'blocked';
    if (selected && e.rungs.at(-1)?.rung !== selected.rung && e.rungs.length < maxRungs) {
      e.rungs.push({ rung: selected.rung, at_ms: round(performance.now() - this.#start) });
    }

    conclude(e);
    const way = selected && relayed(selected.rung) ? wayInUse(s) || own.relay : own.relay;
    this.#tell({ mapping: own.mapping, udp: own.udp, relay: way });
    const news = JSON.stringify({ ...e, age_ms: 0 });
    if (news === this.#told) return;

    this.#told = news;
    this.events.changed(structuredClone(e), addressesOf(s));
  }

  #tell(n: Network): void {
    const news = JSON.stringify(n);
    if (news !== this.#sent && this.events.tell(n)) this.#sent = news;
  }
}

/** Rounds to a hundredth of a millisecond. */
const round = (ms: number): number => Math.round(100 * ms) / 100;

/** Keeps candidates that Chromium drops from its statistics once it no longer needs them. */
function remember(known: Map<string, Candidate>, now: Map<string, Candidate>): Map<string, Candidate> {
  for (const [id, c] of now) if (known.size < maxKnown || known.has(id)) known.set(id, c);
  return new Map([...known, ...now]);
}
