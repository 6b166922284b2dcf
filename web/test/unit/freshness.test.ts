import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex } from '../../src/bytes';
import type { Challenged, Moment } from '../../src/clocks';
import { Freshness, isLive, liveFor } from '../../src/session/freshness';
import { Playout } from '../../src/media/playout';
import { forwardWorkerEvent, type SessionEvents } from '../../src/session/events';
import { FakeClocks } from './fakeclocks';

const hour = 3_600_000;

test('a picture is live until five seconds after its challenge was issued', () => {
  const device = new FakeClocks();
  const fresh = new Freshness(device.clocks);
  const challenge = fresh.issueChallenge();
  assert.equal(challenge.length, 8);
  assert.equal(liveFor, 5000);
  const picture = { issued: fresh.issuedAt(toHex(challenge)) };
  assert.equal(isLive(device.clocks, picture), true);
  device.runs(5_000);
  assert.equal(isLive(device.clocks, picture), true);
  device.runs(0.5);
  assert.equal(isLive(device.clocks, picture), false, 'the same picture, half a millisecond later');
});

test('a challenge that was not issued here is never live', () => {
  const device = new FakeClocks();
  const fresh = new Freshness(device.clocks);
  fresh.issueChallenge();
  for (const foreign of [toHex(new Freshness(device.clocks).issueChallenge()), '0000000000000000', '']) {
    assert.equal(isLive(device.clocks, { issued: fresh.issuedAt(foreign) }), false);
  }
  assert.equal(isLive(device.clocks, undefined), false);
});

test('the last 64 challenges are remembered', () => {
  const fresh = new Freshness(new FakeClocks().clocks);
  const issued = Array.from({ length: 70 }, () => toHex(fresh.issueChallenge()));
  assert.equal(new Set(issued).size, 70);
  assert.deepEqual(
    issued.map((c) => fresh.issuedAt(c) !== undefined),
    issued.map((_, i) => i >= 6),
  );
});

for (const [name, happens] of [
  ['the device sleeps, and both clocks count that', (d: FakeClocks) => d.runs(hour)],
  ['it sleeps, and only its wall clock counts that', (d: FakeClocks) => void (d.wall += hour)],
  ['it sleeps, and meanwhile its wall clock is set back by as long', (d: FakeClocks) => void (d.now += hour)],
  ['its wall clock is set back', (d: FakeClocks) => void (d.wall -= hour)],
  ['its wall clock is set forward', (d: FakeClocks) => void (d.wall += 60_000)],
] as const) {
  test(`what was held back is not live afterwards, when ${name}`, () => {
    const device = new FakeClocks();
    const fresh = new Freshness(device.clocks);
    const held = { issued: fresh.issuedAt(toHex(fresh.issueChallenge())) };
    device.runs(1_000);
    assert.equal(isLive(device.clocks, held), true);
    happens(device);
    assert.equal(isLive(device.clocks, held), false);

    assert.equal(
      isLive(device.clocks, { issued: fresh.issuedAt(toHex(fresh.issueChallenge())) }),
      true,
      'what is challenged afterwards is',
    );
  });
}

test('a picture that waited counts by its own challenge, not by what opened meanwhile', () => {
  const device = new FakeClocks();
  const fresh = new Freshness(device.clocks);
  const old = toHex(fresh.issueChallenge());
  device.runs(60_000);
  const young = toHex(fresh.issueChallenge());

  const said: unknown[] = [];
  const events = {
    opened: () => undefined,
    picture: (frame: unknown, of: Challenged) => said.push(frame, isLive(device.clocks, of)),
  } as unknown as SessionEvents;

  const playout = new Playout(() => assert.fail('it was reported'));
  const when = (c: string): Moment | undefined => fresh.issuedAt(c);
  const [a, b] = ['the old picture', 'the new one'] as unknown as VideoFrame[];

  forwardWorkerEvent(
    {
      type: 'opened',
      carrier: 'vp8',
      rtp: undefined,
      captured: 0,
      challenge: young,
    },
    when,
    playout,
    events,
  );

  forwardWorkerEvent({ type: 'picture', frame: a!, challenge: old }, when, playout, events);
  forwardWorkerEvent({ type: 'picture', frame: b!, challenge: young }, when, playout, events);
  assert.deepEqual(said, [a, false, b, true]);

  forwardWorkerEvent(
    {
      type: 'opened',
      carrier: 'h264',
      rtp: 1,
      captured: 0,
      challenge: old,
    },
    when,
    playout,
    events,
  );

  forwardWorkerEvent(
    {
      type: 'opened',
      carrier: 'h264',
      rtp: 2,
      captured: 0,
      challenge: young,
    },
    when,
    playout,
    events,
  );

  playout.show(1);
  assert.equal(isLive(device.clocks, playout), false);
  playout.show(2);
  assert.equal(isLive(device.clocks, playout), true);
});
