import list from '../../../crypto/words/words.txt';
import { utf8, type Bytes } from '../bytes';
import { hash } from './label';
import type { Code } from './pairing';

// Words that people compare (doc/protocol.md, section 3.4), from the list that the Go programs use too.

const words = list.trim().split('\n');
const wordBits = 11;
/** Three words identify a code or a device but prove nothing: an attacker can find a key with the same words. */
const nameWords = 3;

/** Spells the first n × 11 bits of b, most significant first, as n words. Throws RangeError if b is too short. */
export function wordsFrom(b: Uint8Array, n: number): string[] {
  if (b.length * 8 < n * wordBits) throw new RangeError(`spell ${n} words: only ${b.length} bytes`);

  return Array.from({ length: n }, (_, i) => {
    let number = 0;
    for (let bit = i * wordBits; bit < (i + 1) * wordBits; bit++) {
      number = (number << 1) | ((b[bit >> 3]! >> (7 - (bit & 7))) & 1);
    }
    return words[number]!;
  });
}

/**
 * Returns the words that a displayer shows beside its code, from its fingerprint and the relay URL, never the secret.
 */
export const codeWords = async (c: Pick<Code, 'fingerprint' | 'relayURL'>): Promise<string[]> =>
  wordsFrom(await hash('code words', c.fingerprint, utf8(c.relayURL)), nameWords);

/** Returns the words by which the other end of a pairing calls a device. */
export const deviceWords = async (fingerprint: Bytes): Promise<string[]> =>
  wordsFrom(await hash('device words', fingerprint), nameWords);
