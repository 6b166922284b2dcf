import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { Pulse, stallAfter } from '../../src/session/pulse';

test('a stall is reported after its time without data, and its end at once', async () => {
  mock.timers.enable({ apis: ['setInterval'] });
  let now = 0;
  mock.method(performance, 'now', () => now);
  const said: boolean[] = [];

  let [arrived, probes, hidden] = ['nothing', 0, false];
  const pulse = new Pulse(
    async () => arrived,
    () => probes++,
    (s) => said.push(s),
    () => hidden,
  );

  const pass = async (ms: number): Promise<void> => {
    for (let t = 0; t < ms; t += 25) {
      now += 25;
      mock.timers.tick(25);
      for (let i = 0; i < 5; i++) await Promise.resolve();
    }
  };

  const rows: [what: string, before: () => void, ms: number, want: boolean[]][] = [
    ['frames come', () => pulse.beat(), stallAfter - 200, []],
    ['frames come on', () => pulse.beat(), stallAfter - 200, []],
    ['no frames, but packets', () => (arrived = 'a packet'), stallAfter - 300, []],
    ['and more', () => (arrived = 'another'), stallAfter - 300, []],
    ['silence', () => undefined, stallAfter + 400, [true]],
    ['and more of it', () => undefined, 5 * stallAfter, [true]],
    ['a frame', () => pulse.beat(), 25, [true, false]],
    ['hidden', () => (hidden = true), 10 * stallAfter, [true, false]],
    ['seen again, and it is silent', () => (hidden = false), 2 * stallAfter, [true, false, true]],
    ['a packet', () => (arrived = 'a third'), 400, [true, false, true, false]],
  ];

  for (const [what, before, ms, want] of rows) {
    before();
    await pass(ms);
    assert.deepEqual(said, want, what);
  }

  assert.ok(probes > 0 && probes < 20, `${probes} probes: the camera is asked for a sign of life, and not for ever`);
  pulse.beat();
  now += 10 * stallAfter; // no timer fires, because the device is busy
  await pass(stallAfter - 300);
  assert.equal(said.length, 4, 'and it hears nothing of that');
  pulse.stop();
  await pass(10 * stallAfter);
  assert.equal(said.length, 4);
  mock.reset();
  mock.timers.reset();
});
