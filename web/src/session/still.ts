import { concat, type Bytes } from '../bytes';
import { parseFrame, type Frame } from '../media/frame';
import { FrameError, FrameKey, type FrameSecret } from '../crypto/sframe';

// One picture that travels through signaling (doc/protocol.md, section 6.1), in pieces that are each authenticated by
// themselves:
//
//	+--------+----------------------------------------------+
//	| u8 = 2 | SFrame ciphertext of u16 pieces ‖ piece      |     CTR = the piece's place, from 0
//	+--------+----------------------------------------------+

const pieceType = 2; // an envelope begins with 1, a record with recordVersion
const pieceBytes = 32_000;
/** The longest body: type, longest SFrame header, number of pieces, piece and tag. */
export const maxPiece = 1 + 17 + 2 + pieceBytes + 16;
/** For a picture that travels through signaling alone. */
export const maxPieces = 28;
/** For the first picture of a connection, which must not delay the candidates behind it. */
export const firstPieces = 2;

/** Tells a piece from an envelope and a record by its outside. */
export const mayBePiece = (body: Bytes): boolean => body.length > 1 && body.length <= maxPiece && body[0] === pieceType;

/** Opens the pieces of one picture and puts them together. */
export class Still {
  #pieces: (Bytes | undefined)[] = [];

  private constructor(
    private readonly key: FrameKey,
    private readonly binding: Bytes,
    private readonly limit: number,
  ) {}

  /** maxPieces bounds the number of pieces of the picture. */
  static async create({ kid, baseKey, binding }: FrameSecret, limit: number): Promise<Still> {
    return new Still(await FrameKey.derive(5, kid, baseKey, 'decrypt'), binding, limit);
  }

  /** Returns the frame once it is complete. Throws FrameError, and changes nothing, if body is no new piece of it. */
  async addPiece(body: Bytes): Promise<Frame | undefined> {
    if (!mayBePiece(body)) throw new FrameError('open piece: no piece');

    const { ctr, plaintext } = await this.key.open(body.slice(1), this.binding);
    if (plaintext.length <= 2 || plaintext.length > 2 + pieceBytes) throw new FrameError('open piece: malformed');

    const n = (plaintext[0]! << 8) | plaintext[1]!;
    const known = this.#pieces.length;
    if (n === 0 || n > this.limit || (known > 0 && n !== known) || ctr >= BigInt(n)) {
      throw new FrameError('open piece: of no such picture');
    }

    const place = Number(ctr);
    if (this.#pieces[place]) throw new FrameError('open piece: repeated counter');

    if (known === 0) this.#pieces = new Array<undefined>(n).fill(undefined);
    this.#pieces[place] = plaintext.slice(2);
    const whole = this.#pieces.filter((p) => p !== undefined);
    if (whole.length !== n) return undefined;

    const frame = parseFrame(0n, concat(...whole));
    if (frame.continued || frame.continues) throw new FrameError('open piece: of a large picture');

    return frame;
  }
}
