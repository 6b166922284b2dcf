import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { toHex } from '../../src/bytes';
import type { Challenged } from '../../src/clocks';
import { SessionError, type SessionEvents } from '../../src/session/events';
import { pauseAfter, maxRetry, Watching, type Layer, type OneSession, type View } from '../../src/viewer/watching';

// Sessions that do what a test says, by the test's own clock.

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
    readonly nonce: string | undefined,
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
    this.events.track({} as MediaStream, this.played);
    this.layer.present!(1);
  }

  /** The pictures of its track. */
  readonly played = { issued: at, show: (rtp: number | undefined): void => void this.presented.push(rtp) };
  readonly presented: (number | undefined)[] = [];
}

class FakeLayer implements Layer {
  present: ((rtp: number | undefined) => void) | undefined;
  front_ = 0;
  ended = 0;
  drawn = 0;
  play(_: MediaStream, shown: (rtp: number | undefined) => void): void {
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

/** When challenges were issued. */
const at = { now: 1, wall: 1 };

let sessions: Fake[];
let onScreen: Challenged | undefined;
let said: string[];
let watching: Watching;
let now: number;
let alone: boolean;

beforeEach(async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  sessions = [];
  said = [];
  now = 0;
  alone = false;
  await begin();
});

/** Begins to watch. */
async function begin(): Promise<void> {
  const layers: FakeLayer[] = [];
  const note = (what: string) => (): void => void said.push(what);

  const on =
    (what: string) =>
    (of: Challenged): void => {
      onScreen = of;
      said.push(what);
    };

  const view: View = {
    layer: () => (layers.push(new FakeLayer()), layers.at(-1)!),
    shown: on('shown'),
    still: on('still'),
    explained: note('explained'),
    say: (text) => said.push(`says ${text}`),
    undecodable: note('undecodable'),
    waits: (w) => said.push(`waits ${w}`),
    behind: note('behind'),
    rejected: note('rejected'),
    relays: (list) => said.push(`relays ${list.version}`),
    retry: (m) => said.push(`retry ${m}`),
    failed: (m) => said.push(`failed ${m}`),
    paused: note('paused'),
    resumed: note('resumed'),
  };

  watching = new Watching(
    { probe: note('probe'), redial: note('redial'), alone },
    view,
    async (watch, events, cameraHides, nonce) => {
      sessions.push(new Fake(toHex(watch), events, layers.at(-1)!, cameraHides, nonce));
      return sessions.at(-1)!;
    },
    () => now,
  );

  watching.start(false);
  await settled();
}

afterEach(() => {
  watching.stop();
  mock.timers.reset();
});

const later = async (ms: number): Promise<void> => {
  now += ms;
  mock.timers.tick(ms);
  await settled();
};

test('a stalled session is replaced by another’s first picture, and both share one watch', async () => {
  const [first] = sessions;
  first!.play();
  first!.events.stalled(true);
  await settled();
  assert.deepEqual(said, ['shown', 'probe', 'retry Nothing arrives from the camera.']);
  assert.equal(sessions.length, 2);
  assert.equal(first!.closed, false, 'the one that stalled may revive');
  sessions[1]!.play();
  assert.deepEqual([first!.closed, first!.layer.ended, sessions[1]!.layer.front_], [true, 1, 1]);
  assert.equal(onScreen, sessions[1]!.played, 'what is judged is what is shown');
  assert.equal(sessions[0]!.watch, sessions[1]!.watch);
  assert.equal(sessions[0]!.watch.length, 32);
  const shown = said.length;
  first!.layer.present!(2); // a last picture of the replaced session
  assert.equal(said.length, shown);
  assert.deepEqual([onScreen, first!.presented], [sessions[1]!.played, [1, 2]]);
});

test('a session that recovers stays, and the other is dropped', async () => {
  const [first] = sessions;
  first!.play();
  first!.events.stalled(true);
  await settled();
  first!.events.stalled(false);
  assert.deepEqual([first!.closed, sessions[1]!.closed], [false, true]);
  sessions[1]!.events.track({} as MediaStream, sessions[1]!.played);
  assert.equal(sessions[1]!.layer.present, undefined);
  await later(2 * maxRetry);
  assert.equal(sessions.length, 2);
});

test('a session that ends is retried ever later, and the camera’s refusal is final', async () => {
  sessions[0]!.play();

  for (let n = 1; n < 9; n++) {
    await sessions.at(-1)!.break();
    await later(1.5 * maxRetry);
    assert.equal(sessions.length, n + 1);
  }

  await sessions.at(-1)!.break(new SessionError('no', true));
  assert.equal(said.at(-1), 'failed no');
  await later(2 * maxRetry);
  assert.equal(sessions.length, 9);
});

test('a session about to replace one that ends is not started again', async () => {
  sessions[0]!.play();
  sessions[0]!.events.stalled(true);
  await settled();
  await sessions[0]!.break();
  await later(2 * maxRetry);
  assert.equal(sessions.length, 2);
  sessions[1]!.play();
  assert.equal(said.at(-1), 'shown');
});

test('after a move a session begins beside the one that is shown, or instead of one that shows nothing', async () => {
  watching.moved();
  await settled();
  await later(maxRetry);
  assert.deepEqual([sessions.length, sessions[0]!.closed], [2, true]);
  sessions[1]!.play();
  watching.moved();
  await settled();
  assert.deepEqual([sessions.length, sessions[1]!.closed], [3, false]);
  watching.moved();
  await settled();
  assert.equal(sessions.length, 3, 'one is under way already');
  assert.equal(said.filter((s) => s === 'redial').length, 3);
});

/** The session tells its path. */
const takes = (session: Fake, rung: string): void =>
  session.events.explained({ selected: { rung } } as never, {} as never);

test('a session that shows nothing yet ends with its relay, unless it has a direct path', async () => {
  takes(sessions[0]!, 'direct');
  sessions[0]!.events.relayLost(false);
  assert.equal(sessions[0]!.closed, false);

  takes(sessions[0]!, 'relay-udp'); // there was no direct path after all
  await settled();
  assert.equal(sessions[0]!.closed, true);
  await later(maxRetry);
  assert.equal(sessions.length, 2);
  sessions[1]!.events.relayLost(false);
  assert.equal(sessions[1]!.closed, true);
});

test('a relayed session whose relay is lost is replaced before it stalls', async () => {
  sessions[0]!.play();
  takes(sessions[0]!, 'relay-tcp');
  sessions[0]!.events.relayLost(false);
  await settled();
  assert.deepEqual([sessions.length, sessions[0]!.closed, said.some((s) => s.startsWith('retry'))], [2, false, false]);
  sessions[0]!.events.stalled(true);
  sessions[0]!.events.stalled(false); // it revives, and its relay ends soon all the same
  assert.equal(sessions[1]!.closed, false);
  sessions[1]!.play();
  assert.deepEqual([sessions[0]!.closed, onScreen], [true, sessions[1]!.played]);
});

test('a session on a direct path needs no relay, and looks for one when it loses that path', async () => {
  sessions[0]!.play();
  takes(sessions[0]!, 'lan');
  sessions[0]!.events.relayLost(false);
  await settled();
  assert.equal(sessions.length, 1);
  takes(sessions[0]!, 'relay-udp');
  await settled();
  assert.equal(sessions.length, 2);
});

test('a relayed session stays with the only relay, which may drain', async () => {
  watching.stop();
  alone = true;
  await begin();
  const session = sessions.at(-1)!;
  session.play();
  takes(session, 'relay-udp');
  session.events.relayLost(false);
  await settled();
  assert.equal(sessions.at(-1), session);

  session.events.relayLost(true); // it was another one: the only relay at which the camera is can grant
  await settled();
  assert.notEqual(sessions.at(-1), session);
});

test('a hidden page leaves a lost relay when it is seen again', async () => {
  sessions[0]!.play();
  takes(sessions[0]!, 'relay-udp');
  watching.hide();
  sessions[0]!.events.relayLost(false);
  await settled();
  assert.equal(sessions.length, 1);
  watching.show();
  await settled();
  assert.equal(sessions.length, 2);
});

test('a hidden page lets the camera stop, and resumes at once', async () => {
  sessions[0]!.play();
  watching.hide();
  await later(pauseAfter - 1);
  assert.equal(sessions[0]!.closed, false);
  await later(1);
  assert.deepEqual([sessions[0]!.closed, said.at(-1)], [true, 'paused']);
  await later(10 * maxRetry);
  watching.moved();
  assert.equal(sessions.length, 1, 'nobody looks');
  watching.show();
  await settled();
  assert.equal(sessions.length, 2);
  assert.deepEqual(said.slice(-2), ['resumed', 'probe']);
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

test('a page that slept with its device starts a session beside the one it had', async () => {
  sessions[0]!.play();
  watching.hide();
  now += 3_600_000; // no timer ran either
  watching.show();
  await settled();
  assert.deepEqual([sessions.length, sessions[0]!.closed, said.includes('redial')], [2, false, true]);
});

test('only the shown session is heard, except for rejections', async () => {
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
  const first = (n: number, captured: number): void =>
    sessions[n]!.events.first(
      picture(() => closed++),
      { issued: at },
      captured,
    );

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

test('stopped watching shows nothing and starts nothing', async () => {
  sessions[0]!.play();
  watching.stop();
  said = [];
  sessions[0]!.layer.present!(2);

  let closed = false;
  sessions[0]!.events.picture(
    picture(() => (closed = true)),
    { issued: at },
  );

  watching.moved();
  watching.hide();
  watching.show();
  await later(10 * maxRetry);
  assert.deepEqual([said, sessions.length, closed], [[], 1, true]);
});

test('a camera that hides its address is reached only through the relay from then on', async () => {
  sessions[0]!.events.hides(true);
  await sessions[0]!.break();
  await later(maxRetry);

  assert.deepEqual(
    sessions.map((s) => s.hidden),
    [false, true],
  );

  sessions[1]!.events.hides(false);
  await sessions[1]!.break();
  await later(2 * maxRetry);
  assert.equal(sessions[2]!.hidden, false);
});

test('a camera whose clock is wrong gets its nonce with the next offer, once', async () => {
  sessions[0]!.events.clockDisagrees('a nonce');
  await sessions[0]!.break(new SessionError('This camera’s clock is wrong.'));
  assert.deepEqual(said, ['retry This camera’s clock is wrong.']);
  await later(maxRetry);
  assert.equal(sessions[1]!.nonce, 'a nonce');
  await sessions[1]!.break();
  await later(maxRetry);
  assert.equal(sessions[2]!.nonce, undefined);
  assert.equal(sessions[0]!.nonce, undefined);
});

test('a session that is no longer wanted is not heard', async () => {
  const [first] = sessions;
  first!.play();
  first!.events.stalled(true);
  await settled();
  sessions[1]!.play();
  first!.events.clockDisagrees('too late');
  sessions[1]!.events.stalled(true);
  await settled();
  assert.equal(sessions[2]!.nonce, undefined);
});
