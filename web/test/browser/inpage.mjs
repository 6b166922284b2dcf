// The functions that drive.mjs runs inside the page. Each goes to the browser as text, so it uses nothing outside
// itself.

/** Returns the times between the pictures of the first card during the next ms milliseconds. */
export const gaps = (ms) =>
  new Promise((resolve) => {
    const times = [performance.now()];
    const watch = new MutationObserver(() => times.push(performance.now()));
    watch.observe(document.querySelector('.card'), { attributes: true, attributeFilter: ['data-frames'] });

    setTimeout(() => {
      watch.disconnect();
      times.push(performance.now());
      resolve(times.slice(1).map((t, i) => t - times[i]));
    }, ms);
  });

/** Returns what the question says, which element has the focus, and the address of the page. */
export function question() {
  const root = document.querySelector('#pair');
  const text = (e) => (e.offsetParent === null ? '' : e.innerText.replaceAll(/\s+/g, ' ').trim());
  const of = (selector) => text(root.querySelector(selector));
  return {
    title: of('#pair-title'),
    words: of('.words'),
    where: of('.where'),
    other: of('.other'),
    expired: of('.expired'),
    who: of('.soft'),
    yes: of('.yes'),
    focus: document.activeElement?.id ?? '',
    address: location.href,
    history: history.length,
  };
}

export const isAsked = () => document.querySelector('#pair[open] .question:not([hidden])') !== null;
export const canAnswer = () => document.querySelector('#pair[open] .question:not([hidden]) .yes:enabled') !== null;

/**
 * Stops the page's clock until a test moves it, so that the question has only just been shown. Runs before the page's
 * own program.
 */
export function slowClock() {
  const began = performance.now();
  let passed = 0;
  Performance.prototype.now = () => began + passed;
  window.pass = (ms) => (passed += ms);
}

/** Has every way to the network report that it was used. Runs before the page's own program. */
export function watchNetwork() {
  const note = (what, where) => void window.noteReached(performance.timeOrigin, `${what} ${where}`);

  for (const name of [
    'WebSocket',
    'EventSource',
    'RTCPeerConnection',
    'WebTransport',
    'XMLHttpRequest',
    'Worker',
    'SharedWorker',
    'Image',
  ]) {
    const original = window[name];
    if (!original) continue;

    window[name] = class extends original {
      constructor(...a) {
        note(name, JSON.stringify(a[0] ?? ''));
        super(...a);
        if (name === 'WebSocket') (window.sockets ??= []).push(this);
        if (name === 'WebTransport') this.ready.then(() => (window.session = this)).catch(() => undefined);
      }
    };
  }

  for (const [of, name] of [
    [window, 'fetch'],
    [Navigator.prototype, 'sendBeacon'],
  ]) {
    const original = of[name];
    of[name] = function (...a) {
      note(name, a[0]);
      return original.apply(this, a);
    };
  }
}

/** Pastes a text or a picture into the page, or drops it there. */
export async function transfer(how, text, picture) {
  const data = new DataTransfer();
  if (text) data.setData('text/plain', text);

  if (picture) {
    data.items.add(
      new File([Uint8Array.from(atob(picture), (c) => c.charCodeAt(0))], 'code.png', { type: 'image/png' }),
    );
  }

  const event = new Event(how, { bubbles: true, cancelable: true }); // Firefox makes no ClipboardEvent with data in it
  document.body.dispatchEvent(Object.assign(event, how === 'paste' ? { clipboardData: data } : { dataTransfer: data }));
}

/** Reports whether the browser's own decoder has decoded n frames of every connection. */
export async function decoded(n) {
  const frames = async (pc) =>
    [...(await pc.getStats()).values()].find((s) => s.type === 'inbound-rtp')?.framesDecoded ?? 0;
  return (await Promise.all(window.connections.map(frames))).every((f) => f >= n);
}

/** Returns what the page shows of each camera. */
export function look() {
  const pixel = (card) => {
    // While one session replaces another, the old one's video covers the new one's, which comes before it.
    const shown = (s) => [...card.querySelectorAll(`.screen ${s}`)].filter((e) => !e.hidden).at(-1);
    const screen = shown('canvas') ?? shown('video');
    const [width, height] =
      screen instanceof HTMLVideoElement ? [screen.videoWidth, screen.videoHeight] : [screen.width, screen.height];
    const canvas = new OffscreenCanvas(Math.max(width, 1), Math.max(height, 1));
    const context = canvas.getContext('2d');
    context.drawImage(screen, 0, 0);

    return {
      size: [width, height],
      corner: [...context.getImageData(20, 20, 1, 1).data.slice(0, 3)],
      element: screen.localName,
    };
  };

  return [...document.querySelectorAll('.card')].map((card) => ({
    ...card.dataset,
    name: card.querySelector('h2').textContent,
    message: card.querySelector('.message').textContent,
    alarm: card.querySelector('.alarm').hidden ? '' : card.querySelector('.alarm').textContent,
    path: card.querySelector('.path').textContent,
    why: card.querySelector('.why .sentence').textContent,
    record: card.querySelector('.why pre').textContent,
    ...(['still', 'playing'].includes(card.dataset.state) ? pixel(card) : {}),
  }));
}

