import type { Network } from './network';
import { relayed, type PathType, type Through, type Way } from './pathtype';

// Why a session's media takes its path, and why not a better one (doc/protocol.md, section 6.3): the same record as in
// Go, tested by the same cases (session/path/testdata/explain.json).

/** What is known about one end and its network. */
export interface End extends Network {
  /**
   * Counts by type and address family: "host4", "srflx4", "relay4". A "host" without a family has a name for an
   * address.
   */
  candidates: Record<string, number>;
  /** No more candidates will follow. */
  complete: boolean;
}

/** The outcome of the connectivity checks of one kind of candidate pair. */
export interface Checks {
  rung: PathType;
  /** Kind of the own and the other candidate: "host4 srflx4". */
  pair: string;
  pairs: number;
  sent: number;
  /** Requests from the other end. */
  received: number;
  /** Own requests that were answered. */
  answered: number;
  succeeded: number;
  /** The shortest of the pairs that succeeded. */
  rtt_ms: number;
}

export interface Selected {
  rung: PathType;
  own: string;
  other: string;
  /** Only for a "direct" path. */
  through: Through;
  rtt_ms: number;
}

export interface Explain {
  sentence: string;
  role: 'viewer' | 'camera';
  /** The viewer asked to hide its address. */
  relay_only: boolean;
  own: End;
  other: End;
  /** Since the start of the session. */
  age_ms: number;
  checks: Checks[];
  /** null: no path yet. */
  selected: Selected | null;
  /** In order of appearance; at_ms since the start of the session. */
  rungs: { rung: PathType; at_ms: number }[];
  /** The path types better than the selected one, best first. */
  why_not: { rung: PathType; reason: Reason }[];
  /** The region whose relay carries relayed media, chosen from so many; absent if there was no choice. */
  region?: { name: string; own_ms: number; other_ms: number; regions: number };
  /** The camera asked to hide its address. */
  camera_relay_only: boolean;
  no_relay?: boolean; // the session was agreed on without the relay
  /** Left out unless the person at this device asks for them. */
  addresses?: { own: string[]; other: string[]; path: string[] };
}

export type Reason =
  | 'relay_only' // one end asked to hide its address
  | 'udp_blocked_own' // this end's network blocks UDP
  | 'udp_blocked_other'
  | 'works' // it answers: media is about to move there, or another pair was nominated first
  | 'no_candidate_own' // this end has no candidate of that kind
  | 'no_candidate_other'
  | 'symmetric_both' // both NATs map by destination, so neither end knows where to send
  | 'symmetric_own' // this end's NAT does, and the other's admits only replies
  | 'symmetric_other'
  | 'no_answer' // checks were sent and nothing came back
  | 'not_yet'; // candidates or checks are still under way

/**
 * A pair is silent if nothing has come back after this many checks, which take more than a second. An end that leaves
 * the nomination to the other (RFC 8445, section 7.1) stops checking once it has a path, so there the session's age
 * counts.
 */
export const enoughChecks = 4;
const enoughAge = 5_000;

/** Returns why a path type was not reached, the surest cause first. */
export function reasonOf(e: Explain, r: PathType): Reason {
  const { own, other } = e;
  const checks = e.checks.filter((c) => c.rung === r);
  const sum = (n: (c: Checks) => number): number => checks.reduce((s, c) => s + n(c), 0);
  const pairs = sum((c) => c.pairs);
  const sent = sum((c) => c.sent);
  const quiet = pairs > 0 && (sent >= enoughChecks * pairs || (sent > 0 && e.age_ms >= enoughAge));
  const overUDP = r === 'direct' || r === 'relay-udp';
  const symmetric = { own: r === 'direct' && symmetricNAT(own), other: r === 'direct' && symmetricNAT(other) };
  if ((e.relay_only || e.camera_relay_only) && !relayed(r)) return 'relay_only';
  if (own.udp === 'blocked' && overUDP) return 'udp_blocked_own';
  if (other.udp === 'blocked' && overUDP) return 'udp_blocked_other';
  if (sum((c) => c.answered) > 0) return 'works';
  if (own.complete && !reaches(own, r)) return 'no_candidate_own';
  if (other.complete && !reaches(other, r)) return 'no_candidate_other';
  if (symmetric.own && symmetric.other) return 'symmetric_both';

  // None of its candidates can be tried from here.
  if (!relayed(r) && own.complete && other.complete && pairs === 0) return 'no_candidate_other';
  if (!quiet) return 'not_yet';
  if (symmetric.own) return 'symmetric_own';

  return symmetric.other ? 'symmetric_other' : 'no_answer';
}

/** Reports whether the mapping that one destination sees of an end's NAT is useless to another. */
const symmetricNAT = (d: End): boolean =>
  d.mapping === 'address-dependent' || d.mapping === 'address-and-port-dependent';

const kinds = {
  lan: ['host4', 'host6', 'host', 'prflx4', 'prflx6', 'prflx'],
  ipv6: ['host6', 'srflx6', 'prflx6', 'host', 'prflx'],
  direct: ['host4', 'srflx4', 'prflx4', 'host', 'prflx'],
  relay: ['relay4', 'relay6', 'relay'],
} as const;
const waysTo: Partial<Record<PathType, Way[]>> = { 'relay-udp': ['', 'udp'], 'relay-tcp': ['', 'udp', 'tcp'] };

/**
 * Reports whether an end has a candidate that could make this path type. Checks themselves found the peer reflexive
 * ones.
 */
export function reaches(d: End, r: PathType): boolean {
  const wanted: readonly string[] = r === 'lan' || r === 'ipv6' || r === 'direct' ? kinds[r] : kinds.relay;
  return wanted.some((k) => (d.candidates[k] ?? 0) > 0) && (waysTo[r]?.includes(d.relay ?? '') ?? true);
}
