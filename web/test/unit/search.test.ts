import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { random, text, toHex, utf8 } from '../../src/bytes';
import { pairMailbox, sessionMailbox, toCamera, toViewer } from '../../src/crypto/mailbox';
import { RelayError } from '../../src/signaling/client';
import type { Region } from '../../src/signaling/region';
import type { Place } from '../../src/signaling/relaylist';
import { Relays, reachWithin } from '../../src/signaling/relays';
import { replyWithin, type Search } from '../../src/signaling/search';
import { TURNRegions, type Granted } from '../../src/signaling/turnregions';
import { FakeRelay, FakeTime } from './fakerelay';

// How a viewer goes from relay to relay in search of its camera, by relays that do what a test says.

const offers = await pairMailbox(random(32), toCamera, 7);
const replies = await sessionMailbox(random(32), toViewer, random(16));
const time = new FakeTime((ms) => mock.timers.tick(ms));

/** The camera's round trip to its home and standby. */
const roundTrip = 40;

let all: [home: FakeRelay, standby: FakeRelay, ...regions: FakeRelay[]];
let home: FakeRelay;
let standby: FakeRelay;
let relays: Relays;
let search: Search;
let states: [connected: boolean, held: boolean][];

const placeOf = (r: FakeRelay, n: number): Place => ({ url: r.url, roundTrip: n < 2 ? roundTrip : 0 });

/** Begins to look for a camera with a home, a standby and regions beyond, or only with the first of them. */
function begin(count = all.length): void {
  const [first, ...others] = all.slice(0, count).map(placeOf);
  const more = count > 2 ? async (): Promise<Place[]> => [first!, ...others] : undefined;
  relays = new Relays([first!, ...others.slice(0, 1)], more, (...state) => states.push(state));
  search = relays.search();
}

/** Returns which relays have been dialled. */
const dialled = (): string => all.map((r) => (r.dialled > 0 ? 'x' : '-')).join('');

beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout'] });
  mock.method(Math, 'random', () => 0.9); // of jitter: a relay is tried again after 250 ms
  states = [];
  const urls = ['home', 'standby', 'a', 'b', 'c'].map((name) => `https://${name}.example`);
  all = urls.map((url) => new FakeRelay(url)) as typeof all;
  [home, standby] = all;
});

afterEach(() => {
  search.end();
  relays.close();
  mock.timers.reset();
  mock.restoreAll();
});

/** Watches a promise. */
function fate(promise: Promise<unknown>): { done: unknown } {
  const fate = { done: undefined as unknown };
  promise.then(
    (x) => (fate.done = x ?? 'yes'),
    (e: unknown) => (fate.done = e),
  );
  return fate;
}

/** Returns the code of a refusal. */
const codeOf = (done: unknown): number | undefined => (done instanceof RelayError ? done.code : undefined);

/** Begins with a home and these regions: each is 10 ms from the camera, and so many ms from this device. */
function beginAmong(legs: Record<string, number>): void {
  const region = (name: string): Region => ({ name, url: `https://${name}.example`, turn: `${name}.example:3478` });
  const candidates = Object.keys(legs).map((name) => ({ region: region(name), leg: { name, roundTrip: 10 } }));
  const measure = async (relay: string, found: (ms: number) => void): Promise<void> =>
    found(legs[new URL(relay).hostname.split('.')[0]!]!);
  const regions = new TURNRegions(async () => candidates, measure);
  relays = new Relays([{ name: 'home', ...placeOf(home, 0) }], undefined, undefined, regions);
  search = relays.search((another) => lost.push(another));
}

const lost: boolean[] = [];

test('the ICE servers are those of the region on the shortest way, and its loss is noticed', async () => {
  lost.length = 0;
  home.regions = ['a', 'b'];
  beginAmong({ home: 100, a: 20, b: 50 });
  const granted = fate(search.grant(offers));
  await time.pass(1000);

  const { grant, place, way } = granted.done as Granted;
  assert.equal(grant.region, 'a');
  assert.equal(place.url, 'https://a.example');
  assert.deepEqual(way, { name: 'a', camera: 10, viewer: 20, regions: 3 });
  assert.equal(dialled(), 'x-x--', 'the relay of region a is connected to');
  assert.equal(relays.alone, true, 'the camera may be at home alone');
  assert.equal(all[2]!.grants + all[2]!.posts.length, 0, 'and asked for nothing');
  assert.deepEqual(lost, []);

  all[2]!.break(); // it owes nothing to who asks for nothing
  await time.pass(500);
  assert.deepEqual([lost, all[2]!.dialled], [[], 2]);

  all[2]!.connects = 'refuses';
  all[2]!.break();
  await time.pass(500);
  assert.deepEqual(lost, [true]);

  const again = fate(search.grant(offers));
  await time.pass(1000);
  assert.equal((again.done as Granted).grant.region, 'b', 'the region that was lost is avoided');
});

