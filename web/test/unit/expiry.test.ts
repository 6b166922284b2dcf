import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Clock, type Reading } from '../../src/crypto/expiry';
import { readingOf } from '../../src/viewer/store';

const day = 86_400_000;
const minute = 60_000;
const noon = Date.UTC(2027, 2, 14, 12);
const made = Date.UTC(2026, 0, 1);

/** A browser whose clock and page loads the test controls. */
class Browser {
  now = noon;
  off = 0;
  loaded = noon;
  reading: Reading = { at: 0, least: 0 };
  writes = 0;
  full = false;
  failures = 0;

  readonly keeper = {
    clock: async (): Promise<Reading> => this.reading,
    keepClock: async (r: Reading): Promise<Reading> => {
      if (this.full) throw new Error('QuotaExceededError');
      this.writes++;
      if (r.at > this.reading.at) this.reading = r;
      return this.reading;
    },
  };

  get kept(): number {
    return this.reading.at;
  }

  load(): Promise<Clock> {
    this.loaded = this.now;
    return Clock.open(
      this.keeper,
      () => this.failures++,
      () => this.now + this.off,
      () => this.now - this.loaded,
    );
  }

  pass(ms: number): void {
    this.now += ms;
  }
}

/** Returns a browser that has stored what its clock showed at noon. */
async function confirmed(): Promise<Browser> {
  const b = new Browser();
  await (await b.load()).confirm(noon);
  assert.equal(b.kept, noon);
  return b;
}

test('an unset clock counts as no earlier than the floor', async () => {
  const b = await confirmed();
  for (const shown of [0, made, noon - day - 1]) {
    b.off = shown - b.now;
    assert.equal((await b.load()).now(), noon - day, new Date(shown).toISOString());
  }
  b.off = minute;
  assert.equal((await b.load()).now(), b.now + minute);
});

test('a device without a floor is no older than Peephole', async () => {
  const b = new Browser();
  b.off = -b.now;
  assert.equal((await b.load()).now(), made);
});

test('another’s time never moves the floor, and only confirms the device’s own clock', async () => {
  const b = new Browser();
  const clock = await b.load();
  await clock.keep();
  for (const said of [0, noon - 3 * minute - 1, noon + 3 * minute + 1, noon + 1000 * day]) await clock.confirm(said);
  assert.equal(b.kept, 0, 'a first reading wants confirmation');
  await clock.confirm(noon + 3 * minute);
  assert.equal(b.kept, noon);
});

test('a clock that is ahead by more than a day is kept only once it is confirmed', async () => {
  const rows: [name: string, happens: (b: Browser) => void, believed: boolean][] = [
    ['a day later', (b) => b.pass(day), true],
    ['longer away', (b) => b.pass(day + minute), false],
    ['years ahead', (b) => (b.off = 20 * 365 * day), false],
  ];

  for (const [name, happens, believed] of rows) {
    const b = await confirmed();
    happens(b);
    const clock = await b.load();
    assert.equal(b.kept > noon, believed, name);
    await clock.confirm(b.now + b.off);
    assert.ok(b.kept > noon, `${name}: not kept although another device agrees`);
  }
});

test('clocks that leap again and again are believed for one day in all, on one page or on many', async () => {
  for (const reloads of [false, true]) {
    const b = await confirmed();
    let clock = await b.load();
    for (let n = 0; n < 30; n++) {
      b.pass(day);
      await clock.keep();
    }

    assert.equal(b.kept, b.now);

    for (let n = 0; n < 30; n++) {
      b.pass(minute);
      b.off += day - 2 * minute;
      if (reloads) clock = await b.load();
      await clock.keep();
    }

    assert.ok(b.kept - day <= b.now, `${reloads}: ${new Date(b.kept).toISOString()}`);
  }
});

test('a stored value that is no reading is ignored', () => {
  const none = { at: 0, least: 0 };
  for (const kept of [undefined, null, 7, 'x', {}, { at: 1 }, { at: NaN, least: 1 }, { at: 1, least: '1' }]) {
    assert.deepEqual(readingOf(kept), none);
  }
  assert.deepEqual(readingOf({ at: 2, least: 1 }), { at: 2, least: 1 });
});

test('the floor is written once a day', async () => {
  const b = await confirmed();
  const clock = await b.load();
  const before = b.writes;

  for (let n = 0; n < 30 * 24; n++) {
    b.pass(60 * minute);
    await clock.keep();
    await clock.confirm(b.now);
  }

  assert.equal(b.writes - before, 30);
});

test('a browser that cannot store the floor says so, and loses only that', async () => {
  const b = new Browser();
  b.full = true;
  const clock = await b.load();
  await clock.confirm(noon);
  assert.equal(b.failures, 1);
  b.off = -b.now;
  assert.equal(clock.now(), noon - day, 'the floor holds meanwhile');
});

test('a reading that another tab has kept is used', async () => {
  const b = await confirmed();
  const clock = await b.load();
  b.reading = { at: noon + 10 * day, least: noon + 10 * day };
  b.pass(2 * day);
  await clock.confirm(b.now);
  assert.equal(b.kept, noon + 10 * day);
  b.off = -b.now;
  assert.equal(clock.now(), noon + 9 * day);
});
