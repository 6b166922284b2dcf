import type { Network } from './network';
import { ladder, relayed, type Rung, type Through, type Way } from './rung';
import { sentenceOf } from './sentence';

// Why a session's media takes the path it takes, and why not a better one (doc/protocol.md, section 6.3): the same record as the Go
// packages make, held to the same cases (session/testdata/explain.json).

/** What is known of one end and its network. */
export interface End extends Network {
  /** How many, by type and address family: "host4", "srflx4", "relay4"; "host" is a name. */
  candidates: Record<string, number>;
  /** No more are to come. */
  complete: boolean;
}

/** What became of the connectivity checks of one kind of candidate pair. */
export interface Checks {
  rung: Rung;
  /** Own kind and the other end's: "host4 srflx4". */
  pair: string;
  pairs: number;
  sent: number;
  /** The other end's requests. */
  received: number;
  /** Requests of ours. */
  answered: number;
  succeeded: number;
  /** The least of the pairs that succeeded. */
  rtt_ms: number;
}

export interface Selected {
  rung: Rung;
  own: string;
  other: string;
  /** Of rung "direct". */
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
  /** Since the session's start. */
  age_ms: number;
  checks: Checks[];
  /** null: no path yet. */
  selected: Selected | null;
  /** In the order in which they came; at_ms since the session's start. */
  rungs: { rung: Rung; at_ms: number }[];
  /** The rungs better than the selected one, best first. */
  why_not: { rung: Rung; reason: Reason }[];
  /** The camera asked to hide its own. */
  camera_relay_only: boolean;
  /** Left out unless the person at this device asks. */
  addresses?: { own: string[]; other: string[]; path: string[] };
}

export type Reason =
  | 'relay_only' // one end asked to hide its address
  | 'udp_blocked_own' // this end's network lets no UDP out
  | 'udp_blocked_other'
  | 'works' // it answers: the media is about to move, or another was nominated first
  | 'no_candidate_own' // this end has no candidate of that kind
  | 'no_candidate_other'
  | 'symmetric_both' // both NATs map by destination: neither end knows where to send
  | 'symmetric_own' // this end's does, and the other's lets in only what it has sent to
  | 'symmetric_other'
  | 'no_answer' // checks were sent and nothing came back
  | 'not_yet'; // candidates or checks are still under way

/**
 * It is a silence when nothing has come back of so many checks a pair, more than a second's. An end that leaves the choice to the other
 * (RFC 8445, section 7.1) stops earlier, when it has a path: after that age of the session.
 */
export const enoughChecks = 4;
const enoughAge = 5_000;

/** Fills in what follows from the rest. */
export function conclude(e: Explain): Explain {
  const end = e.selected ? ladder.indexOf(e.selected.rung) : ladder.length;
  e.why_not = ladder.slice(0, end).map((rung) => ({ rung, reason: reasonOf(e, rung) }));
  e.sentence = sentenceOf(e);
  return e;
}

/** Why a rung did not come, the surest cause first. */
export function reasonOf(e: Explain, r: Rung): Reason {
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
  if (!relayed(r) && own.complete && other.complete && pairs === 0) return 'no_candidate_other'; // of what it has, nothing can be tried from here
  if (!quiet) return 'not_yet';
  if (symmetric.own) return 'symmetric_own';
  return symmetric.other ? 'symmetric_other' : 'no_answer';
}

/** Whether what one destination sees of an end's NAT is of no use to another. */
const symmetricNAT = (d: End): boolean => d.mapping === 'address-dependent' || d.mapping === 'address-and-port-dependent';

const kinds = {
  lan: ['host4', 'host6', 'host', 'prflx4', 'prflx6', 'prflx'],
  ipv6: ['host6', 'srflx6', 'prflx6', 'host', 'prflx'],
  direct: ['host4', 'srflx4', 'prflx4', 'host', 'prflx'],
  relay: ['relay4', 'relay6', 'relay'],
} as const;
const waysTo: Partial<Record<Rung, Way[]>> = { 'relay-udp': ['', 'udp'], 'relay-tcp': ['', 'udp', 'tcp'] };

/** Whether an end has a candidate that could make a rung. Peer reflexive ones were made by checks. */
export function reaches(d: End, r: Rung): boolean {
  const wanted: readonly string[] = r === 'lan' || r === 'ipv6' || r === 'direct' ? kinds[r] : kinds.relay;
  return wanted.some((k) => (d.candidates[k] ?? 0) > 0) && (waysTo[r]?.includes(d.relay ?? '') ?? true);
}
