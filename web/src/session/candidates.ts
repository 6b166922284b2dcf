import { parseAddress } from './address';
import { parseCandidate } from './network';

// The camera's candidates, whether they come in its description or in records. The same limits apply to both.

/** The longest session description, in characters. */
export const maxSDP = 24 << 10;
/** Video and the data channel: a session has no use for a third media section. */
export const maxMedia = 2;

/**
 * How many candidates of each type and address family to check. ICE over TCP gets none: where UDP is blocked, the relay
 * works.
 */
const maxOfType: ReadonlyMap<string, number> = new Map([
  ['host', 4],
  ['srflx', 6],
  ['relay', 16],
]);

/**
 * Counts one end's candidates, so that many of one kind cannot crowd out another: above all the relayed ones, which
 * work everywhere.
 */
export class Quota {
  readonly #counts = new Map<string, number>();

  /** Counts a candidate, and reports whether it is within the limit of its kind. */
  admit(line: string): boolean {
    const c = parseCandidate(line);
    if (c === undefined || c.tcp) return false;

    const ip = parseAddress(c.address);
    // This is no address of a relay (section 5.3).
    if (c.type === 'relay' && !(ip?.length === 4 && ip[0] === 198 && (ip[1] === 18 || ip[1] === 19))) return false;

    const kind = `${c.type}${ip?.length ?? ''}`;
    const count = (this.#counts.get(kind) ?? 0) + 1;
    this.#counts.set(kind, count);
    return count <= (maxOfType.get(c.type) ?? 0);
  }
}

/** Takes the candidates out of a description, and the end-of-candidates marks too, since they follow one by one. */
export function splitCandidates(sdp: string): { sdp: string; candidates: RTCIceCandidateInit[] } {
  const kept: string[] = [];
  const candidates: RTCIceCandidateInit[] = [];
  let section = -1;
  for (const line of sdp.split(/\r\n|\n|\r/)) {
    if (line.startsWith('m=')) section++;
    const candidate = /^\s*a=\s*(candidate:.*)$/i.exec(line)?.[1];
    if (candidate !== undefined) candidates.push({ candidate, sdpMLineIndex: Math.max(section, 0) });
    else if (!/^\s*a=\s*end-of-candidates\s*$/i.test(line)) kept.push(line);
  }

  return { sdp: kept.join('\r\n'), candidates };
}

/** Gives a connection the camera's description and candidates, and counts every candidate. */
export class Candidates {
  readonly #taken = new Quota();

  constructor(private readonly pc: Pick<RTCPeerConnection, 'setRemoteDescription' | 'addIceCandidate'>) {}

  /** Rejects a description that is too long or has too many sections. */
  async setDescription(type: RTCSdpType, text: string): Promise<void> {
    const { sdp, candidates } = splitCandidates(text);
    const sections = sdp.split('\n').filter((line) => line.startsWith('m=')).length;
    if (text.length > maxSDP || sections > maxMedia) throw new Error('read description: malformed');
    await this.pc.setRemoteDescription({ type, sdp });
    for (const c of candidates) await this.addCandidate(c);
  }

  /** A candidate that cannot be used is no error: ICE goes on with the others. */
  async addCandidate(candidate: RTCIceCandidateInit): Promise<void> {
    if (!this.#taken.admit(candidate.candidate ?? '')) return;
    await this.pc.addIceCandidate(candidate).catch(() => undefined);
  }
}
