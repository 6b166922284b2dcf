import { element } from './element';
import type { Identity } from '../crypto/identity';
import { inOneTab, TakenOver, type Tabs } from '../viewer/onetab';
import { pairingName, pairWith } from '../viewer/pair';
import { formatCode, parseCode, pairingError, PairingError, sentences, type Code } from '../crypto/pairing';
import { dropCode, keepCode } from './pendingcode';
import { readPicture, scanLens } from './qr';
import { Question, type Known } from './question';
import { reaches, reopenToPair } from './relays';
import { StorageError, type Camera } from '../viewer/store';
import { codeWords, deviceWords } from '../crypto/words';

// The dialog that adds a camera: with the device's own camera, from a picture of the code, or by its link. Each leads
// to one question, and nothing leaves the browser before a person has answered yes.

export interface PairDialogHooks {
  known(code: Code): Promise<Known>;
  /** This browser's identity, made when first needed. Throws StorageError if no camera could be stored. */
  identity(): Promise<Identity>;
  paired(c: Camera): Promise<void>;
  closed(): void;
}

const addedElsewhere = 'Another tab has added this camera. Reload this page to see it.';

const told = (e: unknown, what: string): string =>
  e instanceof PairingError || e instanceof StorageError || e instanceof TakenOver
    ? e.message
    : `${what}: ${String(e)}`;

export class PairDialog {
  readonly #dialog = element(document, '#pair', HTMLDialogElement);
  readonly #title = element(this.#dialog, '#pair-title', HTMLElement);
  readonly #ways = element(this.#dialog, '.ways-in', HTMLElement);
  readonly #progress = element(this.#dialog, '.progress', HTMLElement);
  readonly #error = element(this.#dialog, '.error', HTMLElement);
  readonly #lens = element(this.#dialog, '.lens', HTMLElement);
  readonly #link = element(this.#dialog, '#link', HTMLInputElement);
  readonly #scan = element(this.#dialog, '#scan', HTMLButtonElement);
  readonly #takeOver = element(this.#dialog, '.take', HTMLButtonElement);
  readonly #question: Question;
  #scanning: AbortController | undefined;
  #pairing: AbortController | undefined;
  #offered = 0; // counts the codes: only the last is asked about

