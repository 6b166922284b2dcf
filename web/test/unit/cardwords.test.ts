import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';
import { clocks } from '../../src/clocks';
import { Card } from '../../src/ui/card';
import type { Device } from '../../src/ui/device';
import { Clock } from '../../src/crypto/expiry';
import type { Identity } from '../../src/crypto/identity';
import { sentences } from '../../src/session/events';
import type { Camera } from '../../src/viewer/store';
import { pauseAfter, Watching, type View } from '../../src/viewer/watching';
import { comes, openDocument, shown } from './dom';

// What a card says about its camera, whatever watching comes to.

let view: View;
let real: boolean; // watching really starts, with a relay that nobody can reach
let card: Card;

/** A relay that no socket reaches. */
class DeadSocket extends EventTarget {
  binaryType = 'blob';
  onclose: (() => void) | undefined;
  constructor() {
    super();
    if (!real) return; // it stays on its way for ever
    setTimeout(() => {
      this.onclose?.();
      this.dispatchEvent(new Event('close'));
    }, 1);
  }
  send(): void {}
  close(): void {}
}

beforeEach(() => {
  real = false;
  openDocument();
  globalThis.WebSocket = DeadSocket as unknown as typeof WebSocket;

  const start = Watching.prototype.start;
  mock.method(Watching.prototype, 'start', function (this: Watching, hidden: boolean) {
    view = (this as unknown as { view: View }).view;
    if (real) start.call(this, hidden);
  });

  const camera: Camera = {
    id: 'AAAAAAAAAAA',
    name: 'porch',
    relayURL: 'https://relay.example',
    pairedAt: Date.UTC(2026, 10, 30),
    bundle: new Uint8Array(),
    secret: new Uint8Array(32),
    mailboxSecret: new Uint8Array(32),
  };

  const nothing = (): void => undefined;
  const actions = { watch: nothing, learn: nothing, rename: nothing, forget: nothing };
  card = new Card(camera, {} as Identity, { relayOnly: false } as Device, {} as Clock, actions);
});

const message = (): string => shown(card.root, '.message');

test('a card says what it is before it is watched', () => {
  assert.equal(message(), 'Not watching');
  assert.match(shown(card.root, '.menu .facts'), /^Camera AAAAAAAAAAA\nPaired .*\nRelay relay\.example$/);
  assert.equal(card.root.querySelector('canvas')?.getAttribute('aria-label'), 'Picture of porch');
});

test('a card says that its relay cannot be reached', async () => {
  real = true;
  card.start();
  await comes(message, 'Cannot reach the relay at relay.example. Trying again.');
  card.stop();
});

test('a card notes by what it has reached its relay', async () => {
  globalThis.WebSocket = class extends DeadSocket {
    onmessage: ((e: { data: ArrayBuffer }) => void) | undefined;
    constructor() {
      super();
      setTimeout(() => this.onmessage?.({ data: Uint8Array.of(1, ...new Uint8Array(40)).buffer }));
    }
  } as unknown as typeof WebSocket; // a relay that sends its challenge
  card.start();
  await comes(() => card.root.dataset['signaling'] ?? '', 'websocket');
  card.stop();
});

test('a card says what the camera says, in its name alone', () => {
  card.start();
  view.say('no video: the camera does not answer');
  assert.equal(shown(card.root, '.notice'), 'The camera says: no video: the camera does not answer');
  view.say('');
  assert.equal(shown(card.root, '.notice'), '');
  card.stop();
});

test('a card says why it tries again, and when it gives up', () => {
  card.start();

  for (const text of [
    sentences.lost,
    sentences.ended,
    sentences.noAnswer,
    sentences.silent,
    sentences.hides,
    sentences.untold,
  ]) {
    view.retry(text);
    assert.equal(message(), `${text} Trying again…`);
  }

  view.failed('The camera could not start a session.');
  assert.equal(message(), 'The camera could not start a session.');
  card.stop();
});

test('a card says that this device is too busy, below the picture', () => {
  card.start();
  view.behind(true);
  assert.equal(shown(card.root, '.notice'), sentences.behind);
  view.behind(false);
  assert.equal(shown(card.root, '.notice'), '');
  card.stop();
});

test('a card says that it is paused while hidden', () => {
  real = true;
  mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  card.start();
  card.visible(false);
  mock.timers.tick(pauseAfter);
  assert.equal(message(), 'Paused while hidden');
  card.stop();
  mock.timers.reset();
});

test('a picture that has stopped is covered with words', async () => {
  card.start();
  view.shown({ issued: undefined });
  await comes(message, 'The picture has stopped. Waiting for the camera…');
  card.stop();
});

test('a card says what a person waits for, but not at once', () => {
  mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  card.start();
  view.waits('Connecting to the relay…');
  assert.equal(message(), 'Connecting…');

  mock.timers.tick(1_500);

  for (const text of [
    'Connecting to the relay…',
    'Waiting for your camera’s answer, 10 seconds at most…',
    'Your camera has answered. Looking for a path to it, 20 seconds at most…',
    'Connected. Waiting for the first picture…',
  ]) {
    view.waits(text);
    assert.equal(message(), text);
  }

  card.stop();
  mock.timers.reset();
});

test('a card’s buttons and labels say what they do', () => {
  const named = (selector: string): string | null | undefined =>
    card.root.querySelector(selector)?.getAttribute('aria-label');
  assert.equal(named('.full'), 'Full screen');
  assert.equal(named('.more summary'), 'More about this camera');
  assert.equal(named('pre'), 'Full record');
  assert.equal(shown(card.root, '.forget'), 'Forget this camera');
  assert.equal(shown(card.root, '.hides'), 'address hidden');
  assert.match(shown(card.root, '.record label'), /Include addresses, yours and the camera’s\. Think before you share/);

  const retry = card.root.querySelector<HTMLButtonElement>('.retry')!;
  assert.equal(retry.hidden, true);
  card.start();
  view.failed('The camera refused.');
  assert.deepEqual([retry.hidden, retry.textContent], [false, 'Try again']);
  retry.click();
  assert.deepEqual([retry.hidden, message()], [true, 'Connecting…']);
  card.stop();
});

test('a card watches and stops by its button', () => {
  const button = card.root.querySelector<HTMLButtonElement>('.watch')!;
  button.click();
  assert.deepEqual([button.textContent, message()], ['Stop', 'Connecting…']);
  button.click();
  assert.deepEqual([button.textContent, message()], ['Watch', 'Not watching']);
});

test('a picture that may be old is called delayed', () => {
  card.start();
  view.shown({ issued: undefined });
  const late = card.root.querySelector<HTMLElement>('.late')!;
  assert.deepEqual([late.hidden, late.textContent], [false, 'Delayed: not live']);

  view.shown({ issued: clocks.read() });
  const live = card.root.querySelector<HTMLElement>('.live')!;
  assert.deepEqual([late.hidden, live.hidden, live.textContent], [true, false, 'Live']);
  card.stop();
});
