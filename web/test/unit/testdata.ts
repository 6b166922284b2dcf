import { readFileSync } from 'node:fs';
import type { Bytes } from '../../src/bytes';

/**
 * Reads a JSON file of the repository, by its path from the root. Integers beyond 2^53 come as strings. npm runs
 * scripts in web/.
 */
export function readJSON<T>(path: string): T {
  return JSON.parse(readFileSync(`../${path}`, 'utf8').replace(/(?<=[:[,]\s*)\d{16,}(?=\s*[,\]}])/g, '"$&"')) as T;
}

export const hex = (s: string): Bytes => Uint8Array.from(Buffer.from(s, 'hex'));
