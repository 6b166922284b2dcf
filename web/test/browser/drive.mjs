// Drives a real browser through the page, as a person would, and prints one JSON object of what it saw.
//   node drive.mjs '{"browser":"chromium"|"firefox", "policy":"plain"|"default", "hideH264":bool, "relayOnly":bool, "breakFirst":bool, "sealed":bool, "trustAll":bool, "steps":[…]}'
// Steps, in order:
//   {"open": URL}                       opens an address, such as a pairing link
//   {"paste": LINK}                     pairs by the dialog's text field
//   {"picture": FILE}                   pairs by a picture of a QR code
//   {"lens": FILE}                      pairs by the lens (Chromium's fake lens shows FILE, a .y4m; given at launch)
//   {"wait": STATE, "cards": N}         waits until N cards are in STATE
//   {"frames": N}                       waits until every card has shown N pictures more
//   {"decoded": N}                      waits until the browser's own decoder has decoded N frames of every session so far
//   {"gaps": SECONDS}                   watches the first card for that long, and reports the times between its pictures, ms
//   {"tab": URL}                        opens a second tab, and stays there
//   {"error": true}, {"message": RE}    waits for the dialog's error, or for a card's message
//   {"alarm": true}                     waits for the sentence of promise 4
//   {"quiet": true}                     waits until it is gone
//   {"empty": true}                     waits for the page that knows no camera
//   {"tell": LINE, "hear": true}         prints LINE, waits for a line: the test does something in between
//   {"sessions": N}                     stops and watches the first card N times, and reports each time to first picture and to the stream's first frame, ms
//   {"path": true or RE}                waits until every card tells its path
//   {"why": true}                       opens every card's disclosure, and waits for its record
//   {"hide": true}                      turns "Hide my address" on, or off
//   {"visible": false}                  as if the page were hidden, or seen again
//   {"gap": true}                       from here on, measures the longest time without a picture of the first card
//   {"keep": true}                      keeps what the first card shows
//   {"shot": FILE, "width": W, "height": H}
import puppeteer from 'puppeteer-core';

const want = JSON.parse(process.argv[2]);
const within = want.within ?? 30_000;
const plainFirefox = { 'media.peerconnection.ice.obfuscate_host_addresses': false };
const fakeLens = want.lens ? ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', `--use-file-for-fake-video-capture=${want.lens}`] : [];
const browsers = {
  chromium: {
    executablePath: '/usr/bin/chromium',
    args: [
      '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
      '--autoplay-policy=no-user-gesture-required', ...(want.policy === 'default' ? [] : ['--disable-features=WebRtcHideLocalIpsWithMdns']), ...fakeLens,
      ...(want.trustAll ? ['--ignore-certificate-errors'] : []),
      '--host-resolver-rules=MAP relay.lab. relay.lab', // WebRTC asks for the name with a dot at its end, which /etc/hosts has not
    ],
  },
  firefox: {
    browser: 'firefox',
    executablePath: '/usr/bin/firefox-esr',
    extraPrefsFirefox: { 'media.peerconnection.ice.loopback': true, 'media.autoplay.default': 0, ...(want.policy === 'default' ? {} : plainFirefox) },
  },
};

/** The times between the pictures of the first card, for a while; runs in the page. */
const gaps = (ms) => new Promise((resolve) => {
  const times = [performance.now()];
  const watch = new MutationObserver(() => times.push(performance.now()));
  watch.observe(document.querySelector('.card'), { attributes: true, attributeFilter: ['data-frames'] });
  setTimeout(() => {
    watch.disconnect();
    times.push(performance.now());
    resolve(times.slice(1).map((t, i) => t - times[i]));
  }, ms);
});

/** Whether the browser's own decoder has decoded so many frames of every connection; runs in the page. */
async function decoded(n) {
  const frames = async (pc) => [...(await pc.getStats()).values()].find((s) => s.type === 'inbound-rtp')?.framesDecoded ?? 0;
  return (await Promise.all(window.connections.map(frames))).every((f) => f >= n);
}

