import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { toHex } from '../../src/bytes';
import { SessionError, type SessionEvents } from '../../src/sessionevents';
import { pauseAfter, retryMost, Watching, type Layer, type OneSession, type View } from '../../src/watching';

// Sessions that do what a test says, on the test's own clock.

class Fake implements OneSession {
  readonly pictures: string[] = [];
  closed = false;
  ended = false;
  #end!: (e?: Error) => void;
  readonly #run = new Promise<void>((resolve, reject) => (this.#end = (e) => (e ? reject(e) : resolve())));
  /** Presents a picture of the track. */
  present!: () => void;

  constructor(
    readonly watch: string,
    readonly events: SessionEvents,
    readonly layer: FakeLayer,
    readonly hidden: boolean,
  ) {}

  run = (): Promise<void> => this.#run;

  close(): void {
    this.closed = true;
    this.#end();
  }

  /** The session breaks. */
  async break(e: Error = new SessionError('broken')): Promise<void> {
    this.#end(e);
    await settled();
  }

  play(): void {
    this.events.track({} as MediaStream);
    this.layer.present!();
  }
}

class FakeLayer implements Layer {
  present: (() => void) | undefined;
  front_ = 0;
  ended = 0;
  drawn = 0;
  play(_: MediaStream, shown: () => void): void {
    this.present = shown;
  }
  draw(frame: VideoFrame): void {
    this.drawn++;
    frame.close();
  }
  front(): void {
    this.front_++;
  }
  end(): void {
    this.ended++;
  }
}

const settled = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};
const picture = (closed = (): void => undefined): VideoFrame => ({ close: closed }) as unknown as VideoFrame;

let sessions: Fake[];
let said: string[];
let watching: Watching;
let now: number;

beforeEach(async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  sessions = [];
  said = [];
  now = 0;
  const layers: FakeLayer[] = [];
  const note = (what: string) => (): void => void said.push(what);
  const view: View = {
    layer: () => (layers.push(new FakeLayer()), layers.at(-1)!), shown: note('shown'), still: note('still'), live: () => undefined, explained: note('explained'),
    say: (text) => said.push(`says ${text}`), undecodable: note('undecodable'), rejected: note('rejected'), retry: (m) => said.push(`retry ${m}`),
    failed: (m) => said.push(`failed ${m}`), paused: note('paused'), resumed: note('resumed'),
  };
  watching = new Watching({ hurry: note('hurry'), renew: note('renew') }, view, async (watch, events, cameraHides) => {
    sessions.push(new Fake(toHex(watch), events, layers.at(-1)!, cameraHides));
    return sessions.at(-1)!;
  }, () => now);
  watching.start(false);
  await settled();
});

afterEach(() => {
  watching.stop();
  mock.timers.reset();
});

const later = async (ms: number): Promise<void> => {
  now += ms;
  mock.timers.tick(ms);
  await settled();
};

test('a session that stalls is replaced by another with its first picture, and both are of one watch', async () => {
  const [first] = sessions;
  first!.play();
  first!.events.stalled(true);
  await settled();
  assert.deepEqual(said, ['shown', 'hurry', 'retry Nothing arrives from the camera.']);
  assert.equal(sessions.length, 2);
  assert.equal(first!.closed, false, 'the one that stalled may revive');
  sessions[1]!.play();
  assert.deepEqual([first!.closed, first!.layer.ended, sessions[1]!.layer.front_], [true, 1, 1]);
  assert.equal(sessions[0]!.watch, sessions[1]!.watch);
  assert.equal(sessions[0]!.watch.length, 32);
  const shown = said.length;
  first!.layer.present!(); // a last picture of the session that was replaced
  assert.equal(said.length, shown);
});

test('a session that revives stays, and the other is dropped', async () => {
  const [first] = sessions;
  first!.play();
  first!.events.stalled(true);
  await settled();
  first!.events.stalled(false);
  assert.deepEqual([first!.closed, sessions[1]!.closed], [false, true]);
  sessions[1]!.events.track({} as MediaStream);
  assert.equal(sessions[1]!.layer.present, undefined);
  await later(2 * retryMost);
  assert.equal(sessions.length, 2);
});

test('a session that ends comes back by itself, each time a little later, and the camera’s no is final', async () => {
  sessions[0]!.play();
  for (let n = 1; n < 9; n++) {
    await sessions.at(-1)!.break();
    await later(1.5 * retryMost);
    assert.equal(sessions.length, n + 1);
  }
  await sessions.at(-1)!.break(new SessionError('no', true));
  assert.equal(said.at(-1), 'failed no');
  await later(2 * retryMost);
  assert.equal(sessions.length, 9);
});

