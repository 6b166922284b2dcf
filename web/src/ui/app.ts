import { equal, type Bytes } from '../bytes';
import { Card } from './card';
import { Device } from './device';
import { element } from './element';
import { Clock } from '../crypto/expiry';
import { Bundle, type Identity } from '../crypto/identity';
import { PairDialog } from './pairdialog';
import { takeCode, type PendingCode } from './pendingcode';
import { printableName } from '../printable';
import { reaches, relaysOf, reopen } from './relays';
import { StorageError, Store, type Camera } from '../viewer/store';
import { deviceWords } from '../crypto/words';

// The page: a card for each camera, and the dialog that adds one. A visit alone changes nothing. It stores nothing, and
// reaches only cameras that a person added and left watched, once somebody looks at the page. Everything else begins
// with a click.

const keepClockEvery = 3_600_000;
const keepCameraEvery = 5_000;

const notice = element(document, '#notice', HTMLElement);

function say(text: string): void {
  notice.textContent = text;
  notice.hidden = text === '';
}

const errorText = (e: unknown): string => (e instanceof StorageError ? e.message : String(e));
const sayError = (e: unknown): void => say(errorText(e));

/** Returns why this browser cannot be a viewer; undefined if it can. */
function lacking(): string | undefined {
  if (!globalThis.isSecureContext) {
    return 'Open this page over https, or at 127.0.0.1 on this machine: browsers encrypt only on secure pages.';
  }
  if (
    typeof RTCPeerConnection === 'undefined' ||
    typeof RTCRtpScriptTransform === 'undefined' ||
    typeof VideoDecoder === 'undefined'
  ) {
    return 'This browser is too old for encrypted video. Use a current Chrome, Edge, Firefox or Safari.';
  }

  return undefined;
}

class App {
  readonly #list = element(document, '#cameras', HTMLElement);
  readonly #empty = element(document, '#empty', HTMLElement);
  readonly #cards = new Map<string, Card>();
  /** Watched as soon as somebody looks at the page and no dialog is open. */
  readonly #waiting = new Set<Card>();
  readonly #dialog: PairDialog;
  readonly #device = new Device(() => this.#chosen());

  constructor(
    private readonly store: Store,
    private readonly clock: Clock,
  ) {
    this.#dialog = new PairDialog({
      known: async ({ fingerprint }) => {
        const camera = await this.#kept(fingerprint);
        const name = camera && printableName(camera.name);
        return { name, pairedAt: camera?.pairedAt, hides: this.#device.relayOnly };
      },
      identity: () => this.store.checkRoom().then(() => this.#identity()),
      paired: (c) => this.#paired(c),
      closed: () => this.#watch(),
    });

    for (const id of ['#add', '#add-first']) {
      const button = element(document, id, HTMLButtonElement);
      button.addEventListener('click', () => this.#dialog.open());
      button.disabled = false;
    }

    const hide = element(document, '#hide-address', HTMLInputElement);
    hide.addEventListener('change', () => (this.#device.relayOnly = hide.checked));
    hide.checked = this.#device.relayOnly;
    hide.disabled = false;
    document.addEventListener('click', (e) => closeMenus(e.target as Node));
    this.#follow();
  }

  /** Tells the cards what the browser says about the device. */
  #follow(): void {
    const each = (f: (c: Card) => void) => () => this.#cards.forEach(f);
    document.addEventListener(
      'visibilitychange',
      each((c) => c.visible(!document.hidden)),
    );

    document.addEventListener('visibilitychange', () => this.#watch());

    addEventListener(
      'online',
      each((c) => c.moved()),
    );

    const { connection } = navigator as { connection?: EventTarget & { type?: string } }; // Firefox and Safari lack it
    let type = connection?.type;
    connection?.addEventListener('change', () => {
      // The type, where the browser reports it. Estimates change all the time, and may be about another network.
      const same = connection.type === type;
      type = connection.type;
      this.#cards.forEach((c) => (same ? c.probe() : c.moved()));
    });
  }

  #chosen(): void {
    element(document, '#hide-address', HTMLInputElement).checked = this.#device.relayOnly;
    this.#cards.forEach((c) => c.restart());
  }

  /** Shows the cameras. Then pairs by a code to which a person has agreed, or asks about one. */
  async show(cameras: Camera[], code: PendingCode | undefined): Promise<void> {
    if (cameras.length > 0) {
      const self = await this.#identity();
      for (const c of cameras) this.#add(c, self);
    }

    this.#count();
    if (code?.agreed === true) void this.#dialog.resume(code.link);
    else if (code !== undefined) void this.#dialog.offer(code.link);
    this.#watch();
  }

  /** Returns this browser's identity, which the first call makes, and shows in the settings what cameras call it. */
  async #identity(): Promise<Identity> {
    const self = await this.store.identity();
    const words = element(document, '#device-words', HTMLElement);
    words.textContent = (await deviceWords(self.bundle.fingerprint)).join(' ');
    element(document, '#device-name', HTMLElement).hidden = false;
    return self;
  }

  /** Returns the stored camera with this fingerprint, if there is one. */
  async #kept(fingerprint: Bytes): Promise<Camera | undefined> {
    for (const c of await this.store.cameras()) {
      if (equal((await Bundle.parse(c.bundle)).fingerprint, fingerprint)) return c;
    }
    return undefined;
  }

