import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  concat,
  equal,
  fromBase64url,
  Reader,
  toBase64url,
  toHex,
  u16,
  u32,
  u64,
  u8,
  utf8,
  type Bytes,
} from '../../src/bytes';
import { unwrap } from '../../src/media/carrier';
import type { Moment } from '../../src/clocks';
import {
  EnvelopeError,
  openEnvelope,
  pad,
  sealEnvelope,
  Type,
  type Message,
  type Pair,
} from '../../src/crypto/envelope';
import { parseFrame } from '../../src/media/frame';
import { camera, viewer } from '../../src/crypto/identity';
import { pairMailbox, rendezvous, sessionMailbox, toCamera, toViewer } from '../../src/crypto/mailbox';
import { formatCode, isRelayURL, PairingError, parseCode, Scanner } from '../../src/crypto/pairing';
import { onData, RecordKey } from '../../src/session/record';
import { RecordWindow } from '../../src/session/recordwindow';
import { Playout } from '../../src/media/playout';
import { Reorder, type Ordered } from '../../src/media/reorder';
import { decodeHeader, encodeHeader, FrameError, FrameKey, ReplayWindow } from '../../src/crypto/sframe';
import { signingKeyFromSeed } from '../../src/crypto/label';
import { Signaling } from '../../src/signaling/client';
import { MapError, openMap } from '../../src/signaling/region';
import { parseRelayList } from '../../src/signaling/relaylist';
import { Splitter } from '../../src/signaling/splitter';
import { identityOf, type DeviceVector } from './device';
import { hex, readJSON } from './testdata';

// Messages from the relay, changed at random: a parser reads each in one way or throws its own error, and nothing opens
// but what was sealed. Every run tells the same stories; FUZZ_SEED and FUZZ_ROUNDS choose others, and more.

const seed = Number(process.env['FUZZ_SEED'] ?? 1);
const rounds = Number(process.env['FUZZ_ROUNDS'] ?? 400);

/** Mulberry32, by Tommy Ettinger: numbers below n. */
class Dice {
  constructor(private state: number) {}

  below(n: number): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % n;
  }

  bytes = (n: number): Bytes => Uint8Array.from({ length: n }, () => this.below(256));

  /** Returns b with something changed. */
  spoil(b: Bytes): Bytes {
    const c = b.slice();

    switch (this.below(5)) {
      case 0:
        return this.bytes(this.below(2 * b.length + 2));
      case 1:
        return c.slice(0, this.below(b.length + 1));
      case 2:
        return concat(c, this.bytes(1 + this.below(4)));
      case 3:
        for (let n = this.below(4); n > 0; n--) c[this.below(c.length)] = this.below(256);
    }

    if (c.length > 0) c[this.below(c.length)]! ^= 1 << this.below(8);
    return c;
  }
}

/** Runs a test for many rounds; a failure names the round. */
function fuzz(name: string, count: number, round: (dice: Dice, n: number) => void | Promise<void>): void {
  test(name, async () => {
    for (let n = 0; n < count; n++) {
      try {
        await round(new Dice(seed * 1_000_003 + n), n);
      } catch (e) {
        throw new Error(`round ${n} of FUZZ_SEED=${seed}`, { cause: e });
      }
    }
  });
}

/** Returns what f returns, or undefined if it throws an error of an allowed kind. */
async function attempt<T>(f: () => T | Promise<T>, ...kinds: (new (...a: never[]) => Error)[]): Promise<T | undefined> {
  try {
    return await f();
  } catch (e) {
    assert.ok(
      kinds.some((k) => e instanceof k),
      `throws ${String(e)}`,
    );
    return undefined;
  }
}

