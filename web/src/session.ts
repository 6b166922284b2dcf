import { concat, fromBase64url, random, text, toBase64url, utf8, type Bytes } from './bytes';
import type { Carrier } from './carrier';
import { Arrivals, type Message } from './arrivals';
import { EnvelopeError, isForeign, openEnvelope, sealEnvelope, Type, type Pair } from './envelope';
import { decodeKeyframe } from './decoder';
import { Freshness } from './freshness';
import { encSize, KEMKey } from './hpke';
import { exporter, hash, info, kdf, sha256 } from './label';
import { dayOf, pairMailbox, sessionMailbox, toCamera, toViewer, type Mailbox } from './mailbox';
import { describePath, type Path } from './path';
import { onData, onSignaling, RecordKey, type RecordMessage } from './record';
import { FrameError } from './sframe';
import { RelayError, type Grant, type Signaling } from './signaling';
import { mayBePiece, Still } from './still';
import { cameraTrack, stillTrack, videoTrack, type SessionSecret } from './track';
import type { Start, WorkerEvent } from './workermessages';

// The viewer's end of one session (doc/protocol.md, section 6).

const answerWait = 10_000;
const connectWait = 20_000;
const offerLife = 60;
const messageTTL = 30;
const challengeEvery = 1_000;

export const sentences = {
  rejected: 'The relay delivered something that is not from your camera; nothing was shown.',
  delayed: 'Delayed: this picture is not live.',
  noAnswer: 'Your camera did not answer. It may be off or without internet.',
  lost: 'The connection to the camera was lost.',
  ended: 'The camera ended the session.',
} as const;

/** Why a session ended, in a person's words. */
export class SessionError extends Error {
  override name = 'SessionError';

  constructor(
    message: string,
    /** The camera said no: trying again at once is of no use. */
    readonly refused = false,
  ) {
    super(message);
  }
}

export interface SessionEvents {
  /** The h264 carrier: play this. */
  track(stream: MediaStream): void;
  /** The vp8 carrier: draw and close this. */
  picture(frame: VideoFrame): void;
  /** The picture that came behind the answer, before the stream: draw and close this, unless the stream has begun. */
  first(frame: VideoFrame, live: boolean): void;
  /** One frame has opened (h264), or is about to be shown (vp8). */
  frame(live: boolean, carrier: Carrier): void;
  name(name: string): void;
  path(path: Path): void;
  /** What the camera says about itself; empty when all is well. */
  status(text: string): void;
  rejected(what: string): void;
  undecodable(reason: string): void;
}

interface Answer {
  sdp: string;
  enc: string;
  random: string;
  carrier: Carrier;
  name: string;
}

/** What this browser can play, best first: H.264 in WebRTC where it is offered, WebCodecs behind VP8 everywhere else. */
export function playable(): Carrier[] {
  const codecs = RTCRtpReceiver.getCapabilities('video')?.codecs ?? [];
  const h264 = codecs.some((c) => c.mimeType === 'video/H264' && /packetization-mode=1/.test(c.sdpFmtpLine ?? '') && /profile-level-id=42e0/i.test(c.sdpFmtpLine ?? ''));
  return h264 ? ['h264', 'vp8'] : ['vp8'];
}

export class Session {
  readonly #id = random(16);
  readonly #fresh = new Freshness();
  readonly #pending: RTCIceCandidateInit[] = [];
  readonly #cleanUp: (() => void)[] = [];
  readonly #arrivals = new Arrivals();
  #pc!: RTCPeerConnection;
  #data!: RTCDataChannel;
  #worker!: Worker;
  #out!: Mailbox;
  #inbox!: Mailbox;
  #sendSignal: RecordKey | undefined;
  #openSignal!: RecordKey;
  #sendData: RecordKey | undefined;
  #openData!: RecordKey;
  #first!: Still;
  #outbox = Promise.resolve();
  #arriving = Promise.resolve();
  #greeted = false;
  #connected = false;
  #end!: (e: SessionError | undefined) => void;
  readonly #ended = new Promise<SessionError | undefined>((resolve) => (this.#end = resolve));

  constructor(
    private readonly pair: Pair,
    private readonly signaling: Signaling,
    private readonly events: SessionEvents,
    private readonly carriers: Carrier[] = playable(),
  ) {}

