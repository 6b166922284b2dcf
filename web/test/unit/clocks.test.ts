import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clocks } from '../../src/clocks';
import { FakeClocks } from './fakeclocks';

const hour = 3_600_000;

test('an age is the longer of two clocks’, and unknown if they contradict each other', () => {
  for (const [name, now, wall, want] of [
    ['at once', 0, 0, 0],
    ['both count alike', 60_000, 60_000, 60_000],
    ['an hour of sleep, counted by both', hour, hour, hour],
    ['the page’s clock counts more', 2_000, 1_500, 2_000],
    ['the wall clock counts more', 2_000, 2_500, 2_500],
    ['a leap second', 500, -500, 500],
    ['an hour of sleep, counted by the wall clock alone', 1_000, hour, Infinity],
    ['the wall clock was set back by an hour', 1_000, 1_000 - hour, Infinity],
    ['the wall clock was set back during an hour of sleep', hour, 1_000, Infinity],
    ['the page’s clock went back, which none does', -1, 0, Infinity],
  ] as const) {
    const device = new FakeClocks();
    const moment = device.clocks.read();
    device.now += now;
    device.wall += wall;
    assert.equal(device.clocks.age(moment), want, name);
  }
});

test('what never was is older than anything', () => {
  assert.equal(clocks.age(undefined), Infinity);
});

test('a page reads the device’s clocks', () => {
  const before = [performance.now(), Date.now()] as const;
  const { now, wall } = clocks.read();
  assert.ok(now >= before[0] && now <= performance.now() && wall >= before[1] && wall <= Date.now());
  assert.ok(clocks.age({ now, wall }) < Infinity);
});