fuzz('fields and base64url have one spelling', rounds, async (dice) => {
  const b = dice.bytes(dice.below(40));
  const r = new Reader(b);
  const read = await attempt(() => [u8(r.u8()), u16(r.u16()), u32(r.u32()), u64(r.u64()), r.rest()], RangeError);
  if (read) assert.ok(equal(concat(...read), b));
  const s = String.fromCharCode(...dice.spoil(utf8(toBase64url(b))));
  const decoded = await attempt(() => fromBase64url(s), Error);
  if (decoded) assert.equal(toBase64url(decoded), s);
});

fuzz('an SFrame header has one spelling', rounds, async (dice) => {
  const whole = encodeHeader(BigInt(dice.below(20)), BigInt(dice.below(2 ** 32)) << BigInt(dice.below(32)));
  const b = dice.below(2) === 0 ? dice.spoil(whole) : dice.bytes(1 + dice.below(20));
  const h = await attempt(() => decodeHeader(b), FrameError);
  if (h) assert.ok(equal(encodeHeader(h.kid, h.ctr), b.slice(0, h.size)));
});

const frameKey = (use: 'encrypt' | 'decrypt'): Promise<FrameKey> =>
  FrameKey.derive(5, 0n, new Uint8Array(64).fill(9), use);
const sealed = await (await frameKey('encrypt')).seal(300n, utf8('meta'), utf8('picture'));

fuzz('only the frame itself opens, with its metadata', rounds, async (dice) => {
  const [frame, meta] = [dice.spoil(sealed), dice.below(2) === 0 ? utf8('meta') : dice.bytes(4)];
  const opened = await attempt(async () => (await frameKey('decrypt')).open(frame, meta), FrameError);
  assert.equal(opened !== undefined, equal(frame, sealed) && equal(meta, utf8('meta')));
});

fuzz('a counter is new once, and never if it is too old to tell', rounds, (dice) => {
  const [window, seen] = [new ReplayWindow(), new Set<bigint>()];
  let highest = BigInt(dice.below(5000));

  for (let n = 0; n < 50; n++) {
    let ctr = highest + BigInt(dice.below(2400) - 1200);
    if (ctr < 0n) ctr = 0n;
    const old = seen.size > 0 && ctr <= highest - 1024n;
    assert.equal(window.fresh(ctr), !seen.has(ctr) && !old, `${ctr} of ${highest}`);
    if (!window.fresh(ctr)) continue;

    window.record(ctr);
    if (seen.size === 0 || ctr > highest) highest = ctr;
    seen.add(ctr);
  }
});

fuzz('a playing picture never counts as younger than its own challenge', rounds, (dice) => {
  // Frames open in order. The browser shows some of them, and its report may overtake the worker's message.
  const frames: { rtp: number; issued: Moment | undefined; told: boolean }[] = [];
  let rtp = dice.below(2 ** 32);
  let now = 0;

  for (let n = 20; n > 0; n--) {
    rtp = (rtp + 90 + dice.below(2 ** 20)) >>> 0;
    now += dice.below(3);
    frames.push({ rtp, issued: dice.below(8) === 0 ? undefined : { now, wall: now }, told: false });
  }

  const playout = new Playout(() => assert.fail('the browser tells timestamps'));
  let shown = -1;

  for (let n = 60; n > 0; n--) {
    const next = frames.findIndex((f) => !f.told);
    if (dice.below(3) > 0 && next >= 0) {
      frames[next]!.told = true;
      playout.give(frames[next]!.rtp, frames[next]!.issued);
    } else if (shown + 1 < frames.length) {
      shown = Math.min(shown + 1 + dice.below(3), frames.length - 1);
      playout.show(frames[shown]!.rtp);
    }

    const on = frames[shown];
    const answered = (f: { issued: unknown; told: boolean }): boolean => f.told && f.issued !== undefined;

    if (on && !frames.slice(0, shown + 1).some((f) => !f.told && f.issued === undefined)) {
      assert.ok(
        playout.issued === undefined || playout.issued.now <= on.issued!.now,
        'it is taken for younger than it is',
      );
    }

    if (on && answered(on) && frames.slice(shown).every((f) => !f.told || answered(f))) {
      assert.equal(playout.issued, on.issued);
    }
  }
});