  constructor(private readonly hooks: PairDialogHooks) {
    const section = element(this.#dialog, '.question', HTMLElement);
    this.#question = new Question(section, (code, known) => void this.#pair(code, known));
    element(section, '.no', HTMLButtonElement).addEventListener('click', () => this.#dialog.close());

    // The dialog's close event would come with the next frame, or only when the tab is shown again.
    new MutationObserver(() => {
      if (!this.#dialog.open) this.#closed();
    }).observe(this.#dialog, { attributeFilter: ['open'] });
    addEventListener('pagehide', () => this.#left());

    const picture = element(this.#dialog, '#picture', HTMLInputElement);
    this.#scan.addEventListener('click', () => void this.#fromLens());

    picture.addEventListener('change', () => {
      const file = picture.files?.[0];
      picture.value = '';
      if (file) void this.#fromPicture(file);
    });

    element(this.#dialog, '#link-form', HTMLFormElement).addEventListener('submit', (e) => {
      e.preventDefault();
      void this.offer(this.#link.value);
    });

    // These work anywhere on the page.
    document.addEventListener('paste', (e) => {
      this.#fromTransfer(e.clipboardData, e.target instanceof HTMLInputElement);
    });
    document.addEventListener('dragover', (e) => e.preventDefault());

    document.addEventListener('drop', (e) => {
      e.preventDefault();
      this.#fromTransfer(e.dataTransfer, false);
    });
  }

  get isOpen(): boolean {
    return this.#dialog.open;
  }

  /** Shows the ways to add a camera. */
  open(): void {
    if (this.#pairing) return;
    this.#scanning?.abort();
    this.#showWays();
    this.#link.value = '';
    if (!this.#dialog.open) this.#dialog.showModal();
  }

  /** Reads a code and asks about it, however it came. While one camera is being added, another has to wait. */
  async offer(text: string): Promise<void> {
    if (this.#pairing) return;

    const offered = ++this.#offered;
    this.open();

    try {
      const code = await parseCode(text);
      if (code.role !== 1) throw pairingError('notACamera');
      const [words, known] = await Promise.all([codeWords(code), this.hooks.known(code)]);
      if (offered !== this.#offered) return;
      keepCode(text.trim());
      this.#ask(code, words, known);
    } catch (e) {
      if (offered === this.#offered) this.#fail(told(e, 'This code could not be read'));
    }
  }

  #ask(code: Code, words: string[], known: Known): void {
    this.#title.textContent = known.name === undefined ? 'Add a NEW camera?' : `Pair again with ${known.name}?`;
    this.#title.setAttribute('aria-describedby', 'pair-question');
    this.#ways.hidden = true;
    this.#say('');
    this.#question.ask(code, words, known);
    this.#title.focus(); // screen readers start here, and pressing Enter does not answer an unread question
  }

  /**
   * Continues with a code to which a person agreed before the page was reopened so that it may reach the code's relay.
   */
  async resume(link: string): Promise<void> {
    this.open();
    this.#ways.hidden = true;
    keepCode(link);

    try {
      const code = await parseCode(link);
      await this.#pair(code, await this.hooks.known(code));
    } catch (e) {
      this.#fail(told(e, 'This code could not be read'));
    }
  }

  /** A person has agreed. From here on, and from nowhere else, a relay is reached because of a code. */
  async #pair(code: Code, known: Known): Promise<void> {
    if (!reaches(code.relayURL)) {
      const [offered, link] = [this.#offered, await formatCode(code)];
      if (offered !== this.#offered || reopenToPair(link)) return; // another page comes, and continues in resume
      this.#fail('This page cannot use any more relays. Open the link itself: its relay has this page too.');
      return;
    }

    const pairing = new AbortController();
    this.#pairing = pairing;
    this.#title.textContent = 'Adding the camera…';
    this.#title.focus(); // away from the answer, which cannot be given twice
    this.#say('Keep the camera on.');

    try {
      const self = await this.hooks.identity();
      const words = (await deviceWords(self.bundle.fingerprint)).join(' ');
      const tabs = this.#tabs(`Keep the camera on. It calls this browser: ${words}`);
      await inOneTab(pairingName(code), tabs, pairing.signal, async (signal) => {
        if ((await this.hooks.known(code)).pairedAt !== known.pairedAt) throw new PairingError(addedElsewhere);
        const camera = await pairWith(self, code, signal);
        signal.throwIfAborted();
        await this.hooks.paired(camera);
      });

      this.#dialog.close();
    } catch (e) {
      if (pairing.signal.aborted) return;
      this.#pairing = undefined;
      this.open();
      this.#fail(told(e, 'The camera could not be added'));
    } finally {
      if (this.#pairing === pairing) this.#pairing = undefined;
    }
  }

  /** What the dialog says while this tab pairs, and while another tab of this browser does. */
  #tabs(working: string): Tabs {
    return {
      elsewhere: (take) => {
        this.#say('Another tab is adding this camera.');
        this.#takeOver.hidden = false;
        this.#takeOver.onclick = () => {
          this.#takeOver.hidden = true; // a second click finds nothing
          take();
        };
      },
      here: () => this.#say(working),
    };
  }

  /** Closing the dialog ends whatever was under way and forgets its code. */
  #closed(): void {
    this.#left();
    dropCode();
    this.hooks.closed();
  }

  /** Nothing continues after the person has left the page. The code stays, so that the question can be asked again. */
  #left(): void {
    this.#offered++;
    this.#scanning?.abort();
    this.#pairing?.abort();
    this.#pairing = undefined;
    this.#question.withdraw();
  }

  #fromTransfer(data: DataTransfer | null, typing: boolean): void {
    if (data === null || this.#pairing) return;

    const file = [...data.files].find((f) => f.type.startsWith('image/'));
    if (file) {
      this.open();
      void this.#fromPicture(file);
      return;
    }

    const text = data.getData('text/plain');
    if (!typing && text.includes('/pair#')) void this.offer(text);
  }

  async #fromPicture(file: Blob): Promise<void> {
    const offered = ++this.#offered;
    this.#say('Looking for a code in the picture…');
    const text = await readPicture(file).catch(() => undefined);
    if (offered !== this.#offered) return;
    if (text === undefined) return this.#fail('No code found. Try a closer, sharper photo, or paste the link.');
    await this.offer(text);
  }

  async #fromLens(): Promise<void> {
    if (this.#scanning) return this.#scanning.abort();

    const scanning = new AbortController();
    this.#scanning = scanning;
    this.#lens.hidden = false;
    this.#scan.textContent = 'Stop scanning';
    this.#say('');

    try {
      const text = await scanLens(element(this.#lens, 'video', HTMLVideoElement), scanning.signal);
      if (text !== undefined && !scanning.signal.aborted) await this.offer(text);
    } catch {
      if (scanning.signal.aborted) return;
      this.#fail('This device’s camera cannot be used. Allow it for this page, choose a picture, or paste the link.');
    } finally {
      if (this.#scanning === scanning) this.#scanning = undefined;
      this.#lens.hidden = true;
      this.#scan.textContent = 'Scan the code';
    }
  }

  #showWays(): void {
    this.#title.textContent = 'Add a camera';
    this.#title.removeAttribute('aria-describedby');
    this.#question.withdraw();
    dropCode();
    this.#ways.hidden = false;
    this.#say('');
  }

  #say(text: string): void {
    this.#takeOver.hidden = true;
    this.#progress.textContent = text;
    this.#error.hidden = true;
  }

  #fail(text: string): void {
    this.#takeOver.hidden = true;
    this.#progress.textContent = '';
    this.#error.textContent = text || sentences.foreign;
    this.#error.hidden = false;
  }
}