test('a relay that cannot grant in another region grants its own servers', async () => {
  beginAmong({ home: 100, a: 20 });
  const granted = fate(search.grant(offers));
  await time.pass(1000);

  const { grant, place, way } = granted.done as Granted;
  assert.deepEqual([grant.region, place.name, way], [undefined, 'home', undefined]);
  assert.equal(dialled(), 'x----');
});

test('the region of the relay is kept if another saves too little', async () => {
  beginAmong({ home: 25, a: 20 });
  const granted = fate(search.grant(offers));
  await time.pass(1000);

  const { grant, place, way } = granted.done as Granted;
  assert.deepEqual([grant.region, place.name, way?.name], [undefined, 'home', 'home']);
});

test('a home that leads to the camera is the only relay', async () => {
  begin(1);
  assert.equal(relays.alone, true);
  relays.close();

  begin();
  assert.equal(relays.alone, false);
  await time.pass(10);
  const grant = fate(search.grant(offers));
  const offer = fate(search.offer(offers, utf8('offer'), 60));
  await time.pass(200);
  assert.deepEqual([grant.done, offer.done], [{ grant: home.grant, place: placeOf(home, 0) }, 'yes']);
  search.found();
  await time.pass(5_000);
  assert.equal(dialled(), 'x----');
  assert.ok(Math.abs(relays.serverTime - 1_795_000_000) < 10);
  assert.equal(relays.carriedBy, 'websocket');
  assert.deepEqual(states, [[true, false]]);
});

test('a home that refuses connections leads to the standby at once', async () => {
  home.connects = 'refuses';
  begin();
  await time.pass(10);
  assert.equal(dialled(), 'xx---');
  await relays.connected();
});

test('a session hears when the relay is lost that granted its ICE servers, and no other session does', async () => {
  begin();
  const lost: string[] = [];
  const [one, two, three] = ['one', 'two', 'three'].map((name) => relays.search(() => lost.push(name)));
  await time.pass(10);
  void one!.grant(offers);
  void three!.grant(offers);
  await time.pass(10);
  home.says = 503;
  void two!.grant(offers);
  await time.pass(20);
  assert.equal(dialled(), 'xx---');

  three!.end();
  home.break();
  assert.deepEqual(lost, ['one']);
  standby.break();
  assert.deepEqual(lost, ['one', 'two']);
  one!.end();
  two!.end();
});

test('a home that is not reached leads to the standby after half a second', async () => {
  home.connects = 'hangs';
  begin();
  await time.pass(reachWithin - 5);
  assert.equal(dialled(), 'x----');
  await time.pass(10);
  assert.equal(dialled(), 'xx---');
  await time.pass(reachWithin);
  assert.equal(dialled(), 'xx---', 'the standby is there');
});

test('a home that is lost may come back within half a second', async () => {
  begin();
  await time.pass(10);
  home.break();
  await time.pass(reachWithin - 10);
  assert.deepEqual([dialled(), home.dialled], ['x----', 2]);

  home.connects = 'hangs';
  home.break();
  await time.pass(reachWithin + 10);
  assert.equal(dialled(), 'xx---');
});

for (const code of [404, 429, 503]) {
  test(`a home that refuses a grant with ${code} leads to the standby at once`, async () => {
    home.says = code;
    begin();
    await time.pass(10);
    const grant = fate(search.grant(offers));
    await time.pass(10);
    assert.equal(dialled(), 'xx---');
    await time.pass(10);
    assert.deepEqual(grant.done, { grant: standby.grant, place: placeOf(standby, 1) });
  });

  test(`a home that refuses an offer with ${code} leads to the standby at once`, async () => {
    home.says = code;
    begin();
    await time.pass(10);
    const offer = fate(search.offer(offers, utf8('offer'), 60));
    await time.pass(20);
    assert.deepEqual([dialled(), offer.done, standby.posts.length], ['xx---', 'yes', 1]);
  });
}

test('any other refusal leads to the standby no sooner than silence', async () => {
  home.says = 413;
  begin();
  await time.pass(10);
  const offer = fate(search.offer(offers, utf8('offer'), 60));
  await time.pass(replyWithin + roundTrip - 10);
  assert.deepEqual([dialled(), offer.done], ['x----', undefined]);
  await time.pass(30);
  assert.deepEqual([dialled(), offer.done], ['xx---', 'yes']);
});

test('a home that has gone silent leads to the standby after both round trips', async () => {
  home.takes = 60; // the viewer's round trip is half of it, as far as it knows
  home.says = 'nothing';
  begin();
  await time.pass(70);
  const grant = fate(search.grant(offers));
  await time.pass(replyWithin + roundTrip + 30 - 10);
  assert.equal(dialled(), 'x----');
  await time.pass(30);
  assert.equal(dialled(), 'xx---');
  assert.deepEqual(grant.done, { grant: standby.grant, place: placeOf(standby, 1) });
});