test('a session that is to take the place of one that ends is not begun again', async () => {
  sessions[0]!.play();
  sessions[0]!.events.stalled(true);
  await settled();
  await sessions[0]!.break();
  await later(2 * retryMost);
  assert.equal(sessions.length, 2);
  sessions[1]!.play();
  assert.equal(said.at(-1), 'shown');
});

test('after a move another session begins beside the one that is shown, and instead of one that shows nothing', async () => {
  watching.moved();
  await settled();
  await later(retryMost);
  assert.deepEqual([sessions.length, sessions[0]!.closed], [2, true]);
  sessions[1]!.play();
  watching.moved();
  await settled();
  assert.deepEqual([sessions.length, sessions[1]!.closed], [3, false]);
  watching.moved();
  await settled();
  assert.equal(sessions.length, 3, 'one is under way already');
  assert.equal(said.filter((s) => s === 'renew').length, 3);
});

test('a hidden page lets the camera stop, and resumes at once', async () => {
  sessions[0]!.play();
  watching.hide();
  await later(pauseAfter - 1);
  assert.equal(sessions[0]!.closed, false);
  await later(1);
  assert.deepEqual([sessions[0]!.closed, said.at(-1)], [true, 'paused']);
  await later(10 * retryMost);
  watching.moved();
  assert.equal(sessions.length, 1, 'nobody looks');
  watching.show();
  await settled();
  assert.equal(sessions.length, 2);
  assert.deepEqual(said.slice(-2), ['resumed', 'hurry']);
});

test('a page that is hidden for a moment goes on', async () => {
  sessions[0]!.play();
  watching.hide();
  await later(pauseAfter / 2);
  sessions[0]!.events.stalled(true); // browsers slow a hidden page
  watching.show();
  await later(10 * pauseAfter);
  assert.deepEqual([sessions.length, sessions[0]!.closed, said.includes('paused')], [1, false, false]);
});

test('a page that slept with its device begins anew beside what it had', async () => {
  sessions[0]!.play();
  watching.hide();
  now += 3_600_000; // and no timer ran
  watching.show();
  await settled();
  assert.deepEqual([sessions.length, sessions[0]!.closed, said.includes('renew')], [2, false, true]);
});

test('only the session that is shown is heard, but every rejection', async () => {
  sessions[0]!.play();
  sessions[0]!.events.stalled(true);
  await settled();
  said = [];
  const other = sessions[1]!.events;
  other.status('other');
  other.explained({} as never, {} as never);
  sessions[0]!.events.status('first');
  other.rejected('frame');
  assert.deepEqual(said, ['says first', 'rejected']);
  sessions[1]!.play();
  assert.deepEqual(said.slice(2), ['explained', 'shown'], 'what it knew of its path is told when it is shown');
});

test('a first picture is shown while there is no stream, and never after a newer one', async () => {
  let closed = 0;
  const first = (n: number, captured: number): void => sessions[n]!.events.first(picture(() => closed++), true, captured);
  first(0, 100);
  assert.deepEqual([said.at(-1), sessions[0]!.layer.drawn], ['still', 1]);
  sessions[0]!.events.opened(200);
  sessions[0]!.play();
  first(0, 300);
  assert.equal(sessions[0]!.layer.drawn, 1, 'the stream goes on');
  sessions[0]!.events.stalled(true);
  await settled();
  first(1, 150);
  assert.equal(sessions[1]!.layer.drawn, 0, 'of before what is shown');
  first(1, 250);
  assert.equal(sessions[1]!.layer.drawn, 1);
  assert.equal(closed, 4);
});

test('what is stopped shows nothing and begins nothing', async () => {
  sessions[0]!.play();
  watching.stop();
  said = [];
  sessions[0]!.layer.present!();
  let closed = false;
  sessions[0]!.events.picture(picture(() => (closed = true)));
  watching.moved();
  watching.hide();
  watching.show();
  await later(10 * retryMost);
  assert.deepEqual([said, sessions.length, closed], [[], 1, true]);
});

test('a camera that hides its address is met by the relay alone from then on', async () => {
  sessions[0]!.events.hides(true);
  await sessions[0]!.break();
  await later(retryMost);
  assert.deepEqual(sessions.map((s) => s.hidden), [false, true]);
  sessions[1]!.events.hides(false);
  await sessions[1]!.break();
  await later(2 * retryMost);
  assert.equal(sessions[2]!.hidden, false);
});
