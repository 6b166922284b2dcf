import { handOver, type PendingCode } from './pendingcode';
import type { Camera } from '../viewer/store';

// Which relays the page can connect to. The relay that serves the page allows itself and those that the page's address
// names: /?relay=https://b.example (content security policy, connect-src), and the regions of its operator's map.
// Anybody can write an address, so before anything connects, the page names exactly the relays of its stored cameras,
// each of which a person has added, and drops all others.

const maxRelays = 16; // the server's limit

/** Returns the relays at which cameras are to be found, those that matter most first. */
export function relaysOf(cameras: Camera[]): string[] {
  const homes = cameras.map((c) => c.relays?.home.url ?? c.relayURL);
  const standbys = cameras.flatMap((c) => c.relays?.standby?.url ?? []);
  return [...homes, ...standbys, ...cameras.map((c) => c.relayURL)];
}

const relayOf = (link: string): string => link.slice(0, Math.max(0, link.indexOf('/pair#')));

/**
 * Returns the query with which a page served by own can connect to these relays, or to the first of them if there are
 * too many; empty if own is the only one.
 */
export function queryFor(relays: Iterable<string>, own: string): string {
  const others = [...new Set(relays)]
    .filter((r) => r !== own && r !== '')
    .slice(0, maxRelays)
    .sort();
  return others.length === 0 ? '' : `?${new URLSearchParams(others.map((r) => ['relay', r])).toString()}`;
}

/** Reports whether the page can connect to a relay. */
export const reaches = (relay: string): boolean =>
  relay === location.origin || new URLSearchParams(location.search).getAll('relay').includes(relay);

/**
 * Reopens the page if its address does not name exactly these relays; returns true if it did, and nothing else is to be
 * done. The relay of a code counts once a person has agreed to it.
 */
export function reopen(relays: string[], code: PendingCode | undefined): boolean {
  const query = queryFor(code?.agreed === true ? [...relays, relayOf(code.link)] : relays, location.origin);
  if (location.search === query) return false;
  location.replace(`/${query}${code === undefined ? '' : handOver(code)}`);
  return true;
}

/**
 * Reopens the page to pair by a link to which a person has agreed, so that it can connect to that relay. Returns false
 * if the page already names as many relays as it may.
 */
export function reopenToPair(link: string): boolean {
  const query = queryFor([...new URLSearchParams(location.search).getAll('relay'), relayOf(link)], location.origin);
  if (location.search === query) return false;
  location.replace(`/${query}${handOver({ link, agreed: true })}`);
  return true;
}
