import { concat, type Bytes } from './bytes';
import { parseFrame, type Frame } from './frame';
import { FrameError, FrameKey } from './sframe';
import type { FrameSecret } from './track';

// One picture that travels through signaling (doc/protocol.md, section 6.1), in pieces that are each authenticated by themselves:
//
//	+--------+----------------------------------------------+
//	| u8 = 2 | SFrame ciphertext of u16 pieces ‖ piece      |     CTR = the piece's place, from 0
//	+--------+----------------------------------------------+

const pieceType = 2; // records begin with 1
const pieceBytes = 32_000;
const maxPieces = 28;

/** Tells a piece from an envelope and a record, by its outside. */
export const mayBePiece = (body: Bytes): boolean => body.length > 1 && body[0] === pieceType;

/** Opens the pieces of one picture and puts them together. */
export class Still {
  #pieces: (Bytes | undefined)[] = [];

  private constructor(
    private readonly key: FrameKey,
    private readonly binding: Bytes,
  ) {}

  static async create({ kid, baseKey, binding }: FrameSecret): Promise<Still> {
    return new Still(await FrameKey.derive(5, kid, baseKey, 'decrypt'), binding);
  }

  /** Gives the frame when it is whole. Throws FrameError on what is no new piece of it; that changes nothing. */
  async add(body: Bytes): Promise<Frame | undefined> {
    if (!mayBePiece(body)) throw new FrameError('open piece: no piece');
    const { ctr, plaintext } = await this.key.open(body.slice(1), this.binding);
    if (plaintext.length <= 2 || plaintext.length > 2 + pieceBytes) throw new FrameError('open piece: malformed');
    const n = (plaintext[0]! << 8) | plaintext[1]!;
    const known = this.#pieces.length;
    if (n === 0 || n > maxPieces || (known > 0 && n !== known) || ctr >= BigInt(n)) throw new FrameError('open piece: of no such picture');
    const place = Number(ctr);
    if (this.#pieces[place]) throw new FrameError('open piece: repeated counter');
    if (known === 0) this.#pieces = new Array<undefined>(n).fill(undefined);
    this.#pieces[place] = plaintext.slice(2);
    const whole = this.#pieces.filter((p) => p !== undefined);
    return whole.length === n ? parseFrame(0n, concat(...whole)) : undefined;
  }
}
