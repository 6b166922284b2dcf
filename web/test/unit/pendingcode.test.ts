import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { parseCode, sentences } from '../../src/crypto/pairing';
import { dropCode, handOver, keepCode, takeCode } from '../../src/ui/pendingcode';
import { newTab, opened, openPage } from './openedpage';

const own = 'https://a.example';
const link = `${own}/pair#AQEabc`;

beforeEach(newTab);

test('a link is removed from the address, whichever relay it names', () => {
  for (const of of [link, 'https://b.example/pair#AQEabc']) {
    openPage(of === link ? link : `${own}/pair?relay=https%3A%2F%2Fc.example#${of}`);
    assert.deepEqual(takeCode(), { link: of, agreed: false });
    assert.doesNotMatch(opened().address, /AQEabc|pair/);
  }
});

test('a link without its code is damaged, and not a plain visit', async () => {
  for (const torn of ['/pair', '/pair#', '/pair?relay=https%3A%2F%2Fc.example']) {
    openPage(own + torn);
    const code = takeCode();
    assert.ok(code, torn);
    await assert.rejects(parseCode(code.link), { message: sentences.torn });
  }

  for (const visit of ['/', '/#AQEabc', '/?relay=https%3A%2F%2Fc.example']) {
    openPage(own + visit);
    assert.equal(takeCode(), undefined, visit);
  }
});

test('a reload and the browser’s buttons lead back to the question, and never answer it', () => {
  for (const type of ['reload', 'back_forward'] as const) {
    openPage(link);
    takeCode();
    openPage(`${own}/`, type);
    assert.deepEqual(takeCode(), { link, agreed: false }, type);

    const next = handOver({ link, agreed: true });
    openPage(`${own}/${next}`, type);
    assert.deepEqual(takeCode(), { link, agreed: false }, `${type} of a page that was opened by a yes`);
    dropCode();
    openPage(`${own}/`, type);
    assert.equal(takeCode(), undefined, `${type} after the answer`);
  }
});

test('a new visit leaves the question for good', () => {
  keepCode(link);
  openPage(`${own}/`);
  assert.equal(takeCode(), undefined);
  openPage(`${own}/`, 'reload');
  assert.equal(takeCode(), undefined);
});

test('a yes counts for the page that it opened: once, soon, and at its own address', (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1_000_000 });
  const agree = (): string => handOver({ link, agreed: true });

  openPage(`${own}/${agree()}`);
  assert.deepEqual(takeCode(), { link, agreed: true });
  assert.equal(opened().address, `${own}/`);
  openPage(`${own}/`);
  assert.equal(takeCode(), undefined, 'a second visit');

  agree();
  openPage(`${own}/`);
  assert.equal(takeCode(), undefined, 'without its token');

  const [old] = [agree(), agree()];
  openPage(`${own}/${old}`);
  assert.equal(takeCode(), undefined, 'by the token of another yes');

  const late = agree();
  t.mock.timers.tick(60_000);
  openPage(`${own}/${late}`);
  assert.deepEqual(takeCode(), { link, agreed: false }, 'a minute later');

  const before = agree();
  t.mock.timers.setTime(0);
  openPage(`${own}/${before}`);
  assert.deepEqual(takeCode(), { link, agreed: false }, 'by a clock that was set back');
});
