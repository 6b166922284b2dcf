import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDocument, shown } from './dom';

test('a page that is not secure says how to open it', async () => {
  openDocument('http://relay.example/');
  await import('../../src/ui/app');
  const want = 'Open this page over https, or at 127.0.0.1 on this machine: browsers encrypt only on secure pages.';
  assert.equal(shown(document, '#notice'), want);
});
