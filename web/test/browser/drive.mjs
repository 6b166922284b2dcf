// Drives a real browser through the page, as a person would, and prints what it saw as one JSON object.
//   node drive.mjs '{OPTIONS, "steps": [STEP, …]}'
//
// Options:
//   "browser": "chromium" or "firefox"
//   "policy": "plain" or "default"      whether host addresses are shown, or hidden as browsers do by default
//   "hideH264", "untold": bool          the browser does not offer H.264, or does not say which picture it shows
//   "relayOnly": bool                   the page uses only paths through a relay
//   "breakFirst": bool                  the page's first connection breaks while it gets a candidate
//   "sealed": bool                      notes everything that the page seals
//   "trustAll": bool                    the browser accepts every certificate
//   "spki": BASE64                      Chromium trusts the certificate whose SubjectPublicKeyInfo has this SHA-256,
//                                       for WebTransport too
//   "reached": bool                     notes every connection that the page opens
//   "slowClock": bool                   the page's clock stands still until a step moves it
//   "prelude": TEXT                     a script to run before the page's own
//
// Steps, in order:
//   {"visit": URL}                      opens an address
//   {"open": URL}                       opens an address; answers yes if it is a pairing link
//   {"paste": LINK}                     types a link into the dialog's text field, and answers yes
//   {"picture": FILE}                   the same with a picture of a QR code
//   {"lens": FILE}                      the same with the device's camera (Chromium's fake one shows FILE, a .y4m)
//   {"transfer": "paste" or "drop", "text": LINK or "picture": FILE}
//                                       the same by the clipboard or by dragging, anywhere on the page
//   {…, "unanswered": true}             leaves the question unanswered
//   {"ask": true}                       waits for the question, and notes what it says and what this page has reached
//                                       since it was loaded or since the last note
//   {"note": true}                      notes what this page has reached since the last note
//   {"script": TEXT}                    runs a function's body in the page, and notes what it returns
//   {"answer": "yes", "no" or KEY}      answers the question, or presses a key
//   {"impatient": true}                 double-clicks the answer before anybody can have read the question; needs
//                                       "slowClock"
//   {"reload": true}                    reloads the page
//   {"back": URL}, {"forward": URL}     presses that button, and waits until the address begins with URL
//   {"cached": true}                    acts as if the page came from the browser's cache, and waits for its new start
//   {"begun": true}                     waits until the page is connected to a relay; needs "reached"
//   {"unreachable": true}               waits until the browser says that it could not open the page
//   {"shut": true}                      waits until the dialog is closed
//   {"wait": STATE, "cards": N}         waits until N cards are in STATE; with "live": true, N that are called live
//   {"frames": N}                       waits until every card has shown N more pictures
//   {"decoded": N}                      waits until the browser's own decoder has decoded N frames of every session
//   {"gaps": SECONDS}                   watches the first card that long, and reports the times between pictures, ms
//   {"tab": URL}                        opens a second tab, and stays there
//   {"first": true}                     returns to the first tab
//   {"error": true}, {"message": RE}    waits for the dialog's error, or for a card's message
//   {"notice": RE}                      waits for a sentence below the picture of the first card
//   {"block": true}                     from here on, leaves the page a quarter of its time
//   {"alarm": true}                     waits for the sentence of promise 4
//   {"quiet": true}                     waits until that sentence is gone
//   {"empty": true}                     waits for the page without cameras
//   {"tell": LINE, "hear": true}        prints LINE, then waits for a line: the test does something in between
//   {"sessions": N}                     stops and watches the first card N times, and reports each time to the first
//                                       picture and to the first frame of the stream, ms
//   {"path": true or RE}                waits until every card shows its path
//   {"why": true}                       opens the details of every card, and waits for its record
//   {"hide": true}                      turns "Hide my address" on or off
//   {"visible": false}                  acts as if the page were hidden, or visible again
//   {"gap": true}                       from here on, measures the longest time without a picture of the first card
//   {"keep": true}                      keeps what the first card shows
//   {"forbidden": ORIGIN}               tries what the page's policy forbids, such as connecting to ORIGIN, and reports
//                                       what was let through
//   {"shorten": true}                   stores the cameras under 8 bytes of their fingerprint, as older pages did
//   {"shot": FILE, "width": W, "height": H, "scheme": "light" or "dark"}
//                                       takes a screenshot
//   {"sample": true}                    from here on, keeps what the first card shows whenever the page is rendered
//                                       (sampler.mjs)
//   {"sampled": N, "live": bool}        waits until N more samples show a numbered picture that is live, or not
//   {"clocks": {"now": MS, "wall": MS}} moves the page's clocks while a picture is live; reports whether it stays so
//   {"stop": MS}                        stops all processes of the browser for that long
import { readFileSync } from 'node:fs';
import puppeteer from 'puppeteer-core';
import {
  gaps,
  question,
  isAsked,
  canAnswer,
  slowClock,
  watchNetwork,
  transfer,
  decoded,
  look,
  forbidden,
  shorten,
  errorOf,
  dialogOf,
} from './inpage.mjs';
import { jump, sample, settableClocks } from './sampler.mjs';

