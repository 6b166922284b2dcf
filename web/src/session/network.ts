import { parseAddress, isLoopback } from './address';
import type { Way } from './pathtype';

// What an end knows about its own network and tells the other (doc/protocol.md, section 6.3). It contains no address.

const mappings = [
  'unknown',
  'none',
  'endpoint-independent',
  'address-dependent',
  'address-and-port-dependent',
] as const;
const udps = ['unknown', 'open', 'blocked'] as const;
const ways = ['', 'udp', 'tcp', 'tls'] as const;

export interface Network {
  /** The mapping behavior of the NAT in front of it (RFC 4787, section 4.1). */
  mapping: (typeof mappings)[number];
  /** Whether UDP gets out. */
  udp: (typeof udps)[number];
  /** How it reaches the relay: the way in use, otherwise the best one. */
  relay: Way;
}

const known = <T extends string>(all: readonly T[], said: unknown): T => all.find((x) => x === said) ?? all[0]!;

/** Reads what the other end says, without values that this version does not know. */
export function parseNetwork(said: unknown): Network | undefined {
  if (typeof said !== 'object' || said === null) return undefined;
  const { mapping, udp, relay } = said as Partial<Record<keyof Network, unknown>>;
  return { mapping: known(mappings, mapping), udp: known(udps, udp), relay: known(ways, relay) };
}

/** Returns a network as a record states it, which leaves out an empty way. */
export const networkRecord = ({ mapping, udp, relay }: Network): object => ({
  mapping,
  udp,
  ...(relay === '' ? {} : { relay }),
});

/** One of this end's candidates, as the browser spells it (RFC 8839, section 5.1). */
export interface Gathered {
  type: string;
  tcp: boolean;
  address: string;
  port: number;
  /** The address that was mapped, "host:port"; empty if the browser hides it. */
  base: string;
}

/** Returns undefined if the line is no candidate, or one of an RTCP socket, which Firefox opens and nobody uses. */
export function parseCandidate(line: string): Gathered | undefined {
  const m = /^(?:a=)?candidate:\S+ 1 (\S+) \d+ (\S+) (\d+) typ (\S+)(?: raddr (\S+) rport (\d+))?/.exec(line);
  if (m === null) return undefined;

  const [, transport, address, port, type, raddr, rport] = m;
  const hidden = raddr === undefined || rport === '0' || /^(0\.0\.0\.0|::)$/.test(raddr);
  return {
    type: type!,
    tcp: /tcp/i.test(transport!),
    address: address!,
    port: Number(port),
    base: hidden ? '' : `${raddr}:${rport}`,
  };
}

/**
 * Returns how the NAT in front of this device maps a socket, from the server reflexive candidates that the browser got
 * by asking the relay's UDP ports. Two addresses for one socket mean a mapping that depends on the destination. A
 * browser omits a mapping that it has already, or that equals the socket's own address. servers is the number of ports
 * asked; what they did not answer stays unknown.
 */
export function mappingOf(
  all: Gathered[],
  servers: number,
  complete: boolean,
  relayOverUDP: boolean,
): Network['mapping'] {
  const hosts = all.filter((c) => c.type === 'host' && !c.tcp && parseAddress(c.address)?.length !== 16);
  const mapped = all.filter((c) => c.type === 'srflx' && !c.tcp && parseAddress(c.address)?.length === 4);
  const [some] = mapped;
  if (some === undefined) return complete && relayOverUDP && hosts.length > 0 ? 'none' : 'unknown';

  // If the browser hides sockets, two mappings surely belong to one socket only when there is just one.
  const sockets = new Map<string, Set<string>>();
  for (const c of mapped) {
    const base = c.base !== '' || hosts.length > 1 ? c.base : 'the only one';
    if (base !== '') sockets.set(base, (sockets.get(base) ?? new Set()).add(`${c.address}:${c.port}`));
  }

  if ([...sockets.values()].some((to) => to.size > 1)) return 'address-and-port-dependent';

  const isOwn = (c: Gathered): boolean => hosts.some((h) => h.address === c.address && h.port === c.port);
  if (mapped.every((c) => isLoopback(parseAddress(c.address)!) || isOwn(c))) return 'none';

  return complete && servers > 1 && sockets.size > 0 ? 'endpoint-independent' : 'unknown';
}
