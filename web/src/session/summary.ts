import { reaches, reasonOf, type Explain } from './explain';
import { pathTypes } from './pathtype';

// Sums up an explanation's record in a sentence for a person, as Go's session does.

/** Fills in what follows from the other fields. */
export function conclude(e: Explain): Explain {
  const end = e.selected ? pathTypes.indexOf(e.selected.rung) : pathTypes.length;
  e.why_not = pathTypes.slice(0, end).map((rung) => ({ rung, reason: reasonOf(e, rung) }));
  e.sentence = sentenceOf(e);
  return e;
}

export function sentenceOf(e: Explain): string {
  const there = `the ${otherRole(e)}'s network`;

  switch (e.selected?.rung) {
    case undefined:
      return `not connected: ${unconnected(e, there)}`;
    case 'lan':
      return 'direct: both are on one network';
    case 'ipv6':
      return 'direct over IPv6';
    case 'direct':
      if (e.selected.through === 'hole') return 'direct: through a hole punched in the routers between';
      return e.selected.through === 'nothing'
        ? 'direct: both have public addresses'
        : 'direct: straight from one network to the other';
    case 'relay-tcp':
      return `relayed over TCP: ${relayedFor(e, there)}${through(e)}`;
    case 'relay-tls':
      return `relayed over TLS: ${relayedFor(e, there)}${through(e)}`;
    case 'relay-udp':
      return `relayed: ${relayedFor(e, there)}${through(e)}`;
  }
}

/** Returns the end of a relayed session's sentence, which names the region and both round trips to it. */
function through(e: Explain): string {
  if (e.region === undefined) return '';
  const { name, own_ms: own, other_ms: other, regions: n } = e.region;
  const end = otherRole(e);
  return `; via region ${name}, the best of ${n} (${own} ms from here, ${other} ms from the ${end})`;
}

const otherRole = (e: Explain): string => (e.role === 'camera' ? 'viewer' : 'camera');

/** Returns why there is no direct path over IPv4, or over IPv6 if both ends only have that. */
function relayedFor(e: Explain, there: string): string {
  const { own, other } = e;
  let why = reasonOf(e, 'direct');
  if ((why === 'no_candidate_own' || why === 'no_candidate_other') && reaches(own, 'ipv6') && reaches(other, 'ipv6')) {
    why = reasonOf(e, 'ipv6');
  }

  switch (why) {
    case 'relay_only':
      return hidden(e);
    case 'udp_blocked_own':
      return other.udp === 'blocked' ? 'both networks block UDP' : 'this network blocks UDP';
    case 'udp_blocked_other':
      return `${there} blocks UDP`;
    case 'symmetric_both':
      return 'both networks use symmetric NAT';
    case 'symmetric_own':
      return 'this network uses symmetric NAT';
    case 'symmetric_other':
      return `${there} uses symmetric NAT`;
    case 'no_candidate_own':
    case 'no_candidate_other':
      return apart(e, there);
    case 'no_answer':
      return 'nothing came back on the direct ways that were tried';
    case 'works':
      return 'a direct way has been found and is about to be taken';
    case 'not_yet':
      return 'no direct way between the two networks has been found so far';
  }
}

/** Says who asked to hide behind the relay. */
function hidden(e: Explain): string {
  if (e.role === 'camera') {
    return e.relay_only ? 'the viewer asked to hide its address' : 'this camera hides its address';
  }
  return e.relay_only ? 'you asked to hide your address' : 'the camera hides its address';
}

/** Says why two ends have no address family in common to try. */
function apart({ own, other }: Explain, there: string): string {
  const [own4, own6, other4, other6] = [
    reaches(own, 'direct'),
    reaches(own, 'ipv6'),
    reaches(other, 'direct'),
    reaches(other, 'ipv6'),
  ];
  if (own6 && !own4 && other4 && !other6) return `this network has IPv6 alone, and ${there} IPv4`;
  if (own4 && !own6 && other6 && !other4) return `this network has IPv4 alone, and ${there} IPv6`;
  return `${own4 ? there : 'this network'} gave no address to be reached at`;
}

/** Says what is wrong if there is no path at all. */
function unconnected(e: Explain, there: string): string {
  const { own, other } = e;
  const none = (candidates: Record<string, number>): boolean => Object.keys(candidates).length === 0;
  if (!own.complete) return 'no way has been found so far';
  if (none(own.candidates)) return 'this device has no network';
  if (none(other.candidates)) return `nothing was heard of ${there}`;
  if (e.no_relay) return `the relay is gone, and no direct way to ${there} has been found`;
  if (!reaches(own, 'relay-tls')) return "the relay's TURN server does not answer this device";
  if (!reaches(other, 'relay-tls')) return `the relay's TURN server does not answer the ${otherRole(e)}`;
  return 'no way between the two networks has been found';
}
