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
}

/** The version of the list that a viewer has who has none. */
export const noVersion = 'AAAAAAAAAAA';

const maxRoundTrip = 10_000;

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
    };
  } catch {
    return undefined;
  }
}

function parsePlace(said: unknown, relayURL: string): Place {
  const { name, url, round_trip: roundTrip } = fieldsOf(said);
  if (typeof url !== 'string' || !isRelayURL(url)) throw new TypeError('parse place: url');
  if (isLocal(url) && !isLocal(relayURL)) throw new TypeError('parse place: this machine');
  if (typeof roundTrip !== 'number' || !Number.isInteger(roundTrip) || roundTrip < 0 || roundTrip > maxRoundTrip) {
    throw new TypeError('parse place: round trip');
  }

  if (name === undefined) return { url, roundTrip };
  if (typeof name !== 'string' || !isRegionName(name)) throw new TypeError('parse place: name');
  return { name, url, roundTrip };
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
