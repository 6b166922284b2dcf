import { element } from './element';
import type { Identity } from './identity';
import { pairWith } from './pair';
import { PairingError, sentences } from './pairing';
import { readPicture, scanLens } from './qr';
import type { Camera } from './store';

// The dialog that adds a camera: by the device's lens, by a picture of the code, or by its link.

export class PairDialog {
  readonly #dialog = element(document, '#pair', HTMLDialogElement);
  readonly #progress = element(this.#dialog, '.progress', HTMLElement);
  readonly #error = element(this.#dialog, '.error', HTMLElement);
  readonly #lens = element(this.#dialog, '.lens', HTMLElement);
  readonly #link = element(this.#dialog, '#link', HTMLInputElement);
  readonly #scan = element(this.#dialog, '#scan', HTMLButtonElement);
  #scanning: AbortController | undefined;
  #busy = false;

  constructor(
    private readonly self: Identity,
    private readonly paired: (c: Camera) => Promise<void>,
  ) {
    const picture = element(this.#dialog, '#picture', HTMLInputElement);
    this.#scan.addEventListener('click', () => void this.#fromLens());
    picture.addEventListener('change', () => {
      const file = picture.files?.[0];
      picture.value = '';
      if (file) void this.#fromPicture(file);
    });
    element(this.#dialog, '#link-form', HTMLFormElement).addEventListener('submit', (e) => {
      e.preventDefault();
      void this.pair(this.#link.value);
    });
    this.#dialog.addEventListener('close', () => this.#scanning?.abort());
    // Anywhere on the page.
    document.addEventListener('paste', (e) => this.#fromFiles(e.clipboardData?.files));
    document.addEventListener('dragover', (e) => e.preventDefault());
    document.addEventListener('drop', (e) => {
      e.preventDefault();
      this.#fromFiles(e.dataTransfer?.files);
    });
  }

  open(): void {
    this.#say('');
    this.#link.value = '';
    if (!this.#dialog.open) this.#dialog.showModal();
  }

  /** Pairs by a link; the dialog shows how it goes. */
  async pair(link: string): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    this.#say('Pairing… keep the camera on.');
    try {
      await this.paired(await pairWith(this.self, link));
      this.#dialog.close();
    } catch (e) {
      this.#fail(e instanceof PairingError ? e.message : `Pairing did not work: ${String(e)}`);
    } finally {
      this.#busy = false;
    }
  }

  #fromFiles(files: FileList | undefined): void {
    const file = [...(files ?? [])].find((f) => f.type.startsWith('image/'));
    if (file === undefined || this.#busy) return;
    this.open();
    void this.#fromPicture(file);
  }

  async #fromPicture(file: Blob): Promise<void> {
    this.#say('Looking for a code in the picture…');
    const text = await readPicture(file).catch(() => undefined);
    if (text === undefined) return this.#fail('No code can be read in this picture. Take it closer and sharper, or paste the link.');
    await this.pair(text);
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
      this.#endScan();
      if (text !== undefined) await this.pair(text);
    } catch {
      this.#fail('The lens cannot be used here. Allow it for this page, choose a picture, or paste the link.');
    } finally {
      this.#endScan();
    }
  }

  #endScan(): void {
    this.#scanning = undefined;
    this.#lens.hidden = true;
    this.#scan.textContent = 'Scan the code';
  }

  #say(text: string): void {
    this.#progress.textContent = text;
    this.#error.hidden = true;
  }

  #fail(text: string): void {
    this.#progress.textContent = '';
    this.#error.textContent = text || sentences.foreign;
    this.#error.hidden = false;
  }
}
