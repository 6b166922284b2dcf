import type { Grant } from '../signaling/client';

// How the browser's ICE agent is configured, and which of its candidates are sent.

/**
 * Returns what a session may use to find a path. relayOnly: the camera and its network learn no address but the
 * relay's, and this device asks no server except by TURN.
 */
export function configuration(grant: Grant, relayOnly: boolean): RTCConfiguration {
  const relays = { urls: grant.urls.filter((u) => !u.startsWith('stun:')), ...grant.viewer };
  const stun = stunServers(grant);
  // Without max-bundle, Firefox allocates for video and data separately.
  if (relayOnly) return { iceServers: [relays], bundlePolicy: 'max-bundle', iceTransportPolicy: 'relay' };
  return { iceServers: [relays, ...(stun.length > 0 ? [{ urls: stun }] : [])], bundlePolicy: 'max-bundle' };
}

/** Returns the relay's UDP ports that reveal how a NAT maps this device. */
export function stunServers(grant: Grant): string[] {
  const overUDP = grant.urls.filter((u) => u.startsWith('stun:') || (u.startsWith('turn:') && !u.endsWith('=tcp')));
  return overUDP.map((u) => u.replace(/^turn:/, 'stun:').replace(/\?.*$/, ''));
}

/**
 * Returns a candidate as it is sent to the other end; undefined if it is not sent. An empty one ends the candidates.
 * The related address of a relayed candidate is this device's own and useless to the other end, so a placeholder is
 * sent instead (RFC 8839, section 5.1). If either end hides its address, only relayed candidates are sent, whatever the
 * browser gathered.
 */
export function outgoing(candidate: string, relayOnly: boolean): string | undefined {
  const relay = /^candidate:\S+ \d+ \S+ \d+ \S+ \d+ typ relay( |$)/.test(candidate);
  if (candidate !== '' && relayOnly && !relay) return undefined;
  return relay ? candidate.replace(/ raddr \S+ rport \d+/, ' raddr 0.0.0.0 rport 9') : candidate;
}
