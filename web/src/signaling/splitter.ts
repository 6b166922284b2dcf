import { Reader, type Bytes } from '../bytes';
import { maxFrame } from './carrier';

/**
 * Splits a stream of bytes into frames, each of which follows its length (u32). A length of 0 is a ping, or the answer
 * to one, and no frame. It keeps at most one unfinished frame, of maxFrame bytes.
 */
export class Splitter {
  readonly #length = new Uint8Array(4);
  #frame: Bytes | undefined; // undefined: a length comes next
  #have = 0; // bytes of the frame, or of the length

  /** Takes the next bytes of the stream, and yields the frames that they complete. Throws on a length over maxFrame. */
  *split(chunk: Uint8Array): Generator<Bytes, void> {
    for (let at = 0; at < chunk.length;) {
      const into = this.#frame ?? this.#length;
      const piece = chunk.subarray(at, at + into.length - this.#have);
      into.set(piece, this.#have);
      this.#have += piece.length;
      at += piece.length;
      if (this.#have < into.length) return;

      this.#have = 0;
      const frame = this.#frame;
      this.#frame = frame === undefined ? this.#next() : undefined;
      if (frame !== undefined) yield frame;
    }
  }

  /** Returns the room for the frame whose length has arrived. */
  #next(): Bytes | undefined {
    const length = new Reader(this.#length).u32();
    if (length > maxFrame) throw new RangeError('split stream: a frame too long');
    return length > 0 ? new Uint8Array(length) : undefined;
  }
}
