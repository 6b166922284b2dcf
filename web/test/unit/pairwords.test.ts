import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { Identity } from '../../src/crypto/identity';
import { PairDialog, type PairDialogHooks } from '../../src/ui/pairdialog';
import { formatCode, pairingError, sentences, type Code } from '../../src/crypto/pairing';
import { comes, openDocument, shown } from './dom';

// What the dialog that adds a camera says, from the code to the camera.

let dialog: PairDialog;
let hooks: PairDialogHooks;
let paired: ((e?: Error) => void) | undefined; // ends the pairing that is under way

const relay = 'https://relay.example';
const code = (changes: Partial<Code> = {}): Code =>
  ({
    relayURL: relay,
    role: 1,
    fingerprint: new Uint8Array(32),
    secret: new Uint8Array(16),
    expiry: 4_000_000_000,
    ...changes,
  }) as Code;

beforeEach(() => {
  openDocument(`${relay}/`);

  hooks = {
    known: async () => ({ name: undefined, pairedAt: undefined, hides: false }),
    identity: () => new Promise((_, reject) => (paired = (e) => reject(e ?? new Error('no keys')))),
    paired: async () => undefined,
    closed: () => undefined,
  };

  dialog = new PairDialog(hooks);
  const request = async (_name: string, _options: unknown, f: (lock: object) => unknown): Promise<unknown> => f({});
  Object.defineProperty(navigator, 'locks', { value: { request }, configurable: true }); // no other tab is open
});

const title = (): string => shown(document, '#pair-title');
const progress = (): string => shown(document, '#pair .progress');
const error = (): string => shown(document, '#pair .error');

/** Pairs, and waits until the dialog has begun to. */
async function pairing(): Promise<(e?: Error) => void> {
  paired = undefined;
  void dialog.resume(await formatCode(code()));
  while (!paired) await new Promise((r) => setTimeout(r, 5));
  return paired;
}

test('the dialog asks for a code, and then about it', async () => {
  dialog.open();
  assert.equal(title(), 'Add a camera');
  await dialog.offer(await formatCode(code()));
  assert.equal(title(), 'Add a NEW camera?');
  assert.equal(shown(document, '#pair .yes'), 'Add camera');

  hooks.known = async () => ({ name: 'porch', pairedAt: 0, hides: false });
  await dialog.offer(await formatCode(code()));
  assert.equal(title(), 'Pair again with porch?');
  assert.equal(shown(document, '#pair .yes'), 'Pair again');
});

test('the dialog says that a text is no code of a camera', async () => {
  const whole = await formatCode(code());
  for (const [text, want] of [
    ['hello', sentences.foreign],
    [whole.slice(0, -4), sentences.torn],
    [await formatCode(code({ role: 2 })), sentences.notACamera],
  ] as const) {
    await dialog.offer(text);
    assert.equal(error(), want);
  }
});

test('the dialog says that a code could not be read', async () => {
  hooks.known = async () => Promise.reject(new Error('storage failed'));
  await dialog.offer(await formatCode(code()));
  assert.equal(error(), 'This code could not be read: Error: storage failed');
});

test('the dialog says what goes on, and how it failed', async () => {
  const end = await pairing();
  assert.equal(title(), 'Adding the camera…');
  assert.equal(progress(), 'Keep the camera on.');
  end();
  await comes(error, 'The camera could not be added: Error: no keys');
});

test('the dialog says what the camera calls this browser, and that its relay cannot be reached', async () => {
  const self = await Identity.load(await Identity.generate());
  hooks.identity = async () => self;
  globalThis.WebSocket = class extends EventTarget {
    static readonly OPEN = 1;
    readonly readyState = 0;
    close(): void {}
  } as unknown as typeof WebSocket; // never opens
  const said = new Set<string>();
  void dialog.resume(await formatCode(code()));

  while (error() === '') {
    await new Promise((r) => setTimeout(r, 20));
    said.add(progress());
  }

  assert.ok(
    [...said].some((text) => /^Keep the camera on\. It calls this browser: \w+ \w+ \w+$/.test(text)),
    [...said].join('\n'),
  );

  assert.equal(error(), 'Cannot reach the relay at relay.example. Check your connection and try again.');
});

test('the dialog names a proxy that blocks WebSocket', async () => {
  const self = await Identity.load(await Identity.generate());
  hooks.identity = async () => self;
  globalThis.fetch = async () => new Response('{}');
  globalThis.WebSocket = class extends EventTarget {
    static readonly OPEN = 1;
    readonly readyState = 3;
    onclose = (): void => undefined;
    constructor() {
      super();
      setTimeout(() => this.onclose());
    }
    close(): void {}
  } as unknown as typeof WebSocket; // closes at once, as if the relay had refused it
  void dialog.resume(await formatCode(code()));

  await comes(
    error,
    'A proxy in front of the relay at relay.example blocks WebSocket: ' +
      'ask its operator to pass the Upgrade and Connection headers on.',
  );
});