const want = JSON.parse(process.argv[2]);
const within = want.within ?? 30_000;
const plainFirefox = { 'media.peerconnection.ice.obfuscate_host_addresses': false };
const fakeLens = want.lens
  ? [
      '--use-fake-device-for-media-stream',
      '--use-fake-ui-for-media-stream',
      `--use-file-for-fake-video-capture=${want.lens}`,
    ]
  : [];
// Over QUIC, Chromium trusts no certificate of a private authority outside WebTransport's developer mode, whatever else
// it is told to ignore.
const trustOverQUIC = [`--ignore-certificate-errors-spki-list=${want.spki}`, '--webtransport-developer-mode'];
const browsers = {
  chromium: {
    executablePath: '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      ...(want.spki ? trustOverQUIC : ['--disable-quic']),
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--autoplay-policy=no-user-gesture-required',
      ...(want.policy === 'default' ? [] : ['--disable-features=WebRtcHideLocalIpsWithMdns']),
      ...fakeLens,
      ...(want.trustAll ? ['--ignore-certificate-errors'] : []),
      // WebRTC looks up names with a dot at their end, which /etc/hosts does not have
      `--host-resolver-rules=${['relay', 'a', 'b'].map((name) => `MAP ${name}.lab. ${name}.lab`).join(', ')}`,
    ],
  },
  firefox: {
    browser: 'firefox',
    executablePath: '/usr/bin/firefox-esr',
    extraPrefsFirefox: {
      'media.peerconnection.ice.loopback': true,
      'media.autoplay.default': 0,
      ...(want.policy === 'default' ? {} : plainFirefox),
    },
  },
};

/** Returns what the page that is loaded now has reached, without what the page before it had. */
async function reached(page, result) {
  const loaded = await page.evaluate(() => performance.timeOrigin);
  return result.reached
    .splice(0)
    .filter((r) => r.loaded === loaded)
    .map((r) => r.what);
}

/** Answers the question with yes, unless the code cannot be used. */
async function agree(page) {
  await until(
    page,
    'wait for the question',
    () =>
      document.querySelector('#pair[open] .question:not([hidden]) .yes:enabled, #pair[open] .error:not([hidden])') !==
      null,
  );

  if (await page.evaluate(canAnswer)) await page.click('#pair .yes');
}

async function until(page, what, test, ...args) {
  try {
    return await page.waitForFunction(test, { timeout: within, polling: 50 }, ...args);
  } catch (e) {
    const cards = JSON.stringify(await page.evaluate(look));
    throw new Error(`${what}: ${e.message}; the page shows ${cards} ${await page.evaluate(dialogOf)}`);
  }
}

