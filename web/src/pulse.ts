/** How long nothing may arrive before the camera counts as out of reach for now; the terminal viewer waits as long. Milliseconds. */
export const stallAfter = 700;
const checkEvery = stallAfter / 4;

/** Notices that nothing arrives from the camera, and that it does again. A hidden page is not asked: browsers slow its timers. */
export class Pulse {
  #last = performance.now();
  #stalled = false;
  #arrived = '';
  #asking = false;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(
    /** Counts what has arrived: another text is something new. */
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

  /** Numbers are asked for only where no frame came: a picture that moves costs nothing. */
  async #check(): Promise<void> {
    if (this.hidden()) this.#last = performance.now();
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

/** What a connection has received, as far as a browser counts it. */
export async function received(pc: RTCPeerConnection): Promise<string> {
  const counts: unknown[] = [];
  (await pc.getStats()).forEach((s: Record<string, unknown>) => {
    if (s['type'] === 'candidate-pair') counts.push(s['id'], s['bytesReceived'], s['requestsReceived'], s['responsesReceived'], s['lastPacketReceivedTimestamp']);
  });
  return counts.join(' ');
}
