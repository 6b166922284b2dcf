const relayOnlyKey = 'peephole.hide-address';

/** What a person chose on this device, in every tab: kept beside the cameras, in this browser alone. */
export class Device {
  #relayOnly = localStorage.getItem(relayOnlyKey) === 'yes';

  constructor(private readonly changed: () => void) {
    addEventListener('storage', (e) => {
      if (e.key !== relayOnlyKey && e.key !== null) return;
      this.#take(e.key !== null && e.newValue === 'yes');
    });
  }

  /** The cameras and their networks learn no address of this device: all goes through the relay. */
  get relayOnly(): boolean {
    return this.#relayOnly;
  }

  set relayOnly(yes: boolean) {
    localStorage.setItem(relayOnlyKey, yes ? 'yes' : 'no');
    this.#take(yes);
  }

  #take(yes: boolean): void {
    if (yes === this.#relayOnly) return;
    this.#relayOnly = yes;
    this.changed();
  }
}
