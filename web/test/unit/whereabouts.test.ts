import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toBase64url, utf8, type Bytes } from '../../src/bytes';
import { sign, signingKeyFromSeed } from '../../src/crypto/label';
import { placeOrder } from '../../src/signaling/region';
import { noVersion, type RelayList } from '../../src/signaling/relaylist';
import type { Camera, Learned } from '../../src/viewer/store';
import { Whereabouts } from '../../src/viewer/whereabouts';

// What a page knows of where a camera is, from what the camera tells and from a home that answers as a test says.

const [day, now] = [86_400_000, 1_800_000_000_000];
const operator = await signingKeyFromSeed(new Uint8Array(32).fill(1));
const names = ['frankfurt', 'virginia', 'tokyo', 'sydney'];
const urlOf = (name: string): string => `https://${name}.example`;

/** Returns a signed map that was issued so many seconds before now. */
async function mapOf(age: number, key = operator, more: string[] = []): Promise<string> {
  const regions = names.map((name) => ({ name, url: urlOf(name), turn: `${name}.example:3478` }));
  more.forEach((url, i) => regions.push({ name: `more-${i}`, url, turn: 'more.example:3478' }));
  const issued = now / 1000 - age;
  const map = JSON.stringify({ v: 1, issued, not_after: issued + 90 * 86_400, regions });
  const signature = toBase64url(await sign(key.key, 'region map', utf8(map)));
  return `${JSON.stringify({ map, key: toBase64url(key.publicKey), signature })}\n`;
}

const list = (changes: Partial<RelayList> = {}): RelayList => ({
  version: 'AQEBAQEBAQE',
  home: { name: 'frankfurt', url: urlOf('frankfurt'), roundTrip: 10 },
  standby: { name: 'virginia', url: urlOf('virginia'), roundTrip: 90 },
  seed: new Uint8Array(16),
  operator: operator.publicKey,
  ...changes,
});

class Device {
  now = now;
  /** What the page can connect to, beside the relay that serves it. */
  named = [...names.map(urlOf), 'https://pair.example'];
  answer: () => Response | Promise<Response> = () => new Response(null, { status: 404 });
  readonly asked: string[] = [];
  readonly kept: Learned[] = [];
  readonly camera = { relayURL: 'https://pair.example' } as Camera;
  readonly whereabouts: Whereabouts;

  constructor(origin = 'https://page.example') {
    this.whereabouts = new Whereabouts(this.camera, (learned) => this.kept.push(learned), {
      origin,
      reaches: (url) => url === origin || this.named.includes(url),
      now: () => this.now,
      fetch: async (url) => {
        this.asked.push(String(url));
        return this.answer();
      },
    });
  }

  /** The camera tells a list. */
  hear = (told: RelayList): Promise<void> => this.whereabouts.learn(told);

  async beyond(): Promise<string[]> {
    return ((await this.whereabouts.beyond?.()) ?? []).map(({ url }) => url);
  }
}

const ordered = async (some = names): Promise<string[]> => {
  const regions = some.map((name) => ({ name }));
  return (await placeOrder(new Uint8Array(16), regions)).map(({ name }) => urlOf(name));
};

test('a camera that has told nothing is at the relay where it was paired', async () => {
  const { whereabouts } = new Device();
  assert.deepEqual(whereabouts.places(), [{ url: 'https://pair.example', roundTrip: 0 }]);
  assert.equal(whereabouts.version, noVersion);
  assert.equal(whereabouts.beyond, undefined);
  await whereabouts.refresh();
});

test('a camera is at the home and standby that it told last', async () => {
  const d = new Device();
  await d.hear(list({ version: 'AAAAAAAAAAI', home: { url: 'https://old.example', roundTrip: 0 } }));
  const told = list();
  await d.hear(told);
  assert.deepEqual(d.whereabouts.places(), [told.home, told.standby]);
  assert.equal(d.whereabouts.version, told.version);
  assert.deepEqual(d.kept.at(-1), { relays: told });
});

test('a relay that the page cannot connect to is skipped', async () => {
  const d = new Device();
  d.named = [urlOf('virginia')];
  await d.hear(list());
  assert.deepEqual(d.whereabouts.places(), [list().standby]);
  d.named = [];
  assert.deepEqual(d.whereabouts.places(), [{ url: 'https://pair.example', roundTrip: 0 }]);
});

test('the map comes from home once its key is known, and opens by that key', async () => {
  const d = new Device();
  const wire = await mapOf(0);
  d.answer = () => new Response(wire);
  const { operator: _, ...keyless } = list();
  await d.hear(keyless);
  assert.deepEqual(d.asked, []);

  await d.hear(list());
  assert.deepEqual(d.asked, [`${urlOf('frankfurt')}/v1/regions`]);
  assert.deepEqual(d.kept.at(-1), { map: { wire, version: list().version, fetched: now } });
  assert.deepEqual(await d.beyond(), await ordered());
});