test('the dialog names a relay that accepts WebSocket and sends nothing', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let now = performance.now();
  t.mock.method(performance, 'now', () => now); // the dialog counts its patience by this clock
  const self = await Identity.load(await Identity.generate());
  hooks.identity = async () => self;
  globalThis.WebSocket = class extends EventTarget {
    static readonly OPEN = 1;
    readonly readyState = 1;
    close(): void {}
  } as unknown as typeof WebSocket; // opens, and nothing comes
  void dialog.resume(await formatCode(code()));

  while (error() === '') {
    await new Promise((r) => setImmediate(r));
    now += 100;
    t.mock.timers.tick(100);
  }
  assert.match(error(), /^The relay at relay\.example accepts the connection and then sends nothing\. It hangs, or/);
});

test('the dialog says why pairing failed', async () => {
  for (const [fault, want] of [
    ['expired', sentences.expired],
    ['used', sentences.used],
    ['bound', sentences.bound],
    ['closed', sentences.closed],
    ['unsaved', sentences.unsaved],
    ['nobody', sentences.nobody],
    ['invalid', sentences.invalid],
  ] as const) {
    const end = await pairing();
    end(pairingError(fault));
    await comes(error, want);
  }

  const newer = (await formatCode(code())).replace('/pair#A', '/pair#B'); // the first six bits of the version
  await dialog.offer(newer);
  assert.equal(error(), sentences.newer);
});

test('the dialog says that the page cannot use another relay', async () => {
  const others = Array.from(
    { length: 16 },
    (_, n) => `relay=${encodeURIComponent(`https://${String.fromCharCode(97 + n)}.example`)}`,
  ).join('&');

  openDocument(`${relay}/?${others}`);
  dialog = new PairDialog(hooks);
  void dialog.resume(await formatCode(code({ relayURL: 'https://zzz.example' })));
  await comes(error, 'This page cannot use any more relays. Open the link itself: its relay has this page too.');
});

test('the dialog says that a picture has no code', async () => {
  globalThis.createImageBitmap = async () => Promise.reject(new Error('no picture'));
  const clipboardData = { files: [{ type: 'image/png' }], getData: () => '' };
  const event = Object.assign(new (document.defaultView as unknown as { Event: typeof Event }).Event('paste'), {
    clipboardData,
  });
  document.dispatchEvent(event);
  assert.equal(progress(), 'Looking for a code in the picture…');
  await comes(error, 'No code found. Try a closer, sharper photo, or paste the link.');
});

test('the dialog says that the device’s camera cannot be used', async () => {
  const scan = document.querySelector<HTMLButtonElement>('#scan')!;
  dialog.open();
  scan.click();
  assert.equal(scan.textContent, 'Stop scanning');

  await comes(
    error,
    'This device’s camera cannot be used. Allow it for this page, choose a picture, or paste the link.',
  );

  assert.equal(scan.textContent, 'Scan the code');
});

test('the dialog’s buttons and labels say what they do', () => {
  dialog.open();
  const said = (selector: string): string => shown(document, `#pair ${selector}`).trim().replace(/\s+/g, ' ');
  assert.deepEqual(['.ways .button', 'label[for=link]', '.lens p', '.take'].map(said), [
    'Use a picture',
    'or paste its link',
    'Point it at the camera’s code',
    'Add it here instead',
  ]);
  assert.equal(document.querySelector('#link')?.getAttribute('placeholder'), 'https://…/pair#…');
});

test('the question says what a code leads to', async () => {
  await dialog.offer(await formatCode(code({ relayURL: 'https://other.example', expiry: 1 })));
  const part = (name: string): { hidden: boolean; text: string } => {
    const e = document.querySelector<HTMLElement>(`#pair .question ${name}`)!;
    return { hidden: e.hidden === true, text: (e.textContent ?? '').trim().replace(/\s+/g, ' ') };
  };
  assert.equal(part('.same').text, 'Your camera shows the same three words beside its code.');
  assert.deepEqual(part('.own'), { hidden: true, text: 'this page’s own' });
  assert.deepEqual(part('.other'), {
    hidden: false,
    text: `This is not the relay of this page, ${relay}. Continue only if you know it.`,
  });
  assert.deepEqual(part('.expired'), {
    hidden: false,
    text: 'This device’s clock says that the code has expired. If it does not work, show a new one on the camera.',
  });
  assert.equal(
    part('.soft').text,
    'Whoever has the camera can see when you watch, and your internet address. ' +
      'If you did not expect this question, choose Cancel.',
  );
});
