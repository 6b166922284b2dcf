import 'fake-indexeddb/auto';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Store } from '../../src/viewer/store';
import { ableBrowser, openDocument, shown } from './dom';

test('the page asks before it renames or forgets a camera', async () => {
  openDocument();
  ableBrowser();
  const store = await Store.open();
  await store.put({
    id: 'AAAAAAAAAAA',
    name: 'porch',
    relayURL: 'https://relay.example',
    pairedAt: 0,
    bundle: new Uint8Array(),
    secret: new Uint8Array(32),
    mailboxSecret: new Uint8Array(32),
  });

  const interval = globalThis.setInterval;
  // The page's interval would keep this process alive.
  globalThis.setInterval = ((f: () => void, ms: number) => interval(f, ms).unref()) as unknown as typeof setInterval;
  const asked: string[] = [];
  globalThis.prompt = (text) => (asked.push(text ?? ''), null);
  globalThis.confirm = (text) => (asked.push(text ?? ''), false);
  await import('../../src/ui/app');

  const button = async (selector: string): Promise<HTMLButtonElement> => {
    for (;;) {
      const found = document.querySelector<HTMLButtonElement>(selector);
      if (found) return found;
      assert.equal(shown(document, '#notice'), '');
      await new Promise((r) => setTimeout(r, 5));
    }
  };

  (await button('.rename')).click();
  (await button('.forget')).click();

  assert.deepEqual(asked, [
    'Name of this camera on this device',
    'Forget porch on this device? To watch it again you need a new code from the camera.',
  ]);
});