fuzz('an opened frame is well formed or refused', rounds, async (dice) => {
  const plaintext = dice.spoil(
    concat(u8(2), u8(dice.below(8)), u8(1), u64(1_795_000_000_000), dice.bytes(8), utf8('unit')),
  );
  const f = await attempt(() => parseFrame(7n, plaintext), FrameError);
  if (f) {
    assert.ok(
      plaintext[0] === 2 && plaintext[1]! < 8 && plaintext[2] === 1 && equal(f.accessUnit, plaintext.slice(19)),
    );
  }
});

fuzz('a carrier yields the end of its input, or refuses it', rounds, async (dice) => {
  for (const [carrier, shape] of [
    ['h264', '00000001 67 42c00a 00000001 68cb 000001 65 8884 0102'],
    ['vp8', '1002009d012a10001000 0102'],
    ['vp8', '110200 0102'],
  ] as const) {
    const frame = dice.spoil(hex(shape.replaceAll(' ', '')));
    const inside = await attempt(() => unwrap(carrier, frame), FrameError);
    if (inside === undefined) continue;
    const outside = toHex(frame.slice(0, frame.length - inside.length));
    assert.match(outside, carrier === 'h264' ? /000001(658884|419a84)$/ : /^(1002009d012a10001000|110200)$/);
    assert.ok(equal(inside, frame.slice(outside.length / 2)));
  }
});

const numbered = (ctr: number, keyframe: boolean): Ordered => ({ ctr: BigInt(ctr), first: BigInt(ctr), keyframe });

fuzz('frames are put in order, each once, and few wait', rounds, (dice) => {
  const reorder = new Reorder<Ordered>();
  let last = -1n;
  for (let n = 0; n < 200; n++) {
    for (const f of reorder.push(
      numbered(Math.max(0, n + dice.below(9) - 4), dice.below(20) === 0),
      n * dice.below(30),
    )) {
      assert.ok(f.ctr > last, `${f.ctr} after ${last}`);
      last = f.ctr;
    }
  }
});

fuzz('a record’s counter is new once, and late from 64 behind the newest', rounds, (dice) => {
  const [window, seen, last] = [new RecordWindow(), new Set<bigint>(), 2n ** 64n - 1n];
  let newest = 0n;
  let counter = dice.below(2) === 0 ? BigInt(dice.below(200)) : last - BigInt(dice.below(200));

  for (let n = 0; n < 60; n++) {
    const late = seen.size > 0 && counter + 64n <= newest;
    const want = late ? 'late' : seen.has(counter) ? 'copy' : 'new';
    assert.equal(window.accept(counter), want, `${counter} of ${newest}`);
    if (want === 'new') {
      seen.add(counter);
      if (counter > newest) newest = counter;
    }

    const far = dice.below(8) === 0 ? 1n << BigInt(dice.below(64)) : 0n;
    counter = newest + far + BigInt(dice.below(200) - 100);
    counter = counter < 0n ? 0n : counter > last ? last : counter;
  }
});

const record = (): Promise<RecordKey> => RecordKey.derive(new Uint8Array(32).fill(7), onData, toCamera);
const hello = await (await record()).seal({ type: 'hello' });

fuzz('only the record itself opens, once', rounds, async (dice) => {
  const [wire, opener] = [dice.spoil(hello), await record()];
  const m = await attempt(() => opener.open(wire), Error);
  assert.equal(m !== undefined, equal(wire, hello));
  if (m === undefined) assert.deepEqual(await opener.open(hello), { type: 'hello' });
  await assert.rejects(opener.open(hello));
});

interface Vectors {
  codes: { text: string; error: string }[];
  cases: {
    code: { text: string };
    scanner: DeviceVector;
    displayer: DeviceVector;
    nonce_s: string;
    bundle_message: string;
    m2: string;
    m3: string;
    refusals: { message: string }[];
  }[];
}
const vectors = readJSON<Vectors>('crypto/pairing/testdata/vectors.json');
const codes = vectors.codes.map((c) => c.text);

