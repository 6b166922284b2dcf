import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ableBrowser, openDocument, shown } from './dom';

test('a page that cannot start says why', async () => {
  openDocument();
  ableBrowser();
  await import('../../src/ui/app'); // there is no IndexedDB
  for (let n = 0; n < 1000 && shown(document, '#notice') === ''; n++) await new Promise((r) => setTimeout(r, 5));
  assert.match(shown(document, '#notice'), /^This page could not start: ReferenceError.*\. Reload it\.$/);
});
