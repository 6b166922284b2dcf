import { fromBase64url, type Bytes } from '../bytes';
import { isLocal, isRelayURL } from '../crypto/pairing';
import { isRegionName } from './region';

// Where a camera is to be found, as it tells its viewers (doc/protocol.md, section 5.10).

/** A relay at which a camera may be. */
export interface Place {
  /** The name of its region, if the camera knows one. */
  name?: string;
  url: string;
  /** The camera's round trip to it in milliseconds, 0 if unknown. */
  roundTrip: number;
}

export interface RelayList {
  /** 8 bytes in base64url, without a meaning. */
  version: string;
  home: Place;
  standby?: Place;
  /** Of the order in which regions are tried, 16 bytes. */
  seed: Bytes;
  /** The key that opens the operator's maps, if the camera knows it. */
  operator?: Bytes;
  /** The camera's legs to the TURN servers of regions, if there is a choice. */
  turn?: Leg[];
}

/** The round trip between an end and a region's TURN server. */
export interface Leg {
  /** The region's. */
  name: string;
  /** In milliseconds, from 1 to 10,000. */
  roundTrip: number;
}

/** The version of the list that a viewer has who has none. */
export const noVersion = 'AAAAAAAAAAA';

export const maxRoundTrip = 10_000;
/** The most regions whose TURN servers an end measures. */
export const maxLegs = 5;

/** Reads a list of the camera that was paired at relayURL. Returns undefined if it is malformed. */
export function parseRelayList(said: unknown, relayURL: string): RelayList | undefined {
  try {
    const list = fieldsOf(said);
    const home = parsePlace(list['home'], relayURL);
    const standby = list['standby'] === undefined ? {} : { standby: parsePlace(list['standby'], relayURL) };
    if (home.url === standby.standby?.url) return undefined;

    decode(list['version'], 8);
    return {
      version: list['version'] as string,
      home,
      ...standby,
      seed: decode(list['seed'], 16),
      ...(list['operator'] === undefined ? {} : { operator: decode(list['operator'], 32) }),
      ...(list['turn'] === undefined ? {} : { turn: parseLegs(list['turn']) }),
    };
  } catch {
    return undefined;
  }
}

function parsePlace(said: unknown, relayURL: string): Place {
  const { name, url, round_trip: roundTrip } = fieldsOf(said);
  if (typeof url !== 'string' || !isRelayURL(url)) throw new TypeError('parse place: url');
  if (isLocal(url) && !isLocal(relayURL)) throw new TypeError('parse place: this machine');
  if (!isRoundTrip(roundTrip)) throw new TypeError('parse place: round trip');

  if (name === undefined) return { url, roundTrip };
  if (typeof name !== 'string' || !isRegionName(name)) throw new TypeError('parse place: name');
  return { name, url, roundTrip };
}

const isRoundTrip = (x: unknown): x is number =>
  Number.isInteger(x) && (x as number) >= 0 && (x as number) <= maxRoundTrip;

function parseLegs(said: unknown): Leg[] {
  if (!Array.isArray(said) || said.length > maxLegs) throw new TypeError('parse legs');
  return said.map((leg) => {
    const { name, round_trip: roundTrip } = fieldsOf(leg);
    if (typeof name !== 'string' || !isRegionName(name)) throw new TypeError('parse leg: name');
    if (!isRoundTrip(roundTrip) || roundTrip === 0) throw new TypeError('parse leg: round trip');
    return { name, roundTrip };
  });
}

function fieldsOf(said: unknown): Record<string, unknown> {
  if (typeof said !== 'object' || said === null) throw new TypeError('parse relay list: no object');
  return said as Record<string, unknown>;
}

function decode(said: unknown, size: number): Bytes {
  if (typeof said !== 'string') throw new TypeError('parse relay list: no text');
  const bytes = fromBase64url(said);
  if (bytes.length !== size) throw new TypeError('parse relay list: size');
  return bytes;
}
