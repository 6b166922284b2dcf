import { enoughChecks, type Checks, type Explain } from './explain';
import { kindOf, pathTypes, over, relayed, pathTypeOf, throughOf, type Candidate, type Way } from './pathtype';

// What a browser's statistics say about candidates and their pairs, by kind. Everything that Chromium and Firefox name
// differently is handled here.

export interface PairStats {
  local: string;
  remote: string;
  succeeded: boolean;
  sent: number;
  received: number;
  answered: number;
  /** Seconds. */
  rtt: number;
}

export interface IceStats {
  /** By id. */
  ours: Map<string, Candidate>;
  theirs: Map<string, Candidate>;
  pairs: PairStats[];
  selected: PairStats | undefined;
}

/** A member of a stats report, with values of any type: browsers leave out what they do not know. */
export type Stat = { id: string; type: string } & Record<string, unknown>;

const text = (x: unknown): string => (typeof x === 'string' ? x : '');
const number = (x: unknown): number => (typeof x === 'number' && Number.isFinite(x) ? x : 0);

export async function readIceStats(pc: RTCPeerConnection): Promise<IceStats> {
  const all: Stat[] = [];
  (await pc.getStats()).forEach((s: Stat) => all.push(s));
  return parseIceStats(all);
}

export function parseIceStats(all: Stat[]): IceStats {
  const s: IceStats = { ours: new Map(), theirs: new Map(), pairs: [], selected: undefined };
  const transport = all.find((x) => x.type === 'transport');
  let rank = 0;
  for (const x of all) {
    if (x.type === 'local-candidate') s.ours.set(x.id, candidate(x));
    if (x.type === 'remote-candidate') s.theirs.set(x.id, candidate(x));
    if (x.type !== 'candidate-pair') continue;

    const p = pair(x);
    s.pairs.push(p);

    const isTransports = x.id === transport?.['selectedCandidatePairId'];
    const chosen = rankOf(x, isTransports, p.succeeded);
    if (chosen > rank) [rank, s.selected] = [chosen, p];
  }

  return s;
}

/** Ranks how surely a pair is the selected one; browsers say so in three ways, and 0 means that it is not. */
function rankOf(x: Stat, isTransports: boolean, succeeded: boolean): number {
  if (isTransports) return 3;
  if (x['selected'] === true) return 2;
  return x['nominated'] === true && succeeded ? 1 : 0;
}

function candidate(x: Stat): Candidate {
  const way = text(x['relayProtocol']) || (/^turns:/.test(text(x['url'])) ? 'tls' : '');
  return {
    type: text(x['candidateType']),
    tcp: x['protocol'] === 'tcp',
    address: text(x['address']),
    port: number(x['port']),
    way: (['udp', 'tcp', 'tls'] as Way[]).find((w) => w === way) ?? '',
  };
}

function pair(x: Stat): PairStats {
  const succeeded = x['state'] === 'succeeded';
  const answered = number(x['responsesReceived']);
  // Firefox does not count requests. It gives up on a pair after seven (RFC 8489, section 6.2.1).
  const guessed = x['state'] === 'failed' ? enoughChecks : x['state'] === 'in-progress' ? 1 : answered;
  return {
    local: text(x['localCandidateId']),
    remote: text(x['remoteCandidateId']),
    succeeded,
    answered,
    received: number(x['requestsReceived']),
    sent: x['requestsSent'] === undefined ? guessed : number(x['requestsSent']),
    rtt: number(x['currentRoundTripTime']),
  };
}

/** Fills an explanation with what the statistics say. */
export function fill(e: Explain, s: IceStats): void {
  const [ours, theirs] = [[...s.ours.values()], [...s.theirs.values()]];
  e.own.candidates = count(ours);
  e.other.candidates = count(theirs);
  e.own.relay = bestWay(ours);
  e.checks = checksOf(s, ours);
  const [local, remote] = [s.ours.get(s.selected?.local ?? ''), s.theirs.get(s.selected?.remote ?? '')];
  const rung = local && remote && pathTypeOf(local, remote, ours);
  if (!s.selected || !rung) return; // between two pairs: keep the last one

  e.selected = {
    rung: relayed(rung) ? over(rung, e.other.relay) : rung,
    own: kindOf(local),
    other: kindOf(remote),
    through: rung === 'direct' ? throughOf(local, remote, ours, theirs) : '',
    rtt_ms: milliseconds(s.selected.rtt),
  };
}

/** Returns how the selected pair goes to the relay, or an empty string. */
export const wayInUse = (s: IceStats): Way => s.ours.get(s.selected?.local ?? '')?.way ?? '';

function checksOf(s: IceStats, ours: Candidate[]): Checks[] {
  const sums = new Map<string, Checks>();
  for (const p of s.pairs) {
    const [local, remote] = [s.ours.get(p.local), s.theirs.get(p.remote)];
    const rung = local && remote && pathTypeOf(local, remote, ours);
    if (!rung) continue;

    const kinds = `${kindOf(local)} ${kindOf(remote)}`;
    const sum = sums.get(rung + kinds) ?? {
      rung,
      pair: kinds,
      pairs: 0,
      sent: 0,
      received: 0,
      answered: 0,
      succeeded: 0,
      rtt_ms: 0,
    };

    sums.set(rung + kinds, sum);
    sum.pairs++;
    sum.sent += p.sent;
    sum.received += p.received;
    sum.answered += p.answered;
    if (!p.succeeded) continue;

    sum.succeeded++;
    const rtt = milliseconds(p.rtt);
    if (sum.rtt_ms === 0 || (rtt > 0 && rtt < sum.rtt_ms)) sum.rtt_ms = rtt;
  }

  const order = (a: Checks, b: Checks): number =>
    pathTypes.indexOf(a.rung) - pathTypes.indexOf(b.rung) || (a.pair < b.pair ? -1 : 1);
  return [...sums.values()].sort(order);
}

/** Returns the addresses, which fill leaves out. */
export function addressesOf(s: IceStats): NonNullable<Explain['addresses']> {
  const list = (all: (Candidate | undefined)[]): string[] =>
    all.flatMap((c) => (c ? [`${kindOf(c)} ${c.address || '(hidden by the browser)'}:${c.port}`] : [])).sort();
  const path = [...list([s.ours.get(s.selected?.local ?? '')]), ...list([s.theirs.get(s.selected?.remote ?? '')])];
  return { own: list([...s.ours.values()]), other: list([...s.theirs.values()]), path };
}

function count(all: Candidate[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const kind of all.map(kindOf).sort()) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

/** Returns the best way in which an end's relay candidates reach the relay. */
const bestWay = (all: Candidate[]): Way =>
  (['udp', 'tcp', 'tls'] as const).find((w) => all.some((c) => c.way === w)) ?? '';

/** Converts seconds, rounded to a hundredth of a millisecond: more would be noise. */
const milliseconds = (seconds: number): number => Math.round(seconds * 1e5) / 100;
