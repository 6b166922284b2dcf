import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { Busy } from '../../src/session/busy';

test('late timers count, except on a hidden page', () => {
  mock.timers.enable({ apis: ['setInterval'] });
  let [now, hidden] = [0, false];
  mock.method(performance, 'now', () => now);

  const busy = new Busy(() => hidden);

  /** Lets a second pass in which every timer fires late by that much. */
  const second = (late: number): number => {
    for (let t = 0; t + 20 + late <= 1000; t += 20 + late) {
      now += 20 + late;
      mock.timers.tick(20);
    }
    return busy.percent();
  };

  assert.equal(second(0), 0, 'on time');
  assert.equal(second(20), 50, 'as long as they wait for');
  assert.equal(second(180), 90, 'most of the time');
  now += 1000;
  assert.equal(busy.percent(), 98, 'one that has not fired yet');
  now += 1000;
  hidden = true;
  assert.equal(busy.percent(), 0, 'hidden');
  hidden = false;
  assert.equal(second(0), 0, 'seen again');

  busy.stop();
  mock.timers.tick(1000);
  mock.reset();
  mock.timers.reset();
});
