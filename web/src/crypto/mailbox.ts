import { concat, Reader, u32, u8, type Bytes } from '../bytes';
import { hash, kdf, none, signingKeyFromSeed, type SigningKey } from './label';

// Mailboxes (doc/protocol.md, section 5.1): two Ed25519 keys, and a name that is a hash of both.

export const toCamera = 1;
export const toViewer = 2;
export type Direction = typeof toCamera | typeof toViewer;

const pairScope = 1;
const sessionScope = 2;
const pairingScope = 3;

export interface Mailbox {
  name: Bytes;
  read: SigningKey;
  write: SigningKey;
  direction: Direction;
  /** 1 pair, 2 session, 3 pairing. */
  purpose: number;
  /** The day of a pair's mailbox, otherwise 0. */
  epoch: number;
  /** The session of a session's mailbox, otherwise empty. */
  session: Bytes;
}

async function derive(secret: Bytes, purpose: number, direction: Direction, rest: Bytes): Promise<Mailbox> {
  const scope = concat(u8(purpose), u8(direction), rest);
  const [read, write] = await Promise.all([
    kdf(none, secret, 'mailbox read', scope, 32).then(signingKeyFromSeed),
    kdf(none, secret, 'mailbox write', scope, 32).then(signingKeyFromSeed),
  ]);

  return {
    name: await hash('mailbox name', read.publicKey, write.publicKey),
    read,
    write,
    direction,
    purpose,
    epoch: 0,
    session: none,
  };
}

export const pairMailbox = async (secret: Bytes, direction: Direction, day: number): Promise<Mailbox> => ({
  ...(await derive(secret, pairScope, direction, u32(day))),
  epoch: day,
});

export const sessionMailbox = async (secret: Bytes, direction: Direction, session: Bytes): Promise<Mailbox> => ({
  ...(await derive(secret, sessionScope, direction, session)),
  session,
});

/** A mailbox of a pairing: direction 1 leads to the displayer, 2 to the scanner. */
export const rendezvous = (r: Bytes, direction: Direction): Promise<Mailbox> =>
  derive(r, pairingScope, direction, none);

/** Returns the pair's day at a time in Unix seconds. */
export async function dayOf(secret: Bytes, unix: number): Promise<number> {
  const offset = new Reader(await kdf(none, secret, 'mailbox day offset', none, 4)).u32() % 86400;
  return Math.floor((Math.max(0, Math.floor(unix)) + offset) / 86400);
}
