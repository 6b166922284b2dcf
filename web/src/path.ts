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
  const type = (id: string): string => (stats.get(id) as { candidateType?: string } | undefined)?.candidateType ?? '';
  const [local, remote] = [type(pair.localCandidateId), type(pair.remoteCandidateId)];
  if (local === 'relay' || remote === 'relay') return { kind: 'relay', why: 'No direct way between the two networks has been found so far, so the sealed picture goes through the relay.' };
  if (local === 'host' && (remote === 'host' || remote === 'prflx')) return { kind: 'direct', why: 'Both are on one network.' };
  return { kind: 'direct', why: 'Straight between the two networks, through a hole punched in their routers.' };
}
