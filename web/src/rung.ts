import { isLocal, isLoopback, isPublic, parseAddress, same, within, type Address } from './address';

// The ways a session's media can take, as far as their quality goes, and which one a pair of candidates is (doc/protocol.md, section 6.3).

/** Best first. A relayed one is named by the worse of both ends' ways to the relay. */
export const ladder = ['lan', 'ipv6', 'direct', 'relay-udp', 'relay-tcp', 'relay-tls'] as const;
export type Rung = (typeof ladder)[number];

export type Way = '' | 'udp' | 'tcp' | 'tls';

export const relayed = (r: Rung): boolean => r.startsWith('relay-');

/** What an explanation looks at in a candidate, of either end. */
export interface Candidate {
  type: string;
  tcp: boolean;
  address: string;
  port: number;
  /** Of a relay candidate of this end: the way to the relay. */
  way: Way;
}

const ipOf = (c: Candidate): Address | undefined => parseAddress(c.address);

/** The candidate's type and address family, "host4", and nothing that tells whose it is. */
export function kindOf(c: Candidate): string {
  const ip = ipOf(c);
  return `${c.type}${c.tcp ? '-tcp' : ''}${ip === undefined ? '' : ip.length === 4 ? '4' : '6'}`;
}

/** Undefined for a pair that cannot work, of a relayed address and one outside the relay. ours are this end's candidates. */
export function rungOf(local: Candidate, remote: Candidate, ours: Candidate[]): Rung | undefined {
  if (local.type === 'relay' && remote.type === 'relay') return over('relay-udp', local.way);
  if (local.type === 'relay' || remote.type === 'relay') return undefined;
  if (oneNetwork(local, remote, ours)) return 'lan';
  return ipOf(local)?.length === 16 || ipOf(remote)?.length === 16 ? 'ipv6' : 'direct';
}

/** The relayed rung whose worst way to the relay is way or the rung's own. */
export function over(r: Rung, way: Way): Rung {
  if (way === 'tls' || r === 'relay-tls') return 'relay-tls';
  return way === 'tcp' || r === 'relay-tcp' ? 'relay-tcp' : 'relay-udp';
}

/** Whether nothing but a LAN, or this machine, is between two candidates. */
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
 * What is between two ends that are not on one network. A candidate that a server or the checks found is an address that a router gave,
 * unless its end has that address itself.
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
