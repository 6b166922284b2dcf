import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { takeCode } from '../../src/ui/pendingcode';
import { queryFor, reaches, relaysOf, reopen, reopenToPair } from '../../src/ui/relays';
import type { Camera } from '../../src/viewer/store';
import { newTab, openPage, opened } from './openedpage';

const own = 'https://a.example';
const link = 'https://b.example/pair#AQEabc';

beforeEach(newTab);

test('a query names each other relay once, in one order, and no more than the server accepts', () => {
  assert.equal(queryFor([], own), '');
  assert.equal(queryFor([own, own, ''], own), '');
  const query = '?relay=http%3A%2F%2F127.0.0.1%3A7880&relay=https%3A%2F%2Fb.example';
  assert.equal(queryFor(['https://b.example', own, 'http://127.0.0.1:7880', 'https://b.example'], own), query);

  assert.equal(
    queryFor(
      Array.from({ length: 20 }, (_, n) => `https://r${n}.example`),
      own,
    ).split('relay=').length - 1,
    16,
  );
});

test('the page names each camera’s home, standby and pairing relay, and the homes if it may not name all', () => {
  const cameras = Array.from({ length: 9 }, (_, n) => ({
    relayURL: own,
    relays: { home: { url: `https://z${n}.example` }, standby: { url: `https://b${n}.example` } },
  })) as Camera[];
  const relays = relaysOf([{ relayURL: 'https://p.example' } as Camera, ...cameras]);
  assert.equal(relays.length, 10 + 9 + 10);
  const named = new URLSearchParams(queryFor(relays, own)).getAll('relay');
  assert.deepEqual(
    named.filter((r) => !r.startsWith('https://b')),
    ['https://p.example', ...Array.from({ length: 9 }, (_, n) => `https://z${n}.example`)],
  );
  assert.equal(named.length, 16);
});

test('the page reaches its own relay and those that its address names', () => {
  openPage(`${own}/?relay=https%3A%2F%2Fb.example`);
  const reached = [own, 'https://b.example', 'https://c.example', 'https://b.example.evil'].map(reaches);
  assert.deepEqual(reached, [true, true, false, false]);
});

test('the page reopens if its address names other relays than its cameras have', () => {
  for (const { at, relays, to } of [
    { at: '/', relays: [own], to: [] },
    { at: '/', relays: [own, 'https://b.example'], to: ['/?relay=https%3A%2F%2Fb.example'] },
    { at: '/?relay=https%3A%2F%2Fb.example', relays: ['https://b.example'], to: [] },
    {
      at: '/?relay=https%3A%2F%2Fb.example&relay=https%3A%2F%2Fevil.example',
      relays: ['https://b.example'],
      to: ['/?relay=https%3A%2F%2Fb.example'],
    },
    { at: '/?relay=https%3A%2F%2Fevil.example', relays: [], to: ['/'] },
  ]) {
    const page = openPage(own + at);
    assert.equal(reopen(relays, undefined), to.length > 0, at);
    assert.deepEqual(page.gone, to, at);
  }
});

test('a code that nobody has agreed to survives reopening, and adds no relay', () => {
  openPage(`${own}/pair#${link}`);
  const code = takeCode();
  assert.equal(reopen(['https://c.example'], code), true);
  const next = opened().gone[0]!;
  assert.match(next, /^\/\?relay=https%3A%2F%2Fc\.example#[0-9a-f]{32}$/);
  openPage(own + next);
  assert.deepEqual(takeCode(), { link, agreed: false });
});

test('a code lets the page reach its relay once a person has agreed, and not before', () => {
  openPage(`${own}/pair#${link}`);
  assert.equal(reopen([], takeCode()), false);
  assert.equal(reaches('https://b.example'), false);

  assert.equal(reopenToPair(link), true);
  const next = opened().gone[0]!;
  assert.match(next, /^\/\?relay=https%3A%2F%2Fb\.example#[0-9a-f]{32}$/);
  openPage(own + next);
  const code = takeCode();
  assert.deepEqual(code, { link, agreed: true });
  assert.equal(reopen([], code), false);
  assert.equal(reaches('https://b.example'), true);

  openPage(`${own}/?relay=https%3A%2F%2Fb.example`); // again, and no camera was added
  assert.equal(reopen([], takeCode()), true);
  assert.deepEqual(opened().gone, ['/']);
});

test('an agreement survives one more reopening', () => {
  openPage(`${own}/`);
  assert.equal(reopen(['https://c.example'], { link, agreed: true }), true);
  const next = opened().gone[0]!;
  assert.ok(next.startsWith('/?relay=https%3A%2F%2Fb.example&relay=https%3A%2F%2Fc.example#'));
  openPage(own + next);
  assert.deepEqual(takeCode(), { link, agreed: true });
});

test('the page does not reopen at the limit of relays', () => {
  const many = Array.from({ length: 16 }, (_, n) => `https://a${n}.example`);
  openPage(`${own}/${queryFor(many, own)}`);
  assert.equal(reopenToPair('https://z.example/pair#AQEabc'), false);
  assert.deepEqual(opened().gone, []);
});
