const relayOnlyKey = 'peephole.hide-address';

/** What a person chose on this device, for all tabs. It is stored beside the cameras, in this browser alone. */
export class Device {
  #relayOnly = localStorage.getItem(relayOnlyKey) === 'yes';

  constructor(private readonly changed: () => void) {
    addEventListener('storage', (e) => {
      // A choice in another tab applies to this one. Clearing the storage is no choice, and reveals nobody's address.
      if (e.key === relayOnlyKey && e.newValue !== null) this.#choose(e.newValue === 'yes');
    });
  }

  /** Cameras and their networks learn no address of this device, since everything goes through the relay. */
  get relayOnly(): boolean {
    return this.#relayOnly;
  }

  set relayOnly(yes: boolean) {
    localStorage.setItem(relayOnlyKey, yes ? 'yes' : 'no');
    this.#choose(yes);
  }

  #choose(yes: boolean): void {
    if (yes === this.#relayOnly) return;
    this.#relayOnly = yes;
    this.changed();
  }
}
