import assert from 'node:assert/strict';
import { Window } from 'happy-dom';
import { readFileSync } from 'node:fs';

// The page's document without a browser: it shows the same words, but nothing is drawn, decoded or connected.

/** Opens static/index.html at an address, as this process's page. */
export function openDocument(address = 'https://relay.example/'): Window {
  const window = new Window({
    url: address,
    settings: { disableJavaScriptFileLoading: true, disableCSSFileLoading: true },
  });

  window.document.write(readFileSync('static/index.html', 'utf8'));

  const names = [
    'document',
    'location',
    'navigator',
    'history',
    'localStorage',
    'sessionStorage',
    'addEventListener',
    'HTMLElement',
    'HTMLButtonElement',
    'HTMLCanvasElement',
    'HTMLDetailsElement',
    'HTMLDialogElement',
    'HTMLFormElement',
    'HTMLInputElement',
    'HTMLTemplateElement',
    'HTMLVideoElement',
    'MutationObserver',
  ] as const;

  for (const name of names) {
    const value = window[name] as unknown;
    const bound = name === 'addEventListener' ? window.addEventListener.bind(window) : value;
    Object.defineProperty(globalThis, name, { value: bound, configurable: true, writable: true });
  }

  globalThis.requestAnimationFrame = (f) => setTimeout(() => f(performance.now()), 16) as unknown as number;
  globalThis.cancelAnimationFrame = (n) => clearTimeout(n);
  return window;
}

/** Returns the words that an element shows. */
export const shown = (root: ParentNode, selector: string): string => root.querySelector(selector)?.textContent ?? '';

/** Gives this process what the page looks for before it starts. None of it works. */
export function ableBrowser(): void {
  const nothing = class {};
  Object.assign(globalThis, {
    isSecureContext: true,
    RTCPeerConnection: nothing,
    RTCRtpScriptTransform: nothing,
    VideoDecoder: nothing,
  });
}

/** Waits until read returns want, and fails if that takes too long. */
export async function comes(read: () => string, want: string): Promise<void> {
  for (let n = 0; n < 3000 && read() !== want; n++) await new Promise((r) => setTimeout(r, 5));
  assert.equal(read(), want);
}
