import { parseAddress, isLoopback } from './address';
import type { Way } from './rung';

// What an end knows of its own network and tells the other (doc/protocol.md, section 6.3): no address.

const mappings = ['unknown', 'none', 'endpoint-independent', 'address-dependent', 'address-and-port-dependent'] as const;
const udps = ['unknown', 'open', 'blocked'] as const;
const ways = ['', 'udp', 'tcp', 'tls'] as const;

export interface Network {
  /** Of the NAT in front of it (RFC 4787, section 4.1). */
  mapping: (typeof mappings)[number];
  /** Whether UDP gets out. */
  udp: (typeof udps)[number];
  /** Its way to the relay: the one in use, else the best. */
  relay: Way;
}

const known = <T extends string>(all: readonly T[], said: unknown): T => all.find((x) => x === said) ?? all[0]!;

/** What the other end says, without what this version does not know. */
export function plausible(said: unknown): Network | undefined {
  if (typeof said !== 'object' || said === null) return undefined;
  const { mapping, udp, relay } = said as Partial<Record<keyof Network, unknown>>;
  return { mapping: known(mappings, mapping), udp: known(udps, udp), relay: known(ways, relay) };
}

/** A record's network: an empty way is left out. */
export const told = ({ mapping, udp, relay }: Network): object => ({ mapping, udp, ...(relay === '' ? {} : { relay }) });

/** One of this end's candidates, as the browser spells it (RFC 8839, section 5.1). */
export interface Gathered {
  type: string;
  tcp: boolean;
  address: string;
  port: number;
  /** The address that a server mapped: "host:port", or empty where the browser hides it. */
  base: string;
}

/** Undefined for what is none, and for one of RTCP's own sockets, which Firefox opens and nobody uses. */
export function parseCandidate(line: string): Gathered | undefined {
  const m = /^(?:a=)?candidate:\S+ 1 (\S+) \d+ (\S+) (\d+) typ (\S+)(?: raddr (\S+) rport (\d+))?/.exec(line);
  if (m === null) return undefined;
  const [, transport, address, port, type, raddr, rport] = m;
  const hidden = raddr === undefined || rport === '0' || /^(0\.0\.0\.0|::)$/.test(raddr);
  return { type: type!, tcp: /tcp/i.test(transport!), address: address!, port: Number(port), base: hidden ? '' : `${raddr}:${rport}` };
}

/**
 * How the NAT in front of this device maps one socket, from the server reflexive candidates that the browser made by asking the relay's UDP
 * ports: two addresses of one socket are a mapping that depends on the destination. A browser leaves out a mapping that it has already, and one that
 * is the socket's own address. servers is how many ports were asked; what they did not answer stays unknown.
 */
export function mappingOf(all: Gathered[], servers: number, complete: boolean, relayOverUDP: boolean): Network['mapping'] {
  const hosts = all.filter((c) => c.type === 'host' && !c.tcp && parseAddress(c.address)?.length !== 16);
  const mapped = all.filter((c) => c.type === 'srflx' && !c.tcp && parseAddress(c.address)?.length === 4);
  const [some] = mapped;
  if (some === undefined) return complete && relayOverUDP && hosts.length > 0 ? 'none' : 'unknown';
  // Where the browser hides sockets, two mappings are of one only if there is no more than one.
  const sockets = new Map<string, Set<string>>();
  for (const c of mapped) {
    const base = c.base !== '' || hosts.length > 1 ? c.base : 'the only one';
    if (base !== '') sockets.set(base, (sockets.get(base) ?? new Set()).add(`${c.address}:${c.port}`));
  }
  if ([...sockets.values()].some((to) => to.size > 1)) return 'address-and-port-dependent';
  if (mapped.every((c) => isLoopback(parseAddress(c.address)!) || hosts.some((h) => h.address === c.address && h.port === c.port))) return 'none';
  return complete && servers > 1 && sockets.size > 0 ? 'endpoint-independent' : 'unknown';
}
