// Samples what the first card shows whenever the page is drawn: the number that a film of test/e2e has in its picture,
// and whether a person sees the word "Live". It goes by the browser's own clocks, whatever time a test makes the page
// believe.

/**
 * Makes the page's clocks settable: it adds window.clocks.now and window.clocks.wall to them. While window.muted is
 * true, the page sends no challenge. Runs in the page before the page's own code.
 */
export function settableClocks() {
  const [now, wall] = [performance.now.bind(performance), Date.now];
  window.truth = { now, wall };
  window.clocks = { now: 0, wall: 0 };
  performance.now = () => now() + window.clocks.now;
  Date.now = () => wall() + window.clocks.wall;
  const send = RTCDataChannel.prototype.send;
  RTCDataChannel.prototype.send = function (data) {
    if (!window.muted) send.call(this, data);
  };
}

/**
 * Begins to take samples: [when the page was drawn (Unix milliseconds), number or -1, live]. A sample is taken after
 * everything that the page does when it is drawn, and dated before that. Runs in the page.
 */
export function sample() {
  const { now, wall } = window.truth ?? { now: () => performance.now(), wall: Date.now };
  const small = new OffscreenCanvas(8, 4);
  const context = small.getContext('2d', { willReadFrequently: true });

  const number = (card) => {
    const canvas = card.querySelector('.screen canvas');
    const screen = canvas.hidden ? [...card.querySelectorAll('.screen video')].at(-1) : canvas;
    if (!screen || !['playing', 'still'].includes(card.dataset.state)) return -1;

    context.drawImage(screen, 0, 0, 8, 4);
    const { data } = context.getImageData(0, 0, 8, 4);
    const bits = (from) =>
      Array.from({ length: 16 }, (_, i) => Number(data[4 * (from + i)] > 127)).reduce((n, bit) => 2 * n + bit, 0);
    return (bits(0) ^ bits(16)) === 0xffff ? bits(0) : -1;
  };

  window.samples = [];

  const look = (drawn) => {
    const card = document.querySelector('.card');
    const at = wall() - (now() - drawn);
    if (card) window.samples.push([at, number(card), card.querySelector('.live').checkVisibility()]);
  };

  const next = (drawn) => {
    requestAnimationFrame(next);
    setTimeout(look, 0, drawn);
  };

  requestAnimationFrame(next);
}

/**
 * Makes the page's clocks jump while a picture is called live, and reports whether one still is when the page is next
 * drawn: no picture can have been challenged in between. If none was called live, it does nothing and returns
 * undefined. Runs in the page.
 */
export async function jump(by) {
  const live = () => document.querySelector('.card .live').checkVisibility();
  if (!live()) return undefined;

  window.muted = true;
  window.clocks.now += by.now;
  window.clocks.wall += by.wall;
  await new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)));
  const after = live();
  window.muted = false;

  return { live: after };
}
