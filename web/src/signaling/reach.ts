// Explains why a relay cannot be reached. A browser does not say why a WebSocket failed; but if plain HTTP gets through
// before the WebSocket fails again, a proxy does not carry WebSocket.

/** What a person reads if the relay, or a proxy in front of it, takes the connection and sends nothing over it. */
export const heldBack = (host: string): string =>
  `The relay at ${host} accepts the connection and then sends nothing. It hangs, or a proxy in front of it holds ` +
  'back what it sends: tell whoever runs it.';

export class Reach {
  #http = false; // plain HTTP got through, and no WebSocket has since
  #held = false; // the last WebSocket was accepted, and nothing arrived
  readonly #host: string;

  constructor(
    private readonly relayURL: string,
    private readonly origin = location.origin,
    private readonly get: typeof fetch = (...args) => fetch(...args),
  ) {
    this.#host = new URL(relayURL).host;
  }

  connected(): void {
    this.#http = this.#held = false;
  }

  /** Reports whether a proxy does not carry WebSocket, so that trying again is of no use. */
  get blocked(): boolean {
    return this.#http;
  }

  /**
   * Notes that a WebSocket failed, and returns a sentence for the person. `held` means that it was accepted, and
   * nothing arrived. On a slow network that happens once.
   */
  failed(held = false): string {
    const again = held && this.#held;
    this.#held = held;
    if (again) return heldBack(this.#host);

    if (!held && this.#http) {
      return (
        `A proxy in front of the relay at ${this.#host} blocks WebSocket: ` +
        'ask its operator to pass the Upgrade and Connection headers on.'
      );
    }
    if (!held) void this.#ask();
    return `Cannot reach the relay at ${this.#host}. Trying again.`;
  }

  /** Asks only the page's own relay: the browser does not let this page read what another origin answers. */
  async #ask(): Promise<void> {
    if (new URL(this.relayURL).origin !== this.origin) return;
    const answer = await this.get(`${this.relayURL}/v1/servers`, { cache: 'no-store' }).catch(() => undefined);
    this.#http = answer?.ok === true;
  }
}
