import 'fake-indexeddb/auto';
import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { PairDialog, type PairDialogHooks } from '../../src/ui/pairdialog';
import { StorageError, Store } from '../../src/viewer/store';
import { ableBrowser, comes, openDocument, shown } from './dom';

// The page in a browser that knows no camera yet, and whose storage is full.

const text = (selector: string): string => shown(document, selector).trim().replace(/\s+/g, ' ');
const named = (selector: string): string | null => document.querySelector(selector)!.getAttribute('aria-label');

/** Opens the page in this process, and returns what its dialog calls. */
async function openPage(): Promise<PairDialogHooks> {
  openDocument();
  ableBrowser();
  const interval = globalThis.setInterval;
  // The page's interval would keep this process alive.
  globalThis.setInterval = ((f: () => void, ms: number) => interval(f, ms).unref()) as unknown as typeof setInterval;

  let hooks: PairDialogHooks | undefined;
  mock.method(PairDialog.prototype, 'open', function (this: PairDialog) {
    hooks = (this as unknown as { hooks: PairDialogHooks }).hooks;
  });
  await import('../../src/ui/app');
  const button = document.querySelector<HTMLButtonElement>('#add-first')!;
  await comes(() => String(button.disabled), 'false');
  button.click();
  assert.ok(hooks, 'Add your first camera opens the dialog');

  return hooks;
}

test('a page without cameras says what to do, and what a full browser forgets', async () => {
  const day = 86_400_000;
  const now = Date.now();
  mock.method(Store.prototype, 'clock', async () => ({ at: now - 3 * day, least: now }));
  mock.method(Store.prototype, 'keepClock', () => Promise.reject(new StorageError('full')));
  const hooks = await openPage();

  assert.equal(document.querySelector<HTMLElement>('#empty')!.hidden, false);
  assert.equal(text('#empty h1'), 'No cameras yet');

  assert.equal(
    text('#empty p'),
    'A new camera shows a pairing code. Scan it here. Only devices that you pair can open the picture.',
  );

  assert.equal(text('#add-first'), 'Add your first camera');
  assert.equal(text('footer'), 'End-to-end encrypted: the relay cannot open your pictures.');
  assert.equal(named('.brand'), 'Peephole, your cameras');
  assert.equal(named('#cameras'), 'Your cameras');
  assert.equal(named('#device summary'), 'Settings for this device');
  assert.equal(text('.switch'), 'Hide my address');
  assert.match(text('#hide-why'), /^Your cameras and their networks see the relay’s address instead of yours\./);
  assert.match(text('#device-name'), /^Cameras call this browser \. A camera uses this name when you pair it\.$/);
  assert.equal(text('#notice'), 'This browser is out of storage space. Free some, or it may forget your cameras.');

  // A camera that was just added cannot be stored at once, but is shown.
  let full = true;
  mock.method(Store.prototype, 'put', async () => {
    if (full) throw new StorageError('No space.');
  });
  const timeout = globalThis.setTimeout;
  globalThis.setTimeout = ((f: () => void, ms: number) => timeout(f, Math.min(ms, 10))) as unknown as typeof setTimeout;

  await hooks.paired({
    id: 'a1',
    name: 'porch',
    relayURL: 'https://relay.example',
    pairedAt: 0,
    bundle: new Uint8Array(),
    secret: new Uint8Array(32),
    mailboxSecret: new Uint8Array(32),
  });

  await comes(() => text('#notice'), 'No space. Until then, porch is only here while this page is open.');
  assert.equal(text('.card h2'), 'porch');

  full = false;
  await comes(() => text('#notice'), '');
});