test('the map is fetched again when the list changes, and after a day', async () => {
  const d = new Device();
  const wire = await mapOf(0);
  d.answer = () => new Response(wire);
  await d.hear(list());
  d.now += day - 1;
  await d.whereabouts.refresh();
  assert.equal(d.asked.length, 1);
  d.now += 1;
  await d.whereabouts.refresh();
  assert.equal(d.asked.length, 2);
  assert.equal(d.camera.map?.fetched, now + day);
  await d.hear(list({ version: 'AAAAAAAAAAI', home: list().standby! }));
  assert.deepEqual(d.asked.slice(2), [`${urlOf('virginia')}/v1/regions`]);
});

test('what is no map of the operator is not kept, and soon not asked for again', async () => {
  const stranger = await signingKeyFromSeed(new Uint8Array(32).fill(2));
  const [own, foreign] = [await mapOf(0), await mapOf(0, stranger)];
  const answers: Record<string, () => Response | Promise<Response>> = {
    'nothing there': () => new Response('not found', { status: 404 }),
    'too many requests': () => new Response(null, { status: 429 }),
    'a page': () => new Response('<html>'),
    'no text': () => new Response(Uint8Array.of(0xff)),
    'a byte order mark': () => new Response(`\ufeff${own}`),
    'the map of another operator': () => new Response(foreign),
    'no answer': () => Promise.reject(new TypeError('Failed to fetch')),
  };

  for (const [name, answer] of Object.entries(answers)) {
    const d = new Device();
    d.answer = answer;
    await d.hear(list());
    await d.whereabouts.refresh();
    assert.deepEqual([d.camera.map, d.asked.length], [undefined, 1], name);
    assert.deepEqual(await d.beyond(), [], name);

    d.now += 600_000;
    await d.whereabouts.refresh();
    assert.equal(d.asked.length, 2, name);
  }
});

test('a map that never ends is not read to its end', async () => {
  const d = new Device();
  let read = 0;
  d.answer = () =>
    new Response(new ReadableStream<Bytes>({ pull: (c) => c.enqueue(new Uint8Array(10_000).fill((read++, 32))) }));
  await d.hear(list());
  assert.equal(d.camera.map, undefined);
  assert.ok(read < 12, `${read} pieces`);
});

test('a map that was issued earlier does not take the place of the one that is kept', async () => {
  const d = new Device();
  const [older, newer, newest] = [await mapOf(200), await mapOf(100), await mapOf(50)];
  for (const [wire, want] of [
    [newer, newer],
    [older, newer],
    [newest, newest],
  ] as const) {
    d.now += day;
    d.answer = () => new Response(wire);
    await d.hear(list());
    assert.deepEqual([d.camera.map?.wire, d.camera.map?.fetched], [want, d.now]);
  }
});

test('a map of an operator before this one is of no use', async () => {
  const d = new Device();
  const wire = await mapOf(0);
  d.answer = () => new Response(wire);
  await d.hear(list());
  d.answer = () => new Response(null, { status: 404 });
  const other = await signingKeyFromSeed(new Uint8Array(32).fill(2));
  await d.hear(list({ version: 'AAAAAAAAAAI', operator: other.publicKey }));
  assert.deepEqual(await d.beyond(), []);
});

test('a page connects to the regions that its address names, or to all of its own operator', async () => {
  const wire = await mapOf(0);
  for (const [origin, want] of [
    ['https://page.example', ['frankfurt', 'tokyo']],
    [urlOf('sydney'), names],
  ] as const) {
    const d = new Device(origin);
    d.named = ['frankfurt', 'tokyo'].map(urlOf);
    d.answer = () => new Response(wire);
    await d.hear(list());
    assert.deepEqual(await d.beyond(), await ordered([...want]), origin);
  }
});

test('a map leads to no server of this machine, unless the pair was made at one', async () => {
  const here = ['http://127.0.0.1:7995', 'https://localhost', 'https://[::1]:7995'];
  const wire = await mapOf(0, operator, here);
  for (const [relayURL, n] of [
    ['https://pair.example', 4],
    ['http://localhost:8080', 7],
  ] as const) {
    const d = new Device(urlOf('sydney'));
    Object.assign(d.camera, { relayURL });
    d.answer = () => new Response(wire);
    await d.hear(list());
    assert.equal((await d.beyond()).length, n, relayURL);
  }
});
