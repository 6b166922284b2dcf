import type { Bytes } from './bytes';
import type { Pair } from './envelope';
import { Bundle, Identity, viewer, type StoredIdentity } from './identity';

// What the page keeps, in IndexedDB: this browser's identity and the cameras it is paired with. Nothing of it leaves the browser.

/** A paired camera. */
export interface Camera {
  /** The camera's short fingerprint. */
  id: string;
  name: string;
  relayURL: string;
  /** Unix milliseconds. */
  pairedAt: number;
  bundle: Bytes;
  secret: Bytes;
  mailboxSecret: Bytes;
}

const result = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error('storage failed'));
  });

export class Store {
  private constructor(private readonly db: IDBDatabase) {}

  static async open(): Promise<Store> {
    const request = indexedDB.open('peephole', 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore('identity');
      request.result.createObjectStore('cameras', { keyPath: 'id' });
    };
    return new Store(await result(request));
  }

  /** This browser's identity; made at the first call. Two tabs that start at once end up with one. */
  async identity(): Promise<Identity> {
    const kept = (await result(this.#on('identity', 'readonly').get('self'))) as StoredIdentity | undefined;
    if (kept) return Identity.load(kept);
    const made = await Identity.generate();
    const store = this.#on('identity', 'readwrite'); // one transaction: look again, then write
    const other = (await result(store.get('self'))) as StoredIdentity | undefined;
    if (!other) await result(store.put(made, 'self'));
    void navigator.storage?.persist?.(); // so that the browser does not clear it when space is short
    return Identity.load(other ?? made);
  }

  async cameras(): Promise<Camera[]> {
    const all = (await result(this.#on('cameras', 'readonly').getAll())) as Camera[];
    return all.sort((a, b) => a.pairedAt - b.pairedAt);
  }

  put = async (c: Camera): Promise<void> => void (await result(this.#on('cameras', 'readwrite').put(c)));

  remove = async (id: string): Promise<void> => void (await result(this.#on('cameras', 'readwrite').delete(id)));

  #on = (name: string, mode: IDBTransactionMode): IDBObjectStore => this.db.transaction(name, mode, { durability: 'strict' }).objectStore(name);
}

export const pairOf = async (self: Identity, c: Camera): Promise<Pair> => ({
  role: viewer, self, peer: await Bundle.parse(c.bundle), secret: c.secret, mailboxSecret: c.mailboxSecret,
});
