import { Card } from './card';
import { Device } from './device';
import { element } from './element';
import type { Identity } from './identity';
import { PairDialog } from './pairdialog';
import { Store, type Camera } from './store';

// The page: a card for each camera, and the dialog that adds one.

const notice = element(document, '#notice', HTMLElement);

function say(text: string): void {
  notice.textContent = text;
  notice.hidden = text === '';
}

/** Why this browser cannot be a viewer; undefined when it can. */
function lacking(): string | undefined {
  if (!globalThis.isSecureContext) return 'Open this page over https (or on this machine, by 127.0.0.1): browsers give encryption to secure pages only.';
  if (typeof RTCPeerConnection === 'undefined' || typeof RTCRtpScriptTransform === 'undefined' || typeof VideoDecoder === 'undefined') {
    return 'This browser is too old to open sealed video. Use a current Chrome, Edge, Firefox or Safari.';
  }
  return undefined;
}

class App {
  readonly #list = element(document, '#cameras', HTMLElement);
  readonly #empty = element(document, '#empty', HTMLElement);
  readonly #cards = new Map<string, Card>();
  readonly #dialog: PairDialog;
  readonly #device = new Device(() => this.#chosen());

  constructor(
    private readonly store: Store,
    private readonly self: Identity,
  ) {
    this.#dialog = new PairDialog(self, (c) => this.#paired(c));
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
    // A link that is opened while the page is open only changes the hash.
    addEventListener('hashchange', () => this.pairByAddress());
  }

  /** Tells the cards what the browser tells of the device. */
  #follow(): void {
    const each = (f: (c: Card) => void) => () => this.#cards.forEach(f);
    document.addEventListener('visibilitychange', each((c) => c.visible(!document.hidden)));
    addEventListener('online', each((c) => c.moved()));
    const { connection } = navigator as { connection?: EventTarget & { type?: string } }; // not in Firefox and Safari
    let type = connection?.type;
    connection?.addEventListener('change', () => {
      const same = connection.type === type; // where it is told at all; estimates change all the time, and may be of another network
      type = connection.type;
      this.#cards.forEach((c) => (same ? c.hurry() : c.moved()));
    });
  }

  #chosen(): void {
    element(document, '#hide-address', HTMLInputElement).checked = this.#device.relayOnly;
    this.#cards.forEach((c) => c.restart());
  }

  async show(): Promise<void> {
    for (const c of await this.store.cameras()) this.#add(c);
    this.#count();
  }

  /** Pairs by a link that was opened as the page's address. */
  pairByAddress(link = takeLink()): void {
    if (link === undefined) return;
    this.#dialog.open();
    void this.#dialog.pair(link);
  }

  #add(c: Camera): Card {
    this.#cards.get(c.id)?.remove();
    const card = new Card(c, this.self, this.#device, { rename: (x) => void this.#rename(x), forget: (x) => void this.#forget(x) });
    this.#cards.set(c.id, card);
    this.#list.append(card.root);
    card.start();
    return card;
  }

  async #paired(c: Camera): Promise<void> {
    const names = (await this.store.cameras()).filter((x) => x.id !== c.id).map((x) => x.name);
    const { name } = c;
    for (let n = 2; names.includes(c.name); n++) c.name = `${name} ${n}`;
    await this.store.put(c);
    this.#add(c).root.scrollIntoView({ block: 'nearest' });
    this.#count();
  }

  async #rename(c: Camera): Promise<void> {
    const name = prompt('Name of this camera on this device', c.name)?.trim();
    if (!name) return;
    c.name = name.slice(0, 80);
    await this.store.put(c);
    this.#add(c);
  }

  async #forget(c: Camera): Promise<void> {
    if (!confirm(`Forget ${c.name} on this device? To watch it again you need a new code from the camera.`)) return;
    await this.store.remove(c.id);
    this.#cards.get(c.id)?.remove();
    this.#cards.delete(c.id);
    this.#count();
  }

  #count(): void {
    this.#empty.hidden = this.#cards.size > 0;
    this.#list.hidden = this.#cards.size === 0;
  }
}

/** Closes the menus that were not clicked into. */
function closeMenus(clicked: Node): void {
  for (const menu of document.querySelectorAll<HTMLDetailsElement>('details.more[open]')) menu.open = menu.contains(clicked);
}

/** Takes a pairing link out of the address bar, so that it stays in no history; undefined where there is none. */
function takeLink(): string | undefined {
  if (!location.pathname.endsWith('/pair') || location.hash.length < 2) return undefined;
  const link = location.href;
  history.replaceState(null, '', '/');
  return link;
}

async function main(): Promise<void> {
  const link = takeLink(); // first of all: also from a browser that cannot go on
  const why = lacking();
  if (why) return say(why);
  try {
    const store = await Store.open();
    const app = new App(store, await store.identity());
    await app.show();
    app.pairByAddress(link);
  } catch (e) {
    say(`This page could not start: ${String(e)}. Private windows of some browsers keep nothing; try a normal one.`);
  }
}

void main();
