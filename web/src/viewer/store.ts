import { equal, type Bytes } from '../bytes';
import type { Pair } from '../crypto/envelope';
import type { Reading } from '../crypto/expiry';
import { Bundle, Identity, viewer, type StoredIdentity } from '../crypto/identity';
import type { RelayList } from '../signaling/relaylist';

// What the page stores in IndexedDB: this browser's identity and the cameras it is paired with. None of it leaves the
// browser.

/** The map of regions that opened last. */
export interface KeptMap {
  /** As the relay serves it. */
  wire: string;
  /** The version of the relay list for which it was fetched. */
  version: string;
  /** When it was fetched, in Unix milliseconds. */
  fetched: number;
}

/** A paired camera. */
export interface Camera {
  /** The camera's fingerprint. */
  id: string;
  name: string;
  relayURL: string;
  /** Unix milliseconds. */
  pairedAt: number;
  /**
   * The person wants to watch it whenever the page opens. Absent if nobody was asked, as in older versions of the page.
   */
  watch?: boolean;
  bundle: Bytes;
  secret: Bytes;
  mailboxSecret: Bytes;
  /** Where it said last that it is to be found; absent if it never did. */
  relays?: RelayList;
  /** Where its operator's relays are. */
  map?: KeptMap;
}

/** What its sessions teach about a camera. */
export type Learned = Pick<Camera, 'relays' | 'map'>;

/** Something could not be stored; why, in words for a person. */
export class StorageError extends Error {
  override name = 'StorageError';
}

const full = 'This browser is out of storage space. Free some, such as by deleting other sites’ data, and try again.';
const refused =
  'This browser did not save the page’s data. Allow site data, or leave the private window, and try again.';

const storageError = (e: unknown): StorageError =>
  new StorageError((e as { name?: unknown } | null)?.name === 'QuotaExceededError' ? full : refused, { cause: e });

const result = <T,>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(storageError(request.error));
  });

/** Returns a reading as it was stored, or zeros if it is none. */
export function readingOf(kept: unknown): Reading {
  const { at, least } = (kept ?? {}) as Partial<Reading>;
  return Number.isFinite(at) && Number.isFinite(least) ? { at: at!, least: least! } : { at: 0, least: 0 };
}

/**
 * Waits until a transaction is on disk: a browser that has run out of space accepts what is put and fails at the
 * commit.
 */
const committed = (t: IDBTransaction): Promise<void> =>
  new Promise((resolve, reject) => {
    t.oncomplete = () => resolve();
    t.onabort = () => reject(storageError(t.error));
  });

/** More bytes than a camera takes. */
const room = 8 << 10;

export class Store {
  private constructor(private readonly db: IDBDatabase) {}

  /** Throws StorageError, as does every method that writes. */
  static async open(): Promise<Store> {
    const request = indexedDB.open('peephole', 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore('identity');
      request.result.createObjectStore('cameras', { keyPath: 'id' });
    };

    const store = new Store(await result(request));
    await store.#rename();
    return store;
  }

  /**
   * Once, keys were the first 8 bytes of a fingerprint. Gives each such camera its whole fingerprint, in one
   * transaction.
   */
  async #rename(): Promise<void> {
    const ids = new Map<string, string>();
    for (const c of await this.cameras()) {
      const id = await Bundle.parse(c.bundle).then(
        (b) => b.id,
        () => c.id,
      ); // leave a damaged one as it is
      if (id !== c.id) ids.set(c.id, id);
    }

    if (ids.size === 0) return;

    const cameras = this.#on('cameras', 'readwrite');
    for (const [short, id] of ids) {
      const [c, kept] = (await Promise.all([result(cameras.get(short)), result(cameras.get(id))])) as (
        Camera | undefined
      )[];
      if (c === undefined) continue; // another tab was quicker
      if (kept === undefined || kept.pairedAt < c.pairedAt) cameras.put({ ...c, id });
      cameras.delete(short);
    }

    await committed(cameras.transaction);
  }

  /**
   * Returns this browser's identity, which the first call makes. Two tabs that start at once end up with the same one.
   */
  async identity(): Promise<Identity> {
    const kept = (await result(this.#on('identity', 'readonly').get('self'))) as StoredIdentity | undefined;
    if (kept) return Identity.load(kept);

    const made = await Identity.generate();
    const store = this.#on('identity', 'readwrite'); // one transaction: look again, then write
    const other = (await result(store.get('self'))) as StoredIdentity | undefined;
    if (!other) {
      store.put(made, 'self');
      await committed(store.transaction);
    }

    void navigator.storage?.persist?.(); // asks the browser not to evict it when space is short
    return Identity.load(other ?? made);
  }

  /**
   * When this device's clock was last believed (crypto/expiry.ts). It is stored beside the identity, since it too
   * belongs to the device alone.
   */
  async clock(): Promise<Reading> {
    return readingOf(await result(this.#on('identity', 'readonly').get('clock')));
  }

  async keepClock(r: Reading): Promise<Reading> {
    const store = this.#on('identity', 'readwrite'); // one transaction, so that no tab undoes what another has stored
    const there = readingOf(await result(store.get('clock')));
    if (there.at >= r.at) return there;
    store.put(r, 'clock');
    await committed(store.transaction);
    return r;
  }

  async cameras(): Promise<Camera[]> {
    const all = (await result(this.#on('cameras', 'readonly').getAll())) as Camera[];
    return all.sort((a, b) => a.pairedAt - b.pairedAt);
  }

  async put(c: Camera): Promise<void> {
    const cameras = this.#on('cameras', 'readwrite');
    cameras.put(c);
    await committed(cameras.transaction);
  }

  /** Finds out whether there is room for another camera, and leaves nothing behind. */
  async checkRoom(): Promise<void> {
    const store = this.#on('identity', 'readwrite');
    store.put(new Uint8Array(room), 'room');
    await committed(store.transaction);
    const again = this.#on('identity', 'readwrite');
    again.delete('room');
    await committed(again.transaction);
  }

  /** Changes what a person chose about a stored camera, in one transaction, since another tab may pair it anew. */
  async choose(id: string, chosen: Partial<Pick<Camera, 'name' | 'watch'>>): Promise<void> {
    const cameras = this.#on('cameras', 'readwrite');
    const kept = (await result(cameras.get(id))) as Camera | undefined;
    if (!kept) return;
    cameras.put({ ...kept, ...chosen });
    await committed(cameras.transaction);
  }

  /** Keeps what a camera's sessions have taught, unless another tab has removed it or paired it anew. */
  async learn({ id, secret }: Camera, learned: Learned): Promise<void> {
    const cameras = this.#on('cameras', 'readwrite'); // one transaction, as in choose
    const kept = (await result(cameras.get(id))) as Camera | undefined;
    if (!kept || !equal(kept.secret, secret)) return;
    cameras.put({ ...kept, ...learned });
    await committed(cameras.transaction);
  }

  async remove(id: string): Promise<void> {
    const cameras = this.#on('cameras', 'readwrite');
    cameras.delete(id);
    await committed(cameras.transaction);
  }

  #on = (name: string, mode: IDBTransactionMode): IDBObjectStore =>
    this.db.transaction(name, mode, { durability: 'strict' }).objectStore(name);
}

export const pairOf = async (self: Identity, c: Camera): Promise<Pair> => ({
  role: viewer,
  self,
  peer: await Bundle.parse(c.bundle),
  secret: c.secret,
  mailboxSecret: c.mailboxSecret,
});
