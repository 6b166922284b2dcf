import 'fake-indexeddb/auto';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { concat, random, toBase64url, u8, type Bytes } from '../../src/bytes';
import { KEMKey } from '../../src/crypto/hpke';
import { Bundle } from '../../src/crypto/identity';
import { signingKeyFromSeed } from '../../src/crypto/label';
import type { RelayList } from '../../src/signaling/relaylist';
import { StorageError, Store, type Camera } from '../../src/viewer/store';

async function bundleOf(): Promise<Bundle> {
  const { key } = await KEMKey.generate();
  return Bundle.parse(concat(u8(1), (await signingKeyFromSeed(random(32))).publicKey, key.publicKey));
}

const camera = (id: string, bundle: Bytes, pairedAt: number): Camera => ({
  id,
  name: 'porch',
  relayURL: 'https://relay.example',
  pairedAt,
  bundle,
  secret: random(32),
  mailboxSecret: random(32),
});

/** Cameras as they were stored when their key was the beginning of a fingerprint, each set in a browser of its own. */
async function shortNamed(count: number): Promise<Camera[]> {
  globalThis.indexedDB = new IDBFactory();
  const store = await Store.open();
  const cameras: Camera[] = [];

  for (let n = 0; n < count; n++) {
    const bundle = await bundleOf();
    cameras.push(camera(toBase64url(bundle.fingerprint.slice(0, 8)), bundle.bytes, n));
    await store.put(cameras[n]!);
  }

  return cameras;
}

const renamed = (cameras: Camera[]): Promise<Camera[]> =>
  Promise.all(cameras.map(async (c) => ({ ...c, id: (await Bundle.parse(c.bundle)).id })));

test('cameras get their whole fingerprint as their key, and lose nothing', async () => {
  const before = await shortNamed(3);
  for (let start = 0; start < 2; start++) {
    assert.deepEqual(await (await Store.open()).cameras(), await renamed(before));
  }
});

test('two tabs that start at once rename every camera once', async () => {
  const before = await shortNamed(3);
  const tabs = await Promise.all([Store.open(), Store.open()]);
  for (const tab of tabs) assert.deepEqual(await tab.cameras(), await renamed(before));
});

test('a rename that is interrupted leaves every camera as it was', async () => {
  const before = await shortNamed(3);
  const remove = IDBObjectStore.prototype.delete;
  let left = 2;
  IDBObjectStore.prototype.delete = function (key) {
    if (--left === 0) this.transaction.abort(); // as a killed browser does
    return remove.call(this, key);
  };

  await assert.rejects(Store.open());
  IDBObjectStore.prototype.delete = remove;

  const kept = await (await Store.open()).cameras();
  assert.deepEqual(kept, await renamed(before)); // at the next start
});

test('the newer of two pairs with one camera is kept', async () => {
  const [old] = await shortNamed(1);
  const store = await Store.open();
  const newer = camera(old!.id, old!.bundle, old!.pairedAt + 1); // by an older page, in another tab
  await store.put(newer);
  assert.deepEqual(await (await Store.open()).cameras(), await renamed([newer]));
  await store.put(old!);
  assert.deepEqual(await (await Store.open()).cameras(), await renamed([newer]));
});

test('a camera whose bundle is damaged stays as it is', async () => {
  const before = await shortNamed(1);
  const damaged = camera('short', random(7), 9);
  await (await Store.open()).put(damaged);
  assert.deepEqual(await (await Store.open()).cameras(), [...(await renamed(before)), damaged]);
});

/** A browser that accepts what is put and fails at the commit, as one without space does, until it has space again. */
function withoutRoom(name: string): () => void {
  const put = IDBObjectStore.prototype.put;
  IDBObjectStore.prototype.put = function (this: IDBObjectStore, ...args: Parameters<typeof put>) {
    const request = put.apply(this, args);
    request.addEventListener('success', () => {
      Object.defineProperty(this.transaction, 'error', { value: new DOMException('no', name) });
      this.transaction.abort();
    });
    return request;
  };

  return () => (IDBObjectStore.prototype.put = put);
}

test('a full browser’s failure is an error with a sentence, and what was stored stays', async () => {
  for (const [name, says] of [
    [
      'QuotaExceededError',
      'This browser is out of storage space. Free some, such as by deleting other sites’ data, and try again.',
    ],
    [
      'UnknownError',
      'This browser did not save the page’s data. Allow site data, or leave the private window, and try again.',
    ],
  ] as const) {
    const before = await renamed(await shortNamed(1));
    const store = await Store.open();
    const bundle = await bundleOf();
    const another = camera(bundle.id, bundle.bytes, 9);
    const mend = withoutRoom(name);
    for (const write of [
      () => store.put(another),
      () => store.choose(before[0]!.id, { watch: true }),
      () => store.learn(before[0]!, { relays }),
      () => store.checkRoom(),
      () => store.identity(),
      () => store.keepClock({ at: 9, least: 9 }),
    ]) {
      await assert.rejects(write(), (e: unknown) => e instanceof StorageError && e.message === says);
    }

    assert.deepEqual(await store.cameras(), before);

    mend();
    await store.checkRoom();
    await store.put(another);
    assert.deepEqual(await store.cameras(), [...before, another]);
  }
});

const relays: RelayList = {
  version: 'AQEBAQEBAQE',
  home: { url: 'https://home.example', roundTrip: 10 },
  seed: new Uint8Array(16),
  operator: new Uint8Array(32),
};
const map = { wire: '{}', version: relays.version, fetched: 9 };

test('what a camera tells is kept beside what another tab has chosen, and removed with the camera', async () => {
  const [kept] = await renamed(await shortNamed(1));
  const [store, other] = [await Store.open(), await Store.open()];
  await other.choose(kept!.id, { name: 'garden', watch: true });
  await Promise.all([store.learn(kept!, { relays }), other.learn(kept!, { map })]);
  await other.choose(kept!.id, { name: 'yard' });
  assert.deepEqual(await store.cameras(), [{ ...kept, name: 'yard', watch: true, relays, map }]);

  await other.remove(kept!.id);
  await store.learn(kept!, { relays });
  assert.deepEqual(await store.cameras(), []);
});

test('a pair that is made anew knows nothing of what the one before was told', async () => {
  const [kept] = await renamed(await shortNamed(1));
  const store = await Store.open();
  await store.learn(kept!, { relays, map });
  const anew = { ...kept!, secret: random(32), pairedAt: 9 };
  await store.put(anew); // by another tab
  assert.deepEqual(await store.cameras(), [anew]);
  await store.learn(kept!, { relays, map });
  assert.deepEqual(await store.cameras(), [anew]);
});

test('checking for room leaves nothing behind', async () => {
  await shortNamed(0);
  const store = await Store.open();
  await store.checkRoom();

  const db = await new Promise<IDBDatabase>((resolve) => {
    const request = indexedDB.open('peephole', 1);
    request.onsuccess = () => resolve(request.result);
  });

  const count = db.transaction('identity').objectStore('identity').count();
  await new Promise((resolve) => (count.onsuccess = resolve));
  assert.equal(count.result, 0);
});
