import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDocument, shown } from './dom';

test('a browser that is too old is told so', async () => {
  openDocument();
  globalThis.isSecureContext = true;
  await import('../../src/ui/app');
  assert.equal(
    shown(document, '#notice'),
    'This browser is too old for encrypted video. Use a current Chrome, Edge, Firefox or Safari.',
  );
});