test('a home that takes an offer and drops it leads to the standby after both round trips', async () => {
  begin();
  await time.pass(10);
  const grant = fate(search.grant(offers));
  await time.pass(replyWithin + roundTrip + 100);
  assert.equal(dialled(), 'x----', 'there is a grant, and no offer yet');
  assert.deepEqual(grant.done, { grant: home.grant, place: placeOf(home, 0) });

  const offer = fate(search.offer(offers, utf8('offer'), 60));
  await time.pass(replyWithin + roundTrip - 15);
  assert.equal(offer.done, 'yes');
  assert.equal(dialled(), 'x----');
  await time.pass(30);
  assert.equal(dialled(), 'xx---');
  assert.equal(toHex(standby.posts[0]!.body), toHex(home.posts[0]!.body));
});

test('a sealed reply by any relay ends the search', async () => {
  begin();
  await time.pass(10);
  relays.receive(replies, async () => (search.found(), true));
  void search.offer(offers, utf8('offer'), 60);
  await time.pass(replyWithin + roundTrip + 10);
  assert.equal(dialled(), 'xx---');
  standby.deliver(replies, utf8('answer'));
  await time.pass(5_000);
  assert.equal(dialled(), 'xx---');

  home.connects = 'refuses';
  home.break();
  standby.connects = 'refuses';
  standby.break();
  await time.pass(5_000);
  assert.equal(dialled(), 'xx---', 'nobody looks for it');
});

test('a camera that has moved is found in the second region beyond an old list', async () => {
  for (const relay of all) relay.says = 404;
  all[3]!.says = 'yes';
  begin();
  await time.pass(10);
  const grant = fate(search.grant(offers));
  await time.pass(50);
  assert.deepEqual(grant.done, { grant: all[3]!.grant, place: placeOf(all[3]!, 3) });
  const offer = fate(search.offer(offers, utf8('offer'), 60));
  await time.pass(10);
  assert.equal(offer.done, 'yes');
  assert.deepEqual(
    all.map((r) => r.posts.length),
    [1, 1, 1, 1, 0],
  );
});

test('two regions are tried beyond home and standby, and no more', async () => {
  for (const relay of all) relay.says = 404;
  begin();
  await time.pass(10);
  const grant = fate(search.grant(offers));
  await time.pass(100);
  assert.equal(dialled(), 'xxxx-');
  assert.equal(codeOf(grant.done), 404);
  search.end();

  search = relays.search();
  await time.pass(10_000);
  assert.equal(dialled(), 'xxxx-', 'nor later');
});

test('a viewer whose home alone is known stays with it', async () => {
  begin(1);
  await time.pass(10);
  void search.offer(offers, utf8('offer'), 60);
  await time.pass(2_000);
  home.says = 404;
  const grant = fate(search.grant(offers));
  await time.pass(10);
  assert.equal(codeOf(grant.done), 404);
  assert.equal(dialled(), 'x----');
});

test('a request fails with the first relay’s refusal, once no other is left', async () => {
  home.says = 429;
  standby.says = 404;
  standby.takes = 100;
  begin(2);
  await time.pass(10);
  const offer = fate(search.offer(offers, utf8('offer'), 60));
  await time.pass(150);
  assert.equal(offer.done, undefined, 'the standby has not spoken');
  await time.pass(100);
  assert.equal(codeOf(offer.done), 429);
});

test('a refusal is passed on if the other relay cannot be reached', async () => {
  home.says = 404;
  standby.connects = 'hangs';
  begin(2);
  await time.pass(10);
  const grant = fate(search.grant(offers));
  await time.pass(reachWithin - 20);
  assert.equal(grant.done, undefined);
  await time.pass(50);
  assert.equal(codeOf(grant.done), 404);
});

test('what was posted goes to the next relay as it was, while it is valid', async () => {
  home.says = 'nothing';
  standby.connects = 'hangs';
  begin(2);
  await time.pass(10);
  void search.offer(offers, utf8('offer'), 60);
  relays.send(replies, utf8('short'), 1).catch(() => undefined);
  relays.send(replies, utf8('long'), 30).catch(() => undefined);
  await time.pass(2_000);

  standby.connects = 'greets';
  relays.probe();
  await time.pass(20);
  const got = standby.posts.map(({ name, ttl, body }) => `${text(body)} ${name === toHex(offers.name)} ${ttl}`);
  assert.deepEqual(got.sort(), ['long false 28', 'offer true 58']);
});

