import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inOneTab, TakenOver, type Tabs } from '../../src/viewer/onetab';

// The part of a browser's LockManager that is used: one lock for each name, waiting requests in turn, stealing, and
// giving up.
class Locks {
  #held: { lose: (e: DOMException) => void } | undefined;
  readonly #queue: (() => void)[] = [];

  request = async (
    _name: string,
    options: LockOptions,
    work: (lock: object | null) => Promise<unknown>,
  ): Promise<unknown> => {
    if (options.ifAvailable && this.#held) return work(null);

    if (options.steal) {
      this.#held?.lose(new DOMException('stolen', 'AbortError'));
      this.#held = undefined;
    }

    while (this.#held) await this.#turn(options.signal);
    return this.#hold(work);
  };

  #turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#queue.push(resolve);
      signal?.addEventListener('abort', () => reject(signal.reason as Error));
    });
  }

  async #hold(work: (lock: object) => Promise<unknown>): Promise<unknown> {
    let lose = (_: DOMException): void => undefined;
    const lost = new Promise<never>((_, reject) => (lose = reject));
    const mine = { lose };
    this.#held = mine;

    try {
      return await Promise.race([work({}), lost]);
    } finally {
      if (this.#held === mine) this.#held = undefined;
      this.#queue.shift()?.();
    }
  }
}

/** The work of one tab, seen from outside. */
class Tab implements Tabs {
  said: string[] = [];
  take = (): void => assert.fail('no other tab works');
  signal: AbortSignal | undefined;
  finish = (_: string): void => undefined;
  readonly closed = new AbortController();
  readonly done: Promise<string>;

  constructor(locks: Locks) {
    this.done = inOneTab('mailbox', this, this.closed.signal, (signal) => this.#work(signal), locks as never);
    this.done.catch(() => undefined); // each test checks it
  }

  elsewhere(take: () => void): void {
    this.said.push('elsewhere');
    this.take = take;
  }

  here(): void {
    this.said.push('here');
  }

  #work(signal: AbortSignal): Promise<string> {
    this.signal = signal;
    return new Promise((resolve) => (this.finish = resolve));
  }
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('the first tab works, and the second waits until it is done', async () => {
  const locks = new Locks();
  const first = new Tab(locks);
  await settle();
  const second = new Tab(locks);
  await settle();
  assert.deepEqual([first.said, second.said], [['here'], ['elsewhere']]);
  assert.equal(second.signal, undefined, 'the second does not work beside the first');

  first.finish('first');
  assert.equal(await first.done, 'first');
  await settle();
  assert.deepEqual(second.said, ['elsewhere', 'here']);
  second.finish('second');
  assert.equal(await second.done, 'second');
});

test('on request the second tab takes over, and the first stops', async () => {
  const locks = new Locks();
  const first = new Tab(locks);
  await settle();
  const second = new Tab(locks);
  await settle();

  second.take();
  await assert.rejects(first.done, (e) => e instanceof TakenOver && e.message === 'This continues in another tab.');
  assert.ok(first.signal?.aborted);
  await settle();
  assert.deepEqual(second.said, ['elsewhere', 'here']);
  assert.ok(!second.signal?.aborted);
  second.finish('second');
  assert.equal(await second.done, 'second');
});

test('work that fails ends, and the next tab works', async () => {
  const locks = new Locks();
  const fails = (): Promise<never> => Promise.reject(new Error('no relay'));
  const failing = inOneTab('mailbox', new Tab(new Locks()), new AbortController().signal, fails, locks as never);
  await assert.rejects(failing, /no relay/);
  const next = new Tab(locks);
  await settle();
  assert.deepEqual(next.said, ['here']);
});

test('a tab that is closed while it waits never works', async () => {
  const locks = new Locks();
  const first = new Tab(locks);
  await settle();
  const second = new Tab(locks);
  await settle();
  second.closed.abort(new Error('closed'));
  await assert.rejects(second.done, /closed/);

  first.finish('first');
  assert.equal(await first.done, 'first');
  await settle();
  assert.deepEqual(second.said, ['elsewhere']);
});
