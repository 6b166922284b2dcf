import { random, toBase64url, utf8, type Bytes } from '../bytes';
import { sealEnvelope, Type, type Pair } from '../crypto/envelope';
import { KEMKey } from '../crypto/hpke';
import type { Mailbox } from '../crypto/mailbox';
import type { Carrier } from '../media/carrier';
import type { Granted } from '../signaling/turnregions';
import type { Offered } from './agreement';
import { splitCandidates } from './candidates';
import type { SessionOptions } from './options';

// The viewer's offer (doc/protocol.md, section 6).

/** How long an offer is good and the relay keeps it, in seconds. */
export const offerLife = 60;

/** What an offer says besides what the person chose. */
export interface OfferContent {
  /** The session's id, 16 bytes. */
  id: Bytes;
  /** This end's session description. Its candidates are left out, since they follow one by one. */
  sdp: string;
  /** Best first. */
  carriers: Carrier[];
  challenge: Bytes;
  servers: Granted;
}

/** Seals an offer to the camera for a mailbox that leads there. */
export async function sealOffer(
  pair: Pair,
  box: Mailbox,
  content: OfferContent,
  options: SessionOptions,
): Promise<Offered> {
  const { id, sdp, carriers, challenge, servers } = content;
  const { grant, way } = servers;
  const { key: kem } = await KEMKey.generate();
  const viewerRandom = random(32);

  const body = {
    first: true,
    watch: toBase64url(options.watch),
    relay_only: options.relayOnly,
    sdp: splitCandidates(sdp).sdp,
    kem: toBase64url(kem.publicKey),
    random: toBase64url(viewerRandom),
    carriers,
    challenge: toBase64url(challenge),
    relays: options.listVersion,
    turn: { urls: grant.urls, ...grant.camera, ...(way && { region: way }) },
    agent: 'peephole web',
    ...(options.nonce === undefined ? {} : { nonce: options.nonce }),
  };

  const sent = options.clock.now();
  const sealed = await sealEnvelope(pair, box, {
    session: id,
    seq: 0n,
    type: Type.offer,
    sent,
    expiry: sent + offerLife * 1000,
    body: utf8(JSON.stringify(body)),
  });

  return {
    id,
    wire: sealed.wire,
    sessionExport: sealed.sessionExport,
    kem,
    viewerRandom,
  };
}