test('what is posted once the camera is found goes to every relay', async () => {
  home.connects = 'refuses';
  begin();
  await time.pass(10);
  void search.offer(offers, utf8('offer'), 60);
  await time.pass(20);
  search.found();
  void relays.send(replies, utf8('candidate'), 30);
  home.connects = 'greets';
  await time.pass(1_000);
  for (const { posts, url } of [home, standby]) {
    assert.deepEqual(
      posts.map(({ body }) => text(body)).sort(),
      ['candidate', 'offer'],
      url,
    );
  }
});

test('nothing is asked for a session that has ended', async () => {
  standby.connects = 'hangs';
  home.says = 404;
  begin(2);
  await time.pass(10);
  void fate(search.grant(offers));
  void fate(search.offer(offers, utf8('offer'), 60));
  await time.pass(20);
  search.end();
  standby.connects = 'greets';
  relays.probe();
  await time.pass(1_000);
  assert.deepEqual([standby.grants, standby.posts.length], [0, 0]);
});

test('a request that a lost connection left unanswered is not repeated when nobody wants it', async () => {
  home.says = 'nothing';
  begin(2);
  await time.pass(10);
  void fate(search.grant(offers));
  void fate(search.offer(offers, utf8('offer'), 60));
  await time.pass(2_000);
  assert.deepEqual([home.grants, standby.grants, home.posts.length], [1, 1, 1]);
  home.connects = 'refuses';
  home.break();
  await time.pass(100);
  search.end();
  home.connects = 'greets';
  await time.pass(2_000);
  assert.deepEqual([relays.carriedBy, home.grants, home.posts.length], ['websocket', 1, 1]);
});

test('the next session asks all relays that were come to, and goes on from the last', async () => {
  home.says = 'nothing';
  begin();
  await time.pass(10);
  void fate(search.grant(offers));
  await time.pass(1_000);
  assert.equal(dialled(), 'xx---');
  search.end();

  search = relays.search();
  standby.says = 404;
  all[2]!.connects = 'refuses';
  const grant = fate(search.grant(offers));
  await time.pass(50);
  assert.deepEqual([dialled(), grant.done], ['xxxx-', { grant: all[3]!.grant, place: placeOf(all[3]!, 3) }]);
  assert.deepEqual([home.grants, standby.grants], [2, 2]);
});

test('a search that begins when the last relay is known to be away goes on at once', async () => {
  home.connects = 'refuses';
  begin();
  search.end();
  await time.pass(20);
  assert.equal(dialled(), 'x----');
  search = relays.search();
  assert.equal(dialled(), 'xx---');
});

test('a message that several relays deliver is handled once at a time', async () => {
  standby.takes = 5;
  home.connects = 'refuses';
  begin(2);
  await time.pass(10);
  let handling = 0;
  const handled: string[] = [];
  const stop = relays.receive(replies, async (body) => {
    assert.equal(++handling, 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    handled.push(text(body));
    handling--;
    return true;
  });

  home.connects = 'greets';
  await time.pass(500);
  for (const relay of [home, standby]) relay.deliver(replies, utf8('answer'));
  for (const relay of [home, standby]) relay.deliver(replies, utf8('record'));
  await time.pass(100);
  assert.deepEqual(handled.sort(), ['answer', 'answer', 'record', 'record']);

  stop();
  home.deliver(replies, utf8('late'));
  await time.pass(100);
  assert.equal(handled.length, 4);
});

test('a person hears that the only relay cannot be reached each time that it is not', async () => {
  home.connects = 'refuses';
  begin(1);
  await time.pass(600);
  assert.ok(states.length > 1);
  assert.ok(states.every(([connected]) => !connected));
  home.connects = 'greets';
  await time.pass(2_000);
  assert.deepEqual(states.at(-1), [true, false]);
  home.break();
  await time.pass(1);
  assert.deepEqual(states.at(-1), [false, false]);
});

test('a person hears that relays cannot be reached once none can', async () => {
  for (const relay of all) relay.connects = 'refuses';
  standby.connects = 'greets';
  begin();
  await time.pass(1_000);
  assert.deepEqual(states, [[true, false]], 'the standby is there');

  standby.connects = 'refuses';
  standby.break();
  await time.pass(5_000);
  assert.equal(dialled(), 'xxxx-');
  assert.deepEqual(states.at(-1), [false, false]);

  all[3]!.connects = 'greets';
  relays.probe();
  await time.pass(1_000);
  assert.deepEqual(states.at(-1), [true, false]);
});

test('after close nothing is dialled, and what waits fails', async () => {
  home.connects = 'refuses';
  begin();
  const waiting = [relays.connected(), search.grant(offers), relays.send(replies, utf8('x'), 30)].map(fate);
  await time.pass(10);
  standby.break();
  relays.close();
  await time.pass(5_000);
  assert.equal(dialled(), 'xx---');
  for (const { done } of waiting.slice(1)) assert.ok(done !== undefined);
});