fuzz('a code has one spelling, and anything else gets a sentence', rounds, async (dice) => {
  const code = utf8(codes[dice.below(codes.length)]!);
  const link = new TextDecoder().decode(dice.spoil(code));
  const c = await attempt(() => parseCode(link), PairingError);
  if (c) assert.ok((await formatCode(c)) === link.trim() && link.trim().length <= 300 && isRelayURL(c.relayURL));
});

const pairing = vectors.cases[0]!;
const [scannerIdentity, displayerIdentity] = [await identityOf(pairing.scanner), await identityOf(pairing.displayer)];
const code = await parseCode(pairing.code.text);

fuzz('a scanner continues only with messages of its own displayer', Math.ceil(rounds / 8), async (dice) => {
  const messages = [pairing.bundle_message, pairing.m2, pairing.m3, ...pairing.refusals.map((r) => r.message)].map(hex);
  const scanner = new Scanner(scannerIdentity, code, hex(pairing.nonce_s));
  const begun = dice.below(2) === 0;
  if (begun) assert.ok(await scanner.handle(messages[0]!));
  const message = dice.spoil(messages[dice.below(messages.length)]!);
  const reply = await attempt(() => scanner.handle(message), PairingError);
  assert.equal(scanner.pair, undefined);
  assert.equal(reply !== undefined, begun ? message[0] === 1 : equal(message, messages[0]!));
});

const [secret, mailboxSecret] = [new Uint8Array(32).fill(5), new Uint8Array(32).fill(6)];
const ours: Pair = {
  role: viewer,
  self: scannerIdentity,
  peer: displayerIdentity.bundle,
  secret,
  mailboxSecret,
};
const theirs: Pair = {
  role: camera,
  self: displayerIdentity,
  peer: scannerIdentity.bundle,
  secret,
  mailboxSecret,
};
const now = 1_795_000_000_000;
const session = new Uint8Array(16).fill(1);
const answer: Message = {
  session,
  seq: 0n,
  type: Type.answer,
  sent: now,
  expiry: now + 60_000,
  body: utf8('{}'),
};
const inbox = await sessionMailbox(mailboxSecret, toViewer, session);
const boxes = [
  inbox,
  await sessionMailbox(mailboxSecret, toCamera, session),
  await pairMailbox(mailboxSecret, toViewer, 7),
  await rendezvous(mailboxSecret, toViewer),
];
const { wire: envelope } = await sealEnvelope(theirs, inbox, answer);

fuzz('only the envelope itself opens, in its mailbox and before it expires', Math.ceil(rounds / 8), async (dice) => {
  const [wire, box, late] = [
    dice.below(4) === 0 ? envelope : dice.spoil(envelope),
    boxes[dice.below(2) * dice.below(boxes.length)]!,
    dice.below(4) * 60_001,
  ];

  const opened = await attempt(() => openEnvelope(ours, box, wire, now + late), EnvelopeError);
  assert.equal(opened !== undefined, equal(wire, envelope) && box === inbox && late <= 180_000);
  if (opened) assert.ok(equal(pad(opened), pad(answer)));
});

const maps = readJSON<{ wire: string }[]>('signaling/region/testdata/vectors.json');
const operator = (await signingKeyFromSeed(new Uint8Array(32).fill(1))).publicKey;

fuzz('only the map itself opens', rounds, async (dice) => {
  const wire = new TextDecoder().decode(dice.spoil(utf8(maps[0]!.wire)));
  const opened = await attempt(() => openMap(wire, operator), MapError);
  assert.equal(opened !== undefined, wire === maps[0]!.wire);
});