/** Tries what the page's policy forbids, where injected code would run, and returns what was let through. */
export async function forbidden(origin) {
  const through = [];
  const refusals = new Set();
  document.addEventListener('securitypolicyviolation', (e) => refusals.add(`${e.effectiveDirective} ${e.blockedURI}`));

  const note = (name, act) => {
    try {
      act();
      through.push(name);
    } catch {
      // refused
    }
  };

  await new Promise((resolve) => setTimeout(resolve)); // leaves the debugger's call, which some policies exempt
  note('eval', () => eval('1'));
  note('Function', () => new Function('1'));
  note('innerHTML', () => {
    document.createElement('p').innerHTML = '<b></b>';
  });
  note('insertAdjacentHTML', () => document.createElement('p').insertAdjacentHTML('beforeend', '<b></b>'));
  note('script text', () => {
    document.createElement('script').text = '1';
  });
  note('script address', () => {
    document.createElement('script').src = '/app.js';
  });
  note('srcdoc', () => {
    document.createElement('iframe').srcdoc = '';
  });
  note('worker by a string', () => new Worker('/worker.js', { type: 'module' }));
  note('worker from a blob', () => new Worker(URL.createObjectURL(new Blob(['1']))));
  note('service worker', () => {
    throw navigator.serviceWorker.register('/worker.js').catch(() => 0);
  });
  note('another Trusted Types policy', () => trustedTypes.createPolicy('other', { createScriptURL: (s) => s }));
  note('a second policy of that name', () => trustedTypes.createPolicy('peephole', { createScriptURL: (s) => s }));
  window.injected = false;

  try {
    const inline = document.createElement('script');
    inline.append('window.injected = true');
    document.head.append(inline);
  } catch {
    // refused
  }

  if (window.injected) through.push('inline script');

  const refused = async (name, directive, act) => {
    const before = refusals.size;
    await act().catch(() => 0);
    for (let n = 0; n < 100 && ![...refusals].slice(before).some((r) => r.startsWith(directive)); n++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }

    if (![...refusals].slice(before).some((r) => r.startsWith(directive))) through.push(name);
  };

  const socket = origin.replace('http', 'ws');
  await refused('fetch', 'connect-src', () => fetch(`${origin}/v1/servers`));
  await refused('WebSocket', 'connect-src', async () => new WebSocket(`${socket}/v1/signal`));
  if (window.WebTransport) {
    await refused('WebTransport', 'connect-src', async () => {
      const session = new WebTransport(`${origin.replace('http:', 'https:')}/v1/signal/3`);
      session.closed.catch(() => undefined);
      await session.ready;
    });
  }
  await refused('EventSource', 'connect-src', async () => new EventSource(`${origin}/events`));
  await refused('beacon', 'connect-src', async () => navigator.sendBeacon(`${origin}/beacon`));
  await refused('image', 'img-src', async () => {
    new Image().src = `${origin}/icon.svg`;
  });
  await refused('frame', 'frame-src', async () =>
    document.body.append(Object.assign(document.createElement('iframe'), { src: `${origin}/` })),
  );
  await refused('own frame', 'frame-src', async () =>
    document.body.append(Object.assign(document.createElement('iframe'), { src: '/' })),
  );

  await refused('object', 'object-src', async () => {
    const embed = document.createElement('embed');
    try {
      embed.src = '/icon.svg';
    } catch {
      refusals.add('object-src by Trusted Types');
    }

    document.body.append(embed);
  });

  await refused('style', 'style-src', async () =>
    document.head.append(Object.assign(document.createElement('style'), { textContent: 'p { color: red }' })),
  );
  await refused('base', 'base-uri', async () =>
    document.head.append(Object.assign(document.createElement('base'), { href: `${origin}/` })),
  );

  await refused('form', 'form-action', async () => {
    const form = Object.assign(document.createElement('form'), { action: '/', method: 'post' });
    document.body.append(form);
    form.submit();
  });

  return through;
}

/** Stores every camera under 8 bytes of its fingerprint, in base64url, as older pages did. */
export async function shorten() {
  const done = (r) =>
    new Promise((resolve, reject) => {
      r.onsuccess = () => resolve(r.result);
      r.onerror = () => reject(r.error);
    });

  const db = await done(indexedDB.open('peephole'));
  const cameras = db.transaction('cameras', 'readwrite').objectStore('cameras');
  for (const c of await done(cameras.getAll())) {
    await done(cameras.delete(c.id));

    const bytes = c.id
      .match(/../g)
      .slice(0, 8)
      .map((x) => String.fromCharCode(parseInt(x, 16)));

    await done(
      cameras.put({ ...c, id: btoa(bytes.join('')).replaceAll('+', '-').replaceAll('/', '_').replace('=', '') }),
    );
  }

  db.close();
}

export const errorOf = () => document.querySelector('dialog[open] .error:not([hidden])')?.textContent ?? '';
export const dialogOf = () => {
  const dialog = document.querySelector('dialog[open]')?.innerText.replaceAll(/\s+/g, ' ') ?? 'no dialog';
  return `${document.hidden ? 'hidden' : 'visible'} ${location} ${dialog}`;
};
