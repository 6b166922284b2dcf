import { isLocal, isLoopback, isPublic, parseAddress, same, within, type Address } from './address';

// The types of path that a session's media can take, by quality, and which one a pair of candidates is
// (doc/protocol.md, section 6.3).

/** Best first. A relayed path is named after the worse of the two ends' ways to the relay. */
export const pathTypes = ['lan', 'ipv6', 'direct', 'relay-udp', 'relay-tcp', 'relay-tls'] as const;
export type PathType = (typeof pathTypes)[number];

export type Way = '' | 'udp' | 'tcp' | 'tls';

export const relayed = (r: PathType): boolean => r.startsWith('relay-');

/** The parts of a candidate, of either end, that an explanation uses. */
export interface Candidate {
  type: string;
  tcp: boolean;
  address: string;
  port: number;
  /** How this end's relay candidate reaches the relay. */
  way: Way;
}

const ipOf = (c: Candidate): Address | undefined => parseAddress(c.address);

/** Returns the candidate's type and address family, such as "host4", which does not reveal whose it is. */
export function kindOf(c: Candidate): string {
  const ip = ipOf(c);
  return `${c.type}${c.tcp ? '-tcp' : ''}${ip === undefined ? '' : ip.length === 4 ? '4' : '6'}`;
}

/**
 * Returns undefined for a pair that cannot work: a relayed address with one outside the relay. ours are this end's
 * candidates.
 */
export function pathTypeOf(local: Candidate, remote: Candidate, ours: Candidate[]): PathType | undefined {
  if (local.type === 'relay' && remote.type === 'relay') return over('relay-udp', local.way);
  if (local.type === 'relay' || remote.type === 'relay') return undefined;
  if (oneNetwork(local, remote, ours)) return 'lan';
  return ipOf(local)?.length === 16 || ipOf(remote)?.length === 16 ? 'ipv6' : 'direct';
}

/** Returns the relayed path type for the worse of way and the type's own way to the relay. */
export function over(r: PathType, way: Way): PathType {
  if (way === 'tls' || r === 'relay-tls') return 'relay-tls';
  return way === 'tcp' || r === 'relay-tcp' ? 'relay-tcp' : 'relay-udp';
}

/** Reports whether only a LAN, or this machine, lies between two candidates. */
function oneNetwork(local: Candidate, remote: Candidate, ours: Candidate[]): boolean {
  const [a, b] = [ipOf(local), ipOf(remote)];
  if (b === undefined) return remote.type === 'host'; // a name that only the LAN resolves
  if ((a && isLoopback(a)) || isLoopback(b) || isLocal(b)) return true;
  const near = b.length === 4 ? 32 : 64;
  return [...ours, local].some((c) => c.type === 'host' && within(ipOf(c) ?? [], b, near));
}

/** What a direct path over IPv4 goes through. */
export type Through = '' | 'hole' | 'nothing' | 'unknown';

/**
 * Returns what lies between two ends that are not on one network. A candidate that a server or the checks discovered
 * has an address that a router assigned, unless its end has that address itself.
 */
export function throughOf(local: Candidate, remote: Candidate, ours: Candidate[], theirs: Candidate[]): Through {
  const given = (c: Candidate, all: Candidate[]): boolean => {
    const ip = ipOf(c);
    return c.type !== 'host' && !all.some((o) => o.type === 'host' && ip && same(ip, ipOf(o) ?? []));
  };

  const [a, b] = [ipOf(local), ipOf(remote)];
  if (given(local, ours) || given(remote, theirs) || (a && !isPublic(a))) return 'hole';
  return a && b && isPublic(b) ? 'nothing' : 'unknown';
}