/** What the page shows of each camera; runs in the page. */
function look() {
  const pixel = (card) => {
    const screen = ['canvas', 'video'].map((s) => card.querySelector(`.screen ${s}`)).find((e) => e && !e.hidden);
    const [width, height] = screen instanceof HTMLVideoElement ? [screen.videoWidth, screen.videoHeight] : [screen.width, screen.height];
    const canvas = new OffscreenCanvas(Math.max(width, 1), Math.max(height, 1));
    const context = canvas.getContext('2d');
    context.drawImage(screen, 0, 0);
    return { size: [width, height], corner: [...context.getImageData(20, 20, 1, 1).data.slice(0, 3)], element: screen.localName };
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

const errorOf = () => document.querySelector('dialog[open] .error:not([hidden])')?.textContent ?? '';

async function until(page, what, test, ...args) {
  try {
    return await page.waitForFunction(test, { timeout: within, polling: 50 }, ...args);
  } catch (e) {
    throw new Error(`${what}: ${e.message}; the page shows ${JSON.stringify(await page.evaluate(look))} ${await page.evaluate(errorOf)}`);
  }
}

async function step(browser, page, s, result) {
  if (s.open) await page.goto(s.open);
  if (s.tab) {
    page = await newPage(browser, result);
    await page.goto(s.tab);
  }
  if (s.paste || s.picture || s.lens) {
    await page.waitForSelector('#add:enabled');
    await page.click('#add');
  }
  if (s.paste) {
    await page.type('#link', s.paste);
    await page.click('#link-form button');
  }
  if (s.picture) await (await page.$('#picture')).uploadFile(s.picture);
  if (s.lens) await page.click('#scan');
  if (s.wait) await until(page, `wait for ${s.cards} cards ${s.wait}`, (state, n) => document.querySelectorAll(`.card[data-state="${state}"]`).length === n, s.wait, s.cards);
  if (s.frames) {
    const before = await page.evaluate(() => Object.fromEntries([...document.querySelectorAll('.card')].map((c) => [c.dataset.camera, Number(c.dataset.frames ?? 0)])));
    await until(page, `wait for ${s.frames} pictures`, (n, b) => [...document.querySelectorAll('.card')].every((c) => Number(c.dataset.frames ?? 0) >= b[c.dataset.camera] + n), s.frames, before);
  }
  if (s.decoded) await until(page, `wait for ${s.decoded} decoded frames`, decoded, s.decoded);
  if (s.gaps) result.gaps = await page.evaluate(gaps, s.gaps * 1000);
  if (s.path) await until(page, 'wait for a path', (re) => [...document.querySelectorAll('.card .path')].every((p) => new RegExp(re).test(p.textContent)), s.path === true ? '^(Direct|Relayed)$' : s.path);
  if (s.why) {
    await page.evaluate(() => document.querySelectorAll('.why, .why .record').forEach((d) => (d.open = true)));
    await until(page, 'wait for the record', () => [...document.querySelectorAll('.why pre')].every((p) => p.textContent !== ''));
  }
  if (s.hide !== undefined) {
    await page.waitForSelector('#hide-address:enabled');
    await page.click('#device > summary');
    if ((await page.$eval('#hide-address', (e) => e.checked)) !== s.hide) await page.click('#hide-address');
    await page.click('#device > summary');
  }
  if (s.visible !== undefined) {
    await page.evaluate((visible) => {
      Object.defineProperty(document, 'hidden', { configurable: true, get: () => !visible });
      document.dispatchEvent(new Event('visibilitychange'));
    }, s.visible);
  }
  if (s.keep) result.kept.push((await page.evaluate(look))[0]);
  if (s.gap) {
    await page.evaluate(() => {
      const card = document.querySelector('.card');
      let last = performance.now();
      delete card.dataset.gap;
      window.gaps?.disconnect();
      window.gaps = new MutationObserver(() => {
        const now = performance.now();
        card.dataset.gap = Math.max(Number(card.dataset.gap ?? 0), now - last).toFixed(0);
        last = now;
      });
      window.gaps.observe(card, { attributes: true, attributeFilter: ['data-frames'] });
    });
  }
  if (s.error) result.error = await (await until(page, 'wait for an error', errorOf)).jsonValue();
  if (s.message) await until(page, `wait for ${s.message}`, (re) => [...document.querySelectorAll('.card .message')].some((m) => new RegExp(re).test(m.textContent)), s.message);
  if (s.alarm) await until(page, 'wait for an alarm', () => document.querySelector('.card .alarm:not([hidden])') !== null);
  if (s.quiet) await until(page, 'wait for the end of the alarm', () => document.querySelector('.card .alarm:not([hidden])') === null);
  if (s.empty) await until(page, 'wait for a page without cameras', () => !document.querySelector('#empty').hidden && document.querySelector('.card') === null);
  if (s.tell) process.stdout.write(`${s.tell}\n`);
  if (s.hear) await new Promise((resolve) => process.stdin.once('data', resolve));
  for (let n = 0; n < (s.sessions ?? 0); n++) {
    await page.click('.card .watch');
    await until(page, 'stop', () => document.querySelector('.card').dataset.state === 'idle');
    await page.click('.card .watch');
    await until(page, 'watch again', () => document.querySelector('.card').dataset.state === 'playing');
    result.first.push(Number(await page.evaluate(() => document.querySelector('.card').dataset.first ?? -1))); // -1: none before the stream
    result.ttff.push(Number(await page.evaluate(() => document.querySelector('.card').dataset.ttff)));
  }
  if (s.shot) {
    await page.setViewport({ width: s.width, height: s.height });
    await page.screenshot({ path: s.shot });
  }
  return page;
}

async function newPage(browser, result) {
  const page = await browser.newPage();
  // Firefox reports what it says about ICE and WebSockets as an error of the page; a session that fails is for the steps to judge.
  page.on('pageerror', (e) => /^(WebRTC: |The connection to wss?:)/.test(e.message) || result.errors.push(e.message));
  if (want.hideH264) {
    await page.evaluateOnNewDocument(() => {
      const all = RTCRtpReceiver.getCapabilities.bind(RTCRtpReceiver);
      RTCRtpReceiver.getCapabilities = (kind) => ({ ...all(kind), codecs: all(kind).codecs.filter((c) => c.mimeType !== 'video/H264') });
    });
  }
  if (want.breakFirst) { // the first connection closes while it is given a candidate, as one that fails then does: that promise stays open for ever
    await page.evaluateOnNewDocument(() => {
      let first = true;
      const add = RTCPeerConnection.prototype.addIceCandidate;
      RTCPeerConnection.prototype.addIceCandidate = function (candidate) {
        if (!first) return add.call(this, candidate);
        first = false;
        this.close();
        this.onconnectionstatechange();
        return new Promise(() => {});
      };
    });
  }
  if (want.sealed) { // all that the page seals and sends, before it does
    await page.exposeFunction('noteSealed', (text) => result.sealed.push(text));
    await page.evaluateOnNewDocument(() => {
      const encrypt = crypto.subtle.encrypt.bind(crypto.subtle);
      crypto.subtle.encrypt = (how, key, plaintext) => {
        window.noteSealed(new TextDecoder('latin1').decode(plaintext));
        return encrypt(how, key, plaintext);
      };
    });
  }
  if (want.steps.some((s) => s.decoded)) {
    await page.evaluateOnNewDocument(() => {
      window.connections = [];
      RTCPeerConnection = class extends RTCPeerConnection {
        constructor(configuration) { super(configuration); window.connections.push(this); }
      };
    });
  }
  if (want.relayOnly) {
    await page.evaluateOnNewDocument(() => {
      RTCPeerConnection = class extends RTCPeerConnection {
        constructor(configuration) { super({ ...configuration, iceTransportPolicy: 'relay' }); }
      };
    });
  }
  return page;
}

const browser = await puppeteer.launch({ headless: true, acceptInsecureCerts: want.trustAll ?? false, ...browsers[want.browser] });
const result = { version: await browser.version(), errors: [], first: [], ttff: [], gaps: [], sealed: [], kept: [] };
try {
  let page = await newPage(browser, result);
  for (const s of want.steps) page = await step(browser, page, s, result);
  result.address = page.url();
  result.cards = await page.evaluate(look);
} catch (e) {
  result.failed = e.message;
} finally {
  const running = browser.process();
  await browser.close();
  running?.kill('SIGKILL'); // a Firefox may stay
}
console.log(JSON.stringify(result));
process.stdin.destroy();
