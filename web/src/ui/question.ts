import { Attention, longEnough } from './attention';
import { element } from './element';
import type { Code } from '../crypto/pairing';

// The question whether to pair (doc/protocol.md, section 3.5): what a code leads to, in words for a person.

/** What the page knows about a code before it has reached anyone. */
export interface Known {
  /** The name of the paired camera that shows the code; undefined for a new camera. */
  name: string | undefined;
  /** When that camera was paired, in Unix milliseconds. */
  pairedAt: number | undefined;
  /** This device reveals no address to cameras. */
  hides: boolean;
}

export class Question {
  readonly #yes: HTMLButtonElement;
  readonly #attention = new Attention();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #asked: { code: Code; known: Known } | undefined;

  constructor(
    private readonly root: HTMLElement,
    private readonly agreed: (code: Code, known: Known) => void,
  ) {
    this.#yes = element(root, '.yes', HTMLButtonElement);
    this.#yes.addEventListener('click', () => this.#answer());
    for (const type of ['focus', 'blur']) addEventListener(type, () => this.#restart());
    document.addEventListener('visibilitychange', () => this.#restart());
  }

  /** Shows what the code leads to, and waits for a person. Replaces an earlier question. */
  ask(code: Code, words: string[], known: Known): void {
    this.#asked = { code, known };

    const spans = words.map((w) => Object.assign(document.createElement('span'), { textContent: w }));
    this.#find('.words').replaceChildren(...spans.flatMap((s) => [s, ' ']));
    this.#find('.relay').textContent = code.relayURL;
    this.#find('.own').hidden = code.relayURL !== location.origin;
    this.#find('.other').hidden = code.relayURL === location.origin;
    this.#find('.page').textContent = location.origin;
    this.#find('.address').hidden = known.hides;
    this.#find('.expired').hidden = Date.now() / 1000 <= code.expiry;
    this.#yes.textContent = known.name === undefined ? 'Add camera' : 'Pair again';
    this.root.hidden = false;
    this.#restart();
  }

  /** Forgets the code, so that nobody can agree to it any more. */
  withdraw(): void {
    this.#asked = undefined;
    this.root.hidden = true;
    this.#restart();
  }

  #answer(): void {
    const asked = this.#asked;
    if (asked === undefined || !this.#attention.enough(performance.now())) return;
    this.#asked = undefined; // one answer: the second of two clicks finds nothing
    this.#restart();
    this.agreed(asked.code, asked.known);
  }

  #restart(): void {
    clearTimeout(this.#timer);
    this.#attention.restart(this.#asked !== undefined && !document.hidden, performance.now());
    this.#yes.disabled = true;
    if (this.#asked !== undefined) this.#timer = setTimeout(() => this.#enable(), longEnough);
  }

  #enable(): void {
    if (this.#attention.enough(performance.now())) this.#yes.disabled = false;
    else if (!document.hidden) this.#timer = setTimeout(() => this.#enable(), 20); // a timer may fire early
  }

  #find = (selector: string): HTMLElement => element(this.root, selector, HTMLElement);
}
