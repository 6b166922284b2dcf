import type { Grant } from './signaling';

// What the browser's ICE agent is told, and what of it is sent.

/** What a session may do to find a path. relayOnly: the camera and its network learn no address of this device but the relay's. */
export function configuration(grant: Grant, relayOnly: boolean): RTCConfiguration {
  const relays = { urls: grant.urls.filter((u) => !u.startsWith('stun:')), ...grant.viewer };
  const stun = stunServers(grant);
  // max-bundle, or Firefox allocates for video and data apart
  if (relayOnly) return { iceServers: [relays], bundlePolicy: 'max-bundle', iceTransportPolicy: 'relay' }; // and asks nobody but by TURN
  return { iceServers: [relays, ...(stun.length > 0 ? [{ urls: stun }] : [])], bundlePolicy: 'max-bundle' };
}

/** The relay's UDP ports that say how a NAT maps this device. */
export function stunServers(grant: Grant): string[] {
  const overUDP = grant.urls.filter((u) => u.startsWith('stun:') || (u.startsWith('turn:') && !u.endsWith('=tcp')));
  return overUDP.map((u) => u.replace(/^turn:/, 'stun:').replace(/\?.*$/, ''));
}

/**
 * A candidate as the other end gets it; an empty one ends them, and undefined is not sent. A relayed candidate's related address is this
 * device's own and of no use to the other: one that says nothing stands in its place (RFC 8839, section 5.1). Where either end hides its
 * address, relayed candidates alone are sent, whatever the browser gathered.
 */
export function outgoing(candidate: string, relayOnly: boolean): string | undefined {
  const relay = /^candidate:\S+ \d+ \S+ \d+ \S+ \d+ typ relay( |$)/.test(candidate);
  if (candidate !== '' && relayOnly && !relay) return undefined;
  return relay ? candidate.replace(/ raddr \S+ rport \d+/, ' raddr 0.0.0.0 rport 9') : candidate;
}

/** The same for a description, which should hold no candidate when it is sent: they follow one by one. */
export const withoutCandidates = (sdp: string): string => sdp.replace(/^a=(candidate:.*|end-of-candidates)\r?\n/gm, '');