/** Waits until the loaded page passes a test, although the page may change. Meanwhile nothing can be evaluated. */
async function arrive(page, what, test, ...args) {
  for (const giveUp = Date.now() + within; Date.now() < giveUp;) {
    if (await page.evaluate(test, ...args).catch(() => false)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }

  throw new Error(`${what}: still at ${page.url()}`);
}

/** Goes back or forward to a page that may come out of the browser's cache. Then there is no load to wait for. */
async function travel(page, by, to) {
  await page.evaluate((n) => void setTimeout(() => history.go(n)), by);

  await arrive(
    page,
    `go to ${to}`,
    (address) => location.href.startsWith(address) && document.readyState === 'complete',
    to,
  );
}

async function comeOutOfTheCache(page) {
  const loaded = await page.evaluate(() => performance.timeOrigin);

  await page.evaluate(
    () =>
      void setTimeout(() => {
        for (const type of ['pagehide', 'pageshow']) dispatchEvent(new PageTransitionEvent(type, { persisted: true }));
      }),
  );

  await arrive(
    page,
    'begin anew',
    (before) => performance.timeOrigin !== before && document.readyState === 'complete',
    loaded,
  );
}

async function step(browser, page, s, result) {
  if (s.visit ?? s.open) await page.goto(s.visit ?? s.open);
  if (s.reload) await page.reload().catch(() => undefined); // the page may open another one before it is loaded
  if (s.first) await page.bringToFront();
  if (s.back) await travel(page, -1, s.back);
  if (s.forward) await travel(page, 1, s.forward);
  if (s.cached) await comeOutOfTheCache(page);

  if (s.tab) {
    page = await newPage(browser, result);
    await page.goto(s.tab);
  }

  if (s.paste || (s.picture && !s.transfer) || s.lens) {
    await page.waitForSelector('#add:enabled');
    await page.click('#add');
  }

  if (s.paste) {
    await page.type('#link', s.paste);
    await page.click('#link-form button');
  }

  if (s.picture && !s.transfer) await (await page.$('#picture')).uploadFile(s.picture);
  if (s.lens) await page.click('#scan');

  if (s.transfer) {
    await page.waitForSelector('#add:enabled');
    await page.evaluate(transfer, s.transfer, s.text, s.picture && readFileSync(s.picture).toString('base64'));
  }

  const offers = s.open?.includes('/pair#') || s.paste || s.picture || s.lens || s.transfer;
  if (offers && !s.unanswered) await agree(page);

  if (s.impatient) {
    await until(page, 'wait for the question', isAsked);
    const box = await (await page.$('#pair .yes')).boundingBox();
    await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2, { count: 2 });
    await page.evaluate(() => window.pass(1000));
  }

  if (s.ask) {
    await until(page, 'wait for the question', canAnswer);
    result.asked.push({ ...(await page.evaluate(question)), reached: await reached(page, result) });
  }

  if (s.note) result.noted.push(await reached(page, result));
  if (s.script) result.values.push(await page.evaluate(`(async () => {${s.script}})()`));
  if (s.answer === 'yes' || s.answer === 'no') await page.click(`#pair .${s.answer}`);
  else if (s.answer) await page.keyboard.press(s.answer);
  if (s.begun) {
    const begun = () => window.session || window.sockets?.some((w) => w.readyState === WebSocket.OPEN);
    await until(page, 'wait for a relay', begun);
  }

  if (s.unreachable) await arrive(page, 'wait for an error', () => document.querySelector('#pair') === null);
  if (s.shut) await until(page, 'wait until the dialog is shut', () => !document.querySelector('#pair').open);

  if (s.wait) {
    const which = `.card[data-state="${s.wait}"]${s.live ? '[data-live="true"]' : ''}`;
    await until(
      page,
      `wait for ${s.cards} cards ${s.wait}`,
      (selector, n) => document.querySelectorAll(selector).length === n,
      which,
      s.cards,
    );
  }

  if (s.frames) {
    const before = await page.evaluate(() =>
      Object.fromEntries(
        [...document.querySelectorAll('.card')].map((c) => [c.dataset.camera, Number(c.dataset.frames ?? 0)]),
      ),
    );

    await until(
      page,
      `wait for ${s.frames} pictures`,
      (n, b) =>
        [...document.querySelectorAll('.card')].every((c) => Number(c.dataset.frames ?? 0) >= b[c.dataset.camera] + n),
      s.frames,
      before,
    );
  }

  if (s.decoded) await until(page, `wait for ${s.decoded} decoded frames`, decoded, s.decoded);
  if (s.gaps) result.gaps = await page.evaluate(gaps, s.gaps * 1000);

  if (s.path) {
    await until(
      page,
      'wait for a path',
      (re) => [...document.querySelectorAll('.card .path')].every((p) => new RegExp(re).test(p.textContent)),
      s.path === true ? '^(Direct|Relayed)$' : s.path,
    );
  }

  if (s.why) {
    await page.evaluate(() => document.querySelectorAll('.why, .why .record').forEach((d) => (d.open = true)));
    await until(page, 'wait for the record', () =>
      [...document.querySelectorAll('.why pre')].every((p) => p.textContent !== ''),
    );
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

  if (s.message) {
    await until(
      page,
      `wait for ${s.message}`,
      (re) => [...document.querySelectorAll('.card .message')].some((m) => new RegExp(re).test(m.textContent)),
      s.message,
    );
  }

  if (s.notice) {
    const notice = await until(
      page,
      `wait for ${s.notice}`,
      (re) => {
        const text = document.querySelector('.card .notice:not([hidden])')?.textContent ?? '';
        return new RegExp(re).test(text) && text;
      },
      s.notice,
    );

    result.notices.push(await notice.jsonValue());
  }

  if (s.block) {
    await page.evaluate(() => {
      setInterval(() => {
        for (const until = performance.now() + 150; performance.now() < until;);
      }, 200);
    });
  }

  if (s.alarm) {
    await until(page, 'wait for an alarm', () => document.querySelector('.card .alarm:not([hidden])') !== null);
  }

  if (s.quiet) {
    await until(
      page,
      'wait for the end of the alarm',
      () => document.querySelector('.card .alarm:not([hidden])') === null,
    );
  }

  if (s.empty) {
    await until(
      page,
      'wait for a page without cameras',
      () => !document.querySelector('#empty').hidden && document.querySelector('.card') === null,
    );
  }

  if (s.tell) process.stdout.write(`${s.tell}\n`);
  if (s.hear) await new Promise((resolve) => process.stdin.once('data', resolve));

  for (let n = 0; n < (s.sessions ?? 0); n++) {
    await page.click('.card .watch');
    await until(page, 'stop', () => document.querySelector('.card').dataset.state === 'idle');
    await page.click('.card .watch');
    await until(page, 'watch again', () => document.querySelector('.card').dataset.state === 'playing');

    // -1 if no picture came before the stream
    result.first.push(Number(await page.evaluate(() => document.querySelector('.card').dataset.first ?? -1)));
    result.ttff.push(Number(await page.evaluate(() => document.querySelector('.card').dataset.ttff)));
  }

  if (s.sample) await page.evaluate(sample);

  if (s.sampled) {
    const from = await page.evaluate(() => window.samples.length);
    const seen = (live, n, first) => window.samples.slice(first).filter((x) => x[1] >= 0 && x[2] === live).length >= n;
    await until(page, `wait for ${s.sampled} samples, live ${s.live}`, seen, s.live, s.sampled, from);
  }

  if (s.clocks) {
    result.after.push((await (await until(page, 'wait for a live picture', jump, s.clocks)).jsonValue()).live);
  }

  if (s.stop) {
    const all = -browser.process().pid; // puppeteer makes them a process group
    process.kill(all, 'SIGSTOP');
    await new Promise((resolve) => setTimeout(resolve, s.stop));
    process.kill(all, 'SIGCONT');
  }

  if (s.forbidden) result.through.push(...(await page.evaluate(forbidden, s.forbidden)));
  if (s.shorten) await page.evaluate(shorten);

  if (s.shot) {
    await page.setViewport({ width: s.width, height: s.height });
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: s.scheme ?? 'light' }]);
    await page.screenshot({ path: s.shot });
  }

  return page;
}