  /** Runs until close is called; rejects with SessionError when the session cannot be had, ends or breaks. */
  async run(): Promise<void> {
    try {
      await this.#start();
    } catch (e) {
      this.#fail(e);
    }
    const error = await this.#ended;
    for (const f of this.#cleanUp) f();
    if (error) throw error;
  }

  close(): void {
    void this.#sendOnData({ type: 'bye', reason: 'closed' }).finally(() => this.#end(undefined));
  }

  async #start(): Promise<void> {
    const { signaling, pair } = this;
    await signaling.connected();
    const day = await dayOf(pair.mailboxSecret, signaling.serverTime);
    const [box, inbox, out] = await Promise.all([
      pairMailbox(pair.mailboxSecret, toCamera, day),
      sessionMailbox(pair.mailboxSecret, toViewer, this.#id),
      sessionMailbox(pair.mailboxSecret, toCamera, this.#id),
    ]);
    this.#out = out;
    this.#inbox = inbox;
    let answered!: (m: Message) => Promise<boolean>;
    this.#cleanUp.push(
      signaling.receive(inbox, async (body, reject) => {
        // A closed RTCPeerConnection leaves its promises open for ever, and the next message waits for this one.
        await Promise.race([this.#ended, this.#arrived({ body, reject }, answered).catch((e: unknown) => this.#fail(e))]);
        return true;
      }),
      () => signaling.release(out),
    );
    const grant = await this.#grant(box);
    this.#connect(grant);
    const kem = (await KEMKey.generate()).key;
    const viewerRandom = random(32);
    const description = await this.#pc.createOffer();
    await this.#pc.setLocalDescription(description);
    const offer = {
      first: true, sdp: description.sdp, kem: toBase64url(kem.publicKey), random: toBase64url(viewerRandom), carriers: this.carriers,
      challenge: toBase64url(this.#fresh.issue(performance.now(), Date.now())), turn: { urls: grant.urls, ...grant.camera }, agent: 'peephole web',
    };
    const sent = Date.now();
    const sealed = await sealEnvelope(pair, box, {
      session: this.#id, seq: 0n, type: Type.offer, sent, expiry: sent + offerLife * 1000, body: utf8(JSON.stringify(offer)),
    });
    answered = (m) => this.#answered(m, { ...sealed, kem, viewerRandom });
    this.#after(answerWait, () => this.#sendSignal === undefined, sentences.noAnswer);
    await signaling.send(box, sealed.wire, offerLife);
  }

  #fail(e: unknown): void {
    this.#end(e instanceof SessionError ? e : new SessionError(`The session could not be started: ${String(e)}`));
  }

  /** Takes a message of the session's mailbox: the answer first, and what came before it; records after it. */
  async #arrived(m: Message, answered: (m: Message) => Promise<boolean>): Promise<void> {
    if (await this.#arrivals.again(m)) return;
    const first = this.#sendSignal === undefined;
    if (!(await (first ? answered(m) : mayBePiece(m.body) ? this.#piece(m) : this.#record(m)))) return;
    await this.#arrivals.opened(m);
    if (first) for (const held of this.#arrivals.release()) await this.#arrived(held, answered);
  }

  #after(ms: number, stuck: () => boolean, why: string): void {
    const timer = setTimeout(() => stuck() && this.#end(new SessionError(why)), ms);
    this.#cleanUp.push(() => clearTimeout(timer));
  }

  async #grant(box: Mailbox): Promise<Grant> {
    try {
      return await this.signaling.grant(box);
    } catch (e) {
      // Nobody admitted the mailbox: the camera has not been there.
      throw e instanceof RelayError && e.code === 404 ? new SessionError(sentences.noAnswer) : e;
    }
  }

  #connect(grant: Grant): void {
    const stun = grant.urls.filter((u) => u.startsWith('turn:') && !u.endsWith('=tcp')).map((u) => u.replace(/^turn:/, 'stun:').replace(/\?.*$/, ''));
    const iceServers = [{ urls: grant.urls, ...grant.viewer }, ...(stun.length > 0 ? [{ urls: stun }] : [])];
    const pc = new RTCPeerConnection({ iceServers, bundlePolicy: 'max-bundle' }); // or Firefox allocates for video and data apart
    this.#pc = pc;
    this.#cleanUp.push(() => pc.close());
    const transceiver = pc.addTransceiver('video', { direction: 'recvonly' });
    this.#worker = new Worker('/worker.js', { type: 'module' });
    this.#cleanUp.push(() => this.#worker.terminate());
    this.#worker.onmessage = (e: MessageEvent<WorkerEvent>) => this.#opened(e.data);
    transceiver.receiver.transform = new RTCRtpScriptTransform(this.#worker); // before negotiation: later is too late
    this.#data = pc.createDataChannel('peephole', { negotiated: true, id: 0, ordered: true });
    this.#data.binaryType = 'arraybuffer';
    this.#data.onopen = () => void this.#sendOnData({ type: 'hello' });
    this.#data.onmessage = (e: MessageEvent<ArrayBuffer>) => {
      this.#arriving = this.#arriving.then(() => this.#onData(new Uint8Array(e.data)));
    };
    pc.onicecandidate = (e) => this.#candidate(e.candidate?.toJSON() ?? { candidate: '' });
    pc.onconnectionstatechange = () => this.#stateChanged();
    const challenges = setInterval(() => {
      if (this.#data.readyState === 'open') void this.#sendOnData({ type: 'challenge', challenge: toBase64url(this.#fresh.issue(performance.now(), Date.now())) });
    }, challengeEvery);
    const paths = setInterval(() => void this.#path(), 2 * challengeEvery);
    this.#cleanUp.push(() => clearInterval(challenges), () => clearInterval(paths));
  }

  #stateChanged(): void {
    const { connectionState: state, iceConnectionState: ice } = this.#pc;
    if (state === 'connected') {
      this.#connected = true;
      void this.#path();
    }
    // Chromium says "failed" as soon as the relay has refused the pairs known so far, and goes on with the camera's next candidate: until
    // there was a connection, ICE has connectWait.
    const early = !this.#connected && ice !== 'connected' && ice !== 'completed';
    if (state === 'closed' || (state === 'failed' && !early)) this.#end(new SessionError(sentences.lost));
  }

  async #path(): Promise<void> {
    const path = await describePath(this.#pc);
    if (path) this.events.path(path);
  }

  async #answered(m: Message, offer: { wire: Bytes; sessionExport: Bytes; kem: KEMKey; viewerRandom: Bytes }): Promise<boolean> {
    let a: Answer;
    const wire = m.body;
    try {
      const opened = await openEnvelope(this.pair, this.#inbox, wire, Date.now());
      const body = JSON.parse(text(opened.body)) as Answer & { text?: unknown };
      if (opened.type === Type.refuse) throw new SessionError(String(body.text), true);
      a = body;
    } catch (e) {
      if (!(e instanceof EnvelopeError)) throw e;
      if (!this.#arrivals.hold(m)) {
        if (isForeign(e)) m.reject();
        this.events.rejected('envelope'); // and the wait goes on
      }
      return false;
    }
    const [enc, cameraRandom] = [fromBase64url(a.enc), fromBase64url(a.random)];
    if (enc.length !== encSize || cameraRandom.length !== 32 || !this.carriers.includes(a.carrier)) throw new SessionError(sentences.ended);
    const exported = await offer.kem.receive(enc, info('session kem', this.#id));
    const kemSecret = await exported(exporter('session kem'));
    const transcript = await hash('session transcript', await sha256(offer.wire), await sha256(wire));
    const ikm = concat(offer.sessionExport, kemSecret, offer.viewerRandom, cameraRandom);
    const secret = await kdf(this.pair.secret, ikm, 'session secret', concat(this.#id, transcript), 32);
    const bound: SessionSecret = {
      key: secret, id: this.#id, camera: this.pair.peer.fingerprint, viewer: this.pair.self.bundle.fingerprint, cameraRandom,
    };
    this.#worker.postMessage({ type: 'start', track: { carrier: a.carrier, ...(await cameraTrack(bound, videoTrack)) } } satisfies Start);
    this.#first = await Still.create(await cameraTrack(bound, stillTrack));
    this.#openSignal = await RecordKey.derive(secret, onSignaling, toViewer);
    this.#openData = await RecordKey.derive(secret, onData, toViewer);
    this.#sendData = await RecordKey.derive(secret, onData, toCamera);
    this.#sendSignal = await RecordKey.derive(secret, onSignaling, toCamera);
    this.events.name(a.name);
    this.#after(connectWait, () => this.#pc.connectionState !== 'connected', sentences.lost);
    if (a.carrier === 'h264') this.#pc.ontrack = (e) => this.events.track(new MediaStream([e.track]));
    await this.#pc.setRemoteDescription({ type: 'answer', sdp: a.sdp });
    if (this.#data.readyState === 'open') await this.#sendOnData({ type: 'hello' });
    for (const c of this.#pending.splice(0)) this.#candidate(c);
    return true;
  }

  #candidate(c: RTCIceCandidateInit): void {
    const key = this.#sendSignal;
    if (key === undefined) {
      this.#pending.push(c);
      return;
    }
    const message = { type: 'candidate', candidate: c.candidate ?? '', mid: c.sdpMid ?? '' };
    // In order, and while the session goes on: a relay that is away does not end it.
    this.#outbox = this.#outbox.then(async () => this.signaling.send(this.#out, await key.seal(message), messageTTL)).catch(() => undefined);
  }

  /** Whether a message is the camera's reply to this offer, another one than was taken: a camera that restarts answers again. */
  async #answers(wire: Bytes): Promise<boolean> {
    return openEnvelope(this.pair, this.#inbox, wire, Date.now()).then(() => true, () => false);
  }

  async #record({ body, reject }: Message): Promise<boolean> {
    let m: RecordMessage;
    try {
      m = await this.#openSignal.open(body);
    } catch {
      if (await this.#answers(body)) return false;
      reject();
      this.events.rejected('record');
      return false;
    }
    if (m.type === 'bye') this.#end(new SessionError(sentences.ended));
    if (m.type !== 'candidate' || !m.candidate) return true;
    // A candidate that cannot be used is not an error: ICE goes on with the others.
    await this.#pc.addIceCandidate({ candidate: m.candidate, sdpMid: m.mid ?? '0' }).catch(() => undefined);
    return true;
  }

  /** Takes a piece of the first picture. What is wrong with it is told, and of no consequence: the stream follows. */
  async #piece({ body, reject }: Message): Promise<boolean> {
    try {
      const frame = await this.#first.add(body);
      if (frame?.keyframe) void this.#showFirst(frame.accessUnit, frame.challenge);
      return true;
    } catch (e) {
      if (e instanceof FrameError) reject();
      this.events.rejected('frame');
      return false;
    }
  }

  async #showFirst(accessUnit: Bytes, challenge: string): Promise<void> {
    // A browser that cannot decode it says so of the stream, too.
    const picture = await decodeKeyframe(accessUnit).catch(() => undefined);
    if (picture) this.events.first(picture, this.#fresh.live(challenge, performance.now(), Date.now()));
  }

  async #onData(wire: Bytes): Promise<void> {
    let m: RecordMessage;
    try {
      m = await this.#openData.open(wire);
    } catch {
      return this.events.rejected('record');
    }
    if (m.type === 'hello') this.#greeted = true;
    if (!this.#greeted) return;
    if (m.type === 'status') this.events.status(m.text ?? '');
    if (m.type === 'bye') this.#end(new SessionError(sentences.ended));
  }

  async #sendOnData(m: RecordMessage): Promise<void> {
    if (!this.#sendData || this.#data.readyState !== 'open') return;
    const wire = await this.#sendData.seal(m);
    if (this.#data.readyState === 'open') this.#data.send(wire);
  }

  /** What the worker says. */
  #opened(e: WorkerEvent): void {
    if (e.type === 'keyframe') return void this.#sendOnData({ type: 'keyframe' });
    tell(e, (challenge) => this.#fresh.live(challenge, performance.now(), Date.now()), this.events);
  }
}

/**
 * Tells what the worker said. Behind vp8 a frame may wait long for the one before it, so what counts is whether it is live when it is shown,
 * by its own challenge, and not what has opened meanwhile.
 */
export function tell(e: WorkerEvent, live: (challenge: string) => boolean, events: SessionEvents): void {
  switch (e.type) {
    case 'opened':
      if (e.carrier === 'h264') events.frame(live(e.challenge), e.carrier);
      break;
    case 'picture':
      events.frame(live(e.challenge), 'vp8');
      events.picture(e.frame);
      break;
    case 'rejected':
      events.rejected('frame');
      break;
    case 'undecodable':
      events.undecodable(e.reason);
      break;
  }
}