  #add(c: Camera, self: Identity): Card {
    this.#drop(c.id);

    const card = new Card(c, self, this.#device, this.clock, {
      watch: (x, watch) => void this.store.choose(x.id, { watch }).catch(sayError),
      rename: (x) => void this.#rename(x, self).catch(sayError),
      learn: (x, learned) => void this.store.learn(x, learned).catch(() => undefined), // it will be told again
      forget: (x) => void this.#forget(x).catch(sayError),
    });

    this.#cards.set(c.id, card);
    this.#list.append(card.root);
    if (c.watch) this.#waiting.add(card);
    return card;
  }

  #drop(id: string): void {
    const card = this.#cards.get(id);
    if (card === undefined) return;
    card.remove();
    this.#cards.delete(id);
    this.#waiting.delete(card);
  }

  #watch(): void {
    if (document.hidden || this.#dialog.isOpen) return;
    for (const card of this.#waiting) card.start();
    this.#waiting.clear();
  }

  async #paired(c: Camera): Promise<void> {
    const kept = await this.store.cameras();
    const others = kept.filter((x) => x.id !== c.id).map((x) => x.name);
    const name = kept.find((x) => x.id === c.id)?.name ?? c.name; // a camera that is paired again keeps its name here
    c.name = name;
    for (let n = 2; others.includes(c.name); n++) c.name = `${name} ${n}`;
    c.watch = true;
    const stored = await this.store.put(c).then(
      () => true,
      (e: unknown) => (void this.#keep(c, e), false),
    );

    // Another page comes, which can connect to where the camera is.
    const away = c.relays !== undefined && !reaches(c.relays.home.url);
    if (stored && away && reopen(relaysOf(await this.store.cameras()), undefined)) return;

    this.#add(c, await this.#identity()).root.scrollIntoView({ block: 'nearest' });
    this.#count();
  }

  /** Tries until a camera is stored that could not be: the camera already counts this browser as paired. */
  async #keep(c: Camera, why: unknown): Promise<void> {
    for (;;) {
      say(`${errorText(why)} Until then, ${printableName(c.name)} is only here while this page is open.`);
      await new Promise((resolve) => setTimeout(resolve, keepCameraEvery));

      try {
        await this.store.put(c);
        return say('');
      } catch (e) {
        why = e;
      }
    }
  }

  async #rename(c: Camera, self: Identity): Promise<void> {
    const name = printableName(prompt('Name of this camera on this device', printableName(c.name)) ?? '');
    if (!name) return;
    await this.store.choose(c.id, { name });
    const kept = (await this.store.cameras()).find((x) => x.id === c.id);
    if (kept) this.#add(kept, self);
    this.#watch();
  }

  async #forget(c: Camera): Promise<void> {
    const name = printableName(c.name);
    const question = `Forget ${name} on this device? To watch it again you need a new code from the camera.`;
    if (!confirm(question)) return;
    await this.store.remove(c.id);
    this.#drop(c.id);
    this.#count();
  }

  #count(): void {
    this.#empty.hidden = this.#cards.size > 0;
    this.#list.hidden = this.#cards.size === 0;
  }
}

/** Closes the menus that were not clicked into. */
function closeMenus(clicked: Node): void {
  for (const menu of document.querySelectorAll<HTMLDetailsElement>('details.more[open]')) {
    menu.open = menu.contains(clicked);
  }
}

async function main(): Promise<void> {
  try {
    const code = takeCode(); // first, so that the secret leaves the address even if this browser cannot go on
    const why = lacking();
    if (why) return say(why);

    const store = await Store.open();
    const noRoom = () => say('This browser is out of storage space. Free some, or it may forget your cameras.');
    const cameras = await store.cameras();
    if (reopen(relaysOf(cameras), code)) return; // another page comes

    const clock = await Clock.open(store, noRoom);
    setInterval(() => void clock.keep(), keepClockEvery);
    await new App(store, clock).show(cameras, code);
  } catch (e) {
    say(e instanceof StorageError ? e.message : `This page could not start: ${String(e)}. Reload it.`);
  }
}

// A page from the browser's cache was stopped in the middle of whatever it did, so it starts again.
addEventListener('pageshow', (e) => {
  if (e.persisted) location.reload();
});
void main();
