/**
 * How long nothing may arrive before the camera counts as unreachable for now, in milliseconds. The terminal viewer
 * waits as long.
 */
export const stallAfter = 700;
const checkEvery = stallAfter / 4;

/**
 * Notices when nothing arrives from the camera, and when something does again. It pauses on a hidden page, because
 * browsers slow its timers; and time in which this device was too busy to listen, and so to run timers, does not count
 * as silence.
 */
export class Pulse {
  #last = performance.now();
  #due = this.#last + checkEvery;
  #stalled = false;
  #arrived = '';
  #asking = false;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(
    /** Counts what has arrived: a different string means that something did. */
    private readonly count: () => Promise<string>,
    /** Asks the camera for a sign of life. */
    private readonly probe: () => void,
    private readonly stalled: (stalled: boolean) => void,
    private readonly hidden: () => boolean = () => document.hidden,
  ) {
    this.#timer = setInterval(() => void this.#check(), checkEvery);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Something has arrived. */
  beat(): void {
    this.#last = performance.now();
    if (!this.#stalled) return;
    this.#stalled = false;
    this.stalled(false);
  }

  /** IceStats are read only while no frame comes, so a moving picture costs nothing. */
  async #check(): Promise<void> {
    const now = performance.now();
    this.#last = this.hidden() ? now : Math.min(now, this.#last + Math.max(now - this.#due, 0));
    this.#due = now + checkEvery;
    if (this.#asking || performance.now() - this.#last < stallAfter / 2) return;

    this.#asking = true;
    const arrived = await this.count().catch(() => this.#arrived);
    this.#asking = false;

    if (arrived !== this.#arrived) {
      this.#arrived = arrived;
      return this.beat();
    }
    if (this.#stalled) return;
    if (performance.now() - this.#last < stallAfter) return this.probe();

    this.#stalled = true;
    this.stalled(true);
  }
}

/** Returns what a connection has received, as far as the browser counts it. */
export async function received(pc: RTCPeerConnection): Promise<string> {
  const counts: unknown[] = [];
  (await pc.getStats()).forEach((s: Record<string, unknown>) => {
    if (s['type'] === 'candidate-pair') {
      counts.push(
        s['id'],
        s['bytesReceived'],
        s['requestsReceived'],
        s['responsesReceived'],
        s['lastPacketReceivedTimestamp'],
      );
    }
  });

  return counts.join(' ');
}
