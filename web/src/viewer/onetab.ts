// Runs work that reads a mailbox in one tab only. A relay serves two readers of a mailbox, and a third would displace
// one of them (doc/protocol.md, section 5.2). The tabs of a browser agree by Web Locks.

/** Thrown in a tab whose work another tab has taken over, as a person asked. */
export class TakenOver extends Error {
  override name = 'TakenOver';

  constructor() {
    super('This continues in another tab.');
  }
}

/** What a tab tells the person. */
export interface Tabs {
  /**
   * Another tab does the work. Calling take moves it to this tab at once; otherwise this tab begins when the other
   * finishes or is closed.
   */
  elsewhere(take: () => void): void;
  /** This tab does the work now. */
  here(): void;
}

/**
 * Does work while no other tab does work of the same name; stops waiting for them when ended is aborted. The signal
 * that work gets is aborted then too, and also when another tab takes over, in which case TakenOver is thrown.
 */
export async function inOneTab<T>(
  name: string,
  tabs: Tabs,
  ended: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
  locks: LockManager = navigator.locks,
): Promise<T> {
  const taken = new AbortController();
  const signal = AbortSignal.any([ended, taken.signal]);
  const hold = async (options: LockOptions): Promise<{ done: T } | undefined> => {
    let held = false; // by this request
    try {
      return await locks.request(name, options, async (lock) => {
        if (lock === null) return undefined;
        held = true;
        tabs.here();
        return { done: await work(signal) };
      });
    } catch (e) {
      if (!held || ended.aborted || !(e instanceof DOMException) || e.name !== 'AbortError') throw e;
      taken.abort(new TakenOver());
      throw new TakenOver();
    }
  };

  const first = (await hold({ ifAvailable: true })) ?? (await afterOthers(tabs, ended, hold));
  return first.done;
}

/** Takes the lock when the other tab releases it, or at once if the person asks. */
function afterOthers<T>(tabs: Tabs, ended: AbortSignal, hold: (o: LockOptions) => Promise<T | undefined>): Promise<T> {
  return new Promise((resolve, reject) => {
    const waiting = new AbortController();
    const settle = (got: T | undefined): void => (got === undefined ? undefined : resolve(got));
    tabs.elsewhere(() => {
      waiting.abort();
      hold({ steal: true }).then(settle, reject);
    });

    hold({ signal: AbortSignal.any([ended, waiting.signal]) }).then(settle, (e: unknown) => {
      if (e !== waiting.signal.reason) reject(e as Error);
    });
  });
}
