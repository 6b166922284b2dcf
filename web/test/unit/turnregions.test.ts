import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Place } from '../../src/signaling/relaylist';
import { shortestWay, TURNRegions, type Candidate } from '../../src/signaling/turnregions';
import { readJSON } from './testdata';

interface Leg {
  name: string;
  round_trip: number;
}

test('the way is the one that Go chooses', () => {
  const cases = readJSON<{ name: string; own: string; camera: Leg[]; viewer: Leg[]; way: object | null }[]>(
    'signaling/region/testdata/ways.json',
  );
  assert.ok(cases.length >= 10);
  const legs = (said: Leg[]): { name: string; roundTrip: number }[] =>
    said.map(({ name, round_trip: roundTrip }) => ({ name, roundTrip }));
  for (const { name, own, camera, viewer, way } of cases) {
    assert.deepEqual(shortestWay(own, legs(camera), legs(viewer)) ?? null, way, name);
  }
});

const home: Place = { name: 'home', url: 'https://home.example', roundTrip: 10 };

const candidate = (name: string): Candidate => ({
  region: { name, url: `https://${name}.example`, turn: `${name}.example:3478` },
  leg: { name, roundTrip: 10 },
});

/** Returns regions with these round trips in ms (undefined: no answer), and the names of those measured, in order. */
function among(legs: Record<string, number | undefined>): {
  regions: TURNRegions;
  measured: string[];
  clock: [number];
} {
  const measured: string[] = [];
  const clock: [number] = [0];
  const measure = async (relay: string, found: (ms: number) => void): Promise<void> => {
    const name = new URL(relay).hostname.split('.')[0]!;
    measured.push(name);
    const ms = legs[name];
    if (ms !== undefined) found(ms);
    else await new Promise(() => undefined);
  };
  const now = (): number => clock[0] + performance.now();
  return { regions: new TURNRegions(async () => Object.keys(legs).map(candidate), measure, now), measured, clock };
}

test('with one region there is no choice, and nothing is measured', async () => {
  const { regions, measured } = among({ home: 100 });
  assert.deepEqual(await regions.choose(home, 100), { place: home });
  assert.deepEqual(measured, []);
});

test('the round trip to the relay stands in for its region if that does not answer', async () => {
  const { regions } = among({ home: undefined, a: 50 });
  assert.equal((await regions.choose(home, 55)).way?.name, 'home');
  assert.equal((await regions.choose(home, 60.5)).way?.name, 'a');
});

test('if nothing answers, the relay grants its own servers', async () => {
  const { regions } = among({ home: undefined, a: undefined });
  assert.deepEqual(await regions.choose(home, 20), { place: home });
});

test('a measurement counts for 5 s, and not after a move to another network', async () => {
  const { regions, measured, clock } = among({ home: 90, a: 20 });
  const choose = async (): Promise<string | undefined> => (await regions.choose(home, 90)).way?.name;
  regions.probe();
  assert.equal(await choose(), 'a');
  assert.deepEqual(measured, ['home', 'a']);

  clock[0] = 4000;
  await choose();
  assert.equal(measured.length, 2);
  clock[0] = 6000;
  await choose();
  assert.equal(measured.length, 4);
  regions.forget();
  await choose();
  assert.equal(measured.length, 6);
});

test('a region that was lost is avoided for 30 s', async () => {
  const { regions, clock } = among({ home: 90, a: 20 });
  regions.avoid('https://a.example');
  assert.equal((await regions.choose(home, 90)).way?.name, 'home');
  clock[0] = 30_001;
  assert.equal((await regions.choose(home, 90)).way?.name, 'a');
});
