import { equal, fromBase64url, toHex, utf8, type Bytes } from '../bytes';
import { mac, verify } from '../crypto/label';
import { isRelayURL } from '../crypto/pairing';

// An operator's map of regions (doc/protocol.md, section 5.9), as a viewer reads it. A map grants no access, and a
// wrong one wastes time. Go's package signaling/region does the same; its testdata tests both.

/** The most bytes of a signed map, with its line feed. */
export const maxMap = 65_536;

const maxRegions = 256;
const day = 86_400; // seconds
const lastSecond = 253_402_300_799; // of the year 9999, in Unix time

/** One region of an operator: the relays behind one URL. */
export interface Region {
  name: string;
  url: string;
  /** Its TURN server, "host:port". */
  turn: string;
  /** Its STUN server, if TURN's UDP port is not. */
  stun?: string;
  /** Its public key, with which other regions grant access to its TURN server. */
  key?: string;
}

export interface RegionMap {
  /** Unix seconds: the map that was issued last counts. */
  issued: number;
  /** Unix seconds: until when it is valid. */
  notAfter: number;
  regions: Region[];
}

/** Why a map does not open. */
export class MapError extends Error {
  override name = 'MapError';

  /** map: it is none. version: it is of a newer one. operator: the operator's key has not signed it. */
  constructor(readonly why: 'map' | 'version' | 'operator') {
    super(`open map of regions: ${why}`);
  }
}

/** Opens a signed map by its operator's key, whether it has expired or not. Throws MapError. */
export async function openMap(wire: string, operator: Bytes): Promise<RegionMap> {
  const { map, key, signature } = parseSigned(wire);
  if (!equal(key, operator) || !(await verify(operator, 'region map', utf8(map), signature))) {
    throw new MapError('operator');
  }

  return parseMap(map);
}

/** Reports whether `other`, of the same operator, replaces the map that this device has; now is in Unix seconds. */
export function replaces(other: RegionMap, kept: RegionMap, now: number): boolean {
  const ahead = (m: RegionMap): boolean => m.issued > now + day;
  const expired = (m: RegionMap): boolean => m.notAfter < now;
  if (ahead(other) || (expired(other) && !expired(kept))) return false;
  return other.issued > kept.issued || ahead(kept);
}

/** Returns the regions in the order that belongs to a place seed. */
export async function placeOrder<R extends Pick<Region, 'name'>>(seed: Bytes, regions: R[]): Promise<R[]> {
  const ranked = await Promise.all(
    regions.map(async (region) => ({ region, rank: toHex(await mac(seed, 'region order', utf8(region.name))) })),
  );
  return ranked.sort((a, b) => (a.rank < b.rank ? -1 : 1)).map(({ region }) => region);
}

export const isRegionName = (text: string): boolean => /^[a-z0-9-]{1,32}$/.test(text);

function parseSigned(wire: string): { map: string; key: Bytes; signature: Bytes } {
  if (utf8(wire).length > maxMap) throw new MapError('map');

  const { map, key, signature } = parseObject(wire);
  if (typeof map !== 'string' || typeof key !== 'string' || typeof signature !== 'string') throw new MapError('map');
  if (`${JSON.stringify({ map, key, signature })}\n` !== wire) throw new MapError('map');

  return { map, key: decode(key, 32), signature: decode(signature, 64) };
}

/** Parses what is signed. It checks the version first, since another version may have other fields. */
function parseMap(text: string): RegionMap {
  const { v, issued, not_after: notAfter, regions } = parseObject(text);
  if (Number.isInteger(v) && (v as number) > 2) throw new MapError('version');
  if (!isTime(issued) || !isTime(notAfter) || issued >= notAfter || !Array.isArray(regions)) {
    throw new MapError('map');
  }

  const all = regions.map(parseRegion);
  if (v !== (all.some(({ key }) => key !== undefined) ? 2 : 1)) throw new MapError('map'); // keys came with version 2
  if (JSON.stringify({ v, issued, not_after: notAfter, regions: all }) !== text) throw new MapError('map');

  const unique = (of: (r: Region) => string): boolean => new Set(all.map(of)).size === all.length;
  const some = all.length > 0 && all.length <= maxRegions;
  if (!some || !unique((r) => r.name) || !unique((r) => r.url)) throw new MapError('map');
  const keys = all.flatMap(({ key }) => key ?? []);
  if (new Set(keys).size !== keys.length) throw new MapError('map');

  return { issued, notAfter, regions: all };
}

function parseRegion(said: unknown): Region {
  const { name, url, turn, stun, key } = (said ?? {}) as Partial<Record<keyof Region, unknown>>;
  const fits = (is: (text: string) => boolean, x: unknown): x is string => typeof x === 'string' && is(x);
  if (!fits(isRegionName, name) || !fits(isPlaceURL, url) || !fits(isHostPort, turn)) throw new MapError('map');
  if (stun !== undefined && !fits(isHostPort, stun)) throw new MapError('map');
  if (key !== undefined && !fits((text) => decode(text, 32).length > 0, key)) throw new MapError('map');
  return { name, url, turn, ...(stun !== undefined && { stun }), ...(key !== undefined && { key }) };
}

function parseObject(json: string): Record<string, unknown> {
  try {
    return (JSON.parse(json) ?? {}) as Record<string, unknown>;
  } catch {
    throw new MapError('map');
  }
}

const isTime = (x: unknown): x is number => Number.isInteger(x) && (x as number) >= 0 && (x as number) <= lastSecond;

/** Reports whether the input is a relay URL whose host leads somewhere. */
const isPlaceURL = (input: string): boolean =>
  isRelayURL(input) && !['0.0.0.0', '[::]'].includes(new URL(input).hostname);

/** Reports whether the input is a host and a port, the host spelled as in a relay URL. */
function isHostPort(input: string): boolean {
  const [, host, port] = /^(\[[^\]]*\]|[^:]*):([1-9]\d{0,4})$/.exec(input) ?? [];
  return host !== undefined && Number(port) <= 65_535 && isPlaceURL(`https://${host}`);
}

function decode(text: string, size: number): Bytes {
  try {
    const bytes = fromBase64url(text);
    if (bytes.length === size) return bytes;
  } catch {
    // it is not in the one spelling
  }
  throw new MapError('map');
}
