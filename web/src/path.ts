/** The way a session's media takes. */
export interface Path {
  kind: 'direct' | 'relay';
  /** One sentence for a person. */
  why: string;
}

interface CandidatePair extends RTCIceCandidatePairStats {
  selected?: boolean; // Firefox
}

/** The path of the selected candidate pair, or undefined while there is none. */
export async function describePath(pc: RTCPeerConnection): Promise<Path | undefined> {
  const stats = new Map<string, RTCStats>();
  (await pc.getStats()).forEach((s: RTCStats) => stats.set(s.id, s));
  const all = [...stats.values()];
  const transport = all.find((s) => s.type === 'transport') as RTCTransportStats | undefined;
  const pairs = all.filter((s) => s.type === 'candidate-pair') as CandidatePair[];
  const pair = pairs.find((p) => p.id === transport?.selectedCandidatePairId) ?? pairs.find((p) => p.selected) ?? pairs.find((p) => p.nominated && p.state === 'succeeded');
  if (!pair) return undefined;
  const candidate = (id: string): { candidateType?: string; address?: string } => (stats.get(id) as { candidateType?: string; address?: string } | undefined) ?? {};
  const ends = [candidate(pair.localCandidateId), candidate(pair.remoteCandidateId)];
  const some = (type: string): boolean => ends.some((c) => c.candidateType === type);
  if (some('relay')) return { kind: 'relay', why: 'No direct way between the two networks has been found so far, so the sealed picture goes through the relay.' };
  if (ends.some((c) => c.candidateType === 'srflx' && !loopback(c.address))) return { kind: 'direct', why: 'Straight between the two networks, through a hole punched in their routers.' };
  // Peer reflexive: seen by the checks alone, nobody said where it is.
  if (some('prflx')) return { kind: 'direct', why: 'Straight from the camera to this device.' };
  return { kind: 'direct', why: 'Both are on one network.' };
}

/** A STUN server on this machine sees the machine's own address. */
const loopback = (address = ''): boolean => address.startsWith('127.') || address === '::1' || address === '[::1]';
