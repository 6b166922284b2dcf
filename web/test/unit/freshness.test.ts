import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex } from '../../src/bytes';
import { Freshness, liveFor } from '../../src/freshness';
import { tell, type SessionEvents } from '../../src/sessionevents';

test('a frame is live for five seconds after its challenge was issued', () => {
  const fresh = new Freshness();
  const challenge = fresh.issue(1000, 1000);
  assert.equal(challenge.length, 8);
  assert.equal(liveFor, 5000);
  for (const [now, live] of [[1000, true], [6000, true], [6000.5, false], [1000, true]] as const)
    assert.equal(fresh.live(toHex(challenge), now, now), live, `at ${now}`);
});

test('a challenge that was not issued here is never live', () => {
  const fresh = new Freshness();
  fresh.issue(0, 0);
  for (const foreign of [toHex(new Freshness().issue(0, 0)), '0000000000000000', '']) assert.equal(fresh.live(foreign, 0, 0), false);
});

test('the last 64 challenges are known', () => {
  const fresh = new Freshness();
  const issued = Array.from({ length: 70 }, () => toHex(fresh.issue(0, 0)));
  assert.equal(new Set(issued).size, 70);
  assert.deepEqual(issued.map((c) => fresh.live(c, 0, 0)), issued.map((_, i) => i >= 6));
});

test('what was held back while the device slept is not live when it wakes', () => {
  const fresh = new Freshness();
  const challenge = toHex(fresh.issue(0, 0));
  assert.equal(fresh.live(challenge, 1000, 3_600_000), false); // performance.now() stood still for an hour
  assert.equal(fresh.live(challenge, 1000, -3_600_000), true); // the clock was set back by an hour
});

test('a picture that waited is judged when it is shown, not by what opened meanwhile', () => {
  const fresh = new Freshness();
  const [old, young] = [toHex(fresh.issue(0, 0)), toHex(fresh.issue(60_000, 60_000))];
  const said: unknown[] = [];
  const events = { opened: () => undefined, frame: (live: boolean) => said.push(live), picture: (frame: unknown) => said.push(frame) } as unknown as SessionEvents;
  const live = (c: string): boolean => fresh.live(c, 60_000, 60_000);
  const [a, b] = ['the old picture', 'the new one'] as unknown as VideoFrame[];
  tell({ type: 'opened', carrier: 'vp8', keyframe: false, captured: 0, challenge: young }, live, events);
  tell({ type: 'picture', frame: a!, challenge: old }, live, events);
  tell({ type: 'picture', frame: b!, challenge: young }, live, events);
  assert.deepEqual(said, [false, a, true, b]);
  tell({ type: 'opened', carrier: 'h264', keyframe: false, captured: 0, challenge: young }, live, events);
  assert.equal(said.at(-1), true);
});