const relayList = {
  version: toBase64url(new Uint8Array(8).fill(1)),
  home: { name: 'frankfurt', url: 'https://fra.example', round_trip: 12 },
  standby: { url: 'https://va.example:8443', round_trip: 0 },
  seed: toBase64url(new Uint8Array(16)),
  operator: toBase64url(new Uint8Array(32)),
};

fuzz('a relay list is well formed or none', rounds, (dice) => {
  let said: unknown;
  try {
    said = JSON.parse(new TextDecoder().decode(dice.spoil(utf8(JSON.stringify(relayList)))));
  } catch {
    return;
  }

  const list = parseRelayList(said, 'https://relay.example');
  if (list === undefined) return;
  assert.ok(fromBase64url(list.version).length === 8 && list.seed.length === 16);
  for (const place of list.standby ? [list.home, list.standby] : [list.home]) {
    assert.ok(isRelayURL(place.url) && place.roundTrip >= 0 && place.roundTrip <= 10_000);
  }
});

fuzz('a stream of frames is read in one way, however it is cut', rounds, (dice) => {
  const frames = Array.from({ length: 1 + dice.below(5) }, () => dice.bytes(dice.below(40)));
  const whole = concat(...frames.flatMap((f) => [u32(f.length), f]));
  const stream = dice.below(2) === 0 ? whole : dice.spoil(whole);

  const read = (most: number): string => {
    const splitter = new Splitter();
    const got: string[] = [];
    try {
      for (let at = 0, to = 0; at < stream.length; at = to) {
        to = at + 1 + dice.below(most);
        for (const frame of splitter.split(stream.slice(at, to))) got.push(toHex(frame));
      }
    } catch (e) {
      assert.ok(e instanceof RangeError);
      got.push('too long');
    }
    return got.join();
  };

  const got = read(1);
  assert.equal(read(9), got);
  assert.equal(read(stream.length + 1), got);
  if (equal(stream, whole)) assert.equal(got, frames.filter((f) => f.length > 0).map(toHex).join());
});

/** A relay in place of the browser's WebSocket. */
class Socket {
  static readonly OPEN = 1;
  static last: Socket | undefined;
  readyState = 1;
  onmessage: ((e: { data: ArrayBuffer }) => void) | undefined;
  sent = 0;

  constructor() {
    Socket.last = this;
  }

  send = (): void => void this.sent++;

  close(): void {
    this.readyState = 3;
  }

  say = (b: Bytes): void => this.onmessage?.({ data: b.slice().buffer });
}

fuzz('whatever a relay sends, a receiver gets only what was delivered to its mailbox', rounds, async (dice) => {
  globalThis.WebSocket = Socket as unknown as typeof WebSocket;
  const signaling = new Signaling('https://relay.example');
  const socket = Socket.last!;
  try {
    const got: Bytes[] = [];
    signaling.receive(inbox, (body) => {
      got.push(body);
      return Promise.resolve(true);
    });

    socket.say(concat(u8(0x01), dice.bytes(32), u64(now)));
    const delivery = concat(u8(0x22), inbox.name, u64(dice.below(9)), dice.bytes(1 + dice.below(9)));
    const frames = [
      delivery,
      concat(u8(0x20), u32(1)),
      concat(u8(0x21), u32(1), u16(429), u16(2), utf8('no')),
      concat(u8(0x23), u32(1), utf8('{"urls":[]}')),
      concat(u8(0x01), dice.bytes(40)),
    ];

    let expected = 0;

    for (let n = 0; n < 4; n++) {
      const frame = dice.below(3) === 0 ? delivery : dice.spoil(frames[dice.below(frames.length)]!);
      if (socket.readyState === 1 && frame[0] === 0x22 && frame.length >= 42 && equal(frame.slice(1, 33), inbox.name)) {
        expected++;
      }
      socket.say(frame);
    }

    await new Promise((done) => setImmediate(done));
    assert.equal(got.length, expected, toHex(concat(...got)));
  } finally {
    signaling.close();
  }
});