async function newPage(browser, result) {
  const page = await browser.newPage();
  page.setDefaultTimeout(within);
  // Firefox reports its messages about ICE, WebSockets, policies and relays that are away as errors of the page. The
  // steps judge whether a session has failed.
  const policy = new RegExp(
    '^(WebRTC: |The connection to wss?:|Firefox can’t establish a connection|Content-Security-Policy: |' +
      'Cross-Origin Request Blocked: .*CORS request did not succeed)',
  );
  const expected = want.steps.some((s) => s.forbidden) ? /./ : policy;
  page.on('pageerror', (e) => expected.test(e.message) || result.errors.push(e.message));

  if (want.hideH264) {
    await page.evaluateOnNewDocument(() => {
      const all = RTCRtpReceiver.getCapabilities.bind(RTCRtpReceiver);
      RTCRtpReceiver.getCapabilities = (kind) => ({
        ...all(kind),
        codecs: all(kind).codecs.filter((c) => c.mimeType !== 'video/H264'),
      });
    });
  }

  // the first connection closes while it gets a candidate, like one that fails then: the promise never settles
  if (want.breakFirst) {
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

  if (want.prelude) await page.evaluateOnNewDocument(want.prelude);
  if (want.slowClock) await page.evaluateOnNewDocument(slowClock);

  if (want.reached) {
    await page.exposeFunction('noteReached', (loaded, what) => void result.reached.push({ loaded, what }));
    await page.evaluateOnNewDocument(watchNetwork);
  }

  if (want.sealed) {
    // everything that the page seals and sends, before that happens
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
        constructor(configuration) {
          super(configuration);
          window.connections.push(this);
        }
      };
    });
  }

  if (want.steps.some((s) => s.clocks)) await page.evaluateOnNewDocument(settableClocks);

  if (want.untold) {
    await page.evaluateOnNewDocument(() => {
      const request = HTMLVideoElement.prototype.requestVideoFrameCallback;
      HTMLVideoElement.prototype.requestVideoFrameCallback = function (callback) {
        return request.call(this, (now, { rtpTimestamp, ...metadata }) => callback(now, metadata));
      };
    });
  }

  if (want.relayOnly) {
    await page.evaluateOnNewDocument(() => {
      RTCPeerConnection = class extends RTCPeerConnection {
        constructor(configuration) {
          super({ ...configuration, iceTransportPolicy: 'relay' });
        }
      };
    });
  }

  return page;
}

const browser = await puppeteer.launch({
  headless: true,
  timeout: within,
  protocolTimeout: 2 * within, // longer than any wait of a step
  acceptInsecureCerts: want.trustAll ?? false,
  ...browsers[want.browser],
});
const result = {
  version: await browser.version(),
  errors: [],
  first: [],
  ttff: [],
  gaps: [],
  sealed: [],
  kept: [],
  asked: [],
  reached: [],
  noted: [],
  values: [],
  after: [],
  samples: [],
  through: [],
  notices: [],
};
let at;
try {
  let page = await newPage(browser, result);
  const firstPage = page;
  for (const s of want.steps) {
    at = s;
    page = await step(browser, s.first ? firstPage : page, s, result);
  }

  result.address = page.url();
  result.cards = await page.evaluate(look);
  result.device = await page.evaluate(() => document.querySelector('#device-words')?.textContent ?? '');
  result.samples = await page.evaluate(() => window.samples ?? []);
} catch (e) {
  result.failed = `${JSON.stringify(at)}: ${e.message}`;
} finally {
  const running = browser.process();
  await browser.close();
  running?.kill('SIGKILL'); // Firefox sometimes keeps running
}
console.log(JSON.stringify(result));
process.stdin.destroy();
