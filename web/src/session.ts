import { concat, fromBase64url, random, text, toBase64url, utf8, type Bytes } from './bytes';
import type { Carrier } from './carrier';
import { Arrivals, type Message } from './arrivals';
import { EnvelopeError, isForeign, openEnvelope, sealEnvelope, Type, type Pair } from './envelope';
import { decodeKeyframe } from './decoder';
import { Explainer } from './explainer';
import type { Frame } from './frame';
import { Freshness } from './freshness';
import { encSize, KEMKey } from './hpke';
import { configuration, outgoing, stunServers, withoutCandidates } from './ice';
import { exporter, hash, info, kdf, sha256 } from './label';
import { dayOf, pairMailbox, sessionMailbox, toCamera, toViewer, type Mailbox } from './mailbox';
import { told } from './network';
import { Pulse, received } from './pulse';
import { Outbox } from './outbox';
import { onData, onSignaling, RecordKey, type RecordMessage } from './record';
import { SessionError, sentences, tell, type SessionEvents } from './sessionevents';
import { FrameError } from './sframe';
import { RelayError, type Grant, type Signaling } from './signaling';
import { mayBePiece, Still } from './still';
import { cameraTrack, stillTrack, videoTrack, type SessionSecret } from './track';
import type { Start, WorkerEvent } from './workermessages';

// The viewer's end of one session (doc/protocol.md, section 6).

const answerWait = 10_000;
const connectWait = 20_000;
const offerLife = 60;
const challengeEvery = 1_000;
const maxCandidates = 64; // bounds what the camera can have this end check

export interface SessionOptions {
  /** The same for all sessions of one person's watching, 16 bytes. */
  watch: Bytes;
  /** The person asked to show the camera and its network no address of this device but the relay's. */
  relayOnly: boolean;
  /** The camera is known to show no address of its own, and so to want none of this device's. */
  cameraHides: boolean;
  /** Best first. */
  carriers?: Carrier[];
}

interface Answer {
  sdp: string;
  enc: string;
  random: string;
  carrier: Carrier;
  name: string;
  /** The camera shows no address of its own, and wants none of this device's. */
  relay_only?: boolean;
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
  #inbox!: Mailbox;
  #outbox: Outbox | undefined; // once there is an answer
  #openSignal!: RecordKey;
  #sendData: RecordKey | undefined;
  #openData!: RecordKey;
  #first!: Still;
  #pulse: Pulse | undefined;
  readonly #explainer: Explainer;
  readonly #carriers: Carrier[];
  #arriving = Promise.resolve();
  #dataOut = Promise.resolve();
  #greeted = false;
  #candidates = 0; // of the camera, taken so far
  #hello = false; // is on its way to the camera
  #connected = false;
  #over = false;
  #end!: (e: SessionError | undefined) => void;
  readonly #ended = new Promise<SessionError | undefined>((resolve) => (this.#end = resolve));

  constructor(
    private readonly pair: Pair,
    private readonly signaling: Signaling,
    private readonly events: SessionEvents,
    private readonly options: SessionOptions,
  ) {
    this.#carriers = options.carriers ?? playable();
    this.#explainer = new Explainer(options.relayOnly, {
      tell: (n) => {
        if (!this.#hello) return false;
        void this.#sendOnData({ type: 'network', network: told(n) });
        return true;
      },
      changed: (e, addresses) => this.events.explained(e, addresses),
    });
  }

  get #hidden(): boolean {
    return this.options.relayOnly || this.options.cameraHides;
  }

  /** Runs until close is called; rejects with SessionError when the session cannot be had, ends or breaks. */
  async run(): Promise<void> {
    this.#start().catch((e: unknown) => this.#fail(e));
    const error = await this.#ended;
    this.#over = true; // the start may still be waiting for the relay
    for (const f of this.#cleanUp) f();
    if (error) throw error;
  }

  close(): void {
    void this.#bye({ type: 'bye', reason: 'closed' }).finally(() => this.#end(undefined));
  }

  /**
   * By both ways: a data channel may not be there yet, or lead nowhere, and the camera would go on until ICE has given up; it serves few sessions of a
   * viewer at a time.
   */
  async #bye(bye: RecordMessage): Promise<void> {
    await Promise.all([this.#sendOnData(bye), this.#outbox?.last(bye)]);
  }

  async #start(): Promise<void> {
    const { signaling, pair } = this;
    await signaling.connected();
    if (this.#over) return;
    const day = await dayOf(pair.mailboxSecret, signaling.serverTime);
    const [box, inbox, out] = await Promise.all([
      pairMailbox(pair.mailboxSecret, toCamera, day),
      sessionMailbox(pair.mailboxSecret, toViewer, this.#id),
      sessionMailbox(pair.mailboxSecret, toCamera, this.#id),
    ]);
    if (this.#over) return;
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
    if (this.#over) return;
    this.#connect(grant);
    const kem = (await KEMKey.generate()).key;
    const viewerRandom = random(32);
    const description = await this.#pc.createOffer();
    await this.#pc.setLocalDescription(description);
    const offer = {
      first: true, watch: toBase64url(this.options.watch), relay_only: this.options.relayOnly, sdp: withoutCandidates(description.sdp ?? ''),
      kem: toBase64url(kem.publicKey), random: toBase64url(viewerRandom), carriers: this.#carriers,
      challenge: toBase64url(this.#fresh.issue(performance.now(), Date.now())), turn: { urls: grant.urls, ...grant.camera }, agent: 'peephole web',
    };
    const sent = Date.now();
    const sealed = await sealEnvelope(pair, box, {
      session: this.#id, seq: 0n, type: Type.offer, sent, expiry: sent + offerLife * 1000, body: utf8(JSON.stringify(offer)),
    });
    if (this.#over) return;
    answered = (m) => this.#answered(m, { ...sealed, kem, viewerRandom, out });
    this.#after(answerWait, () => this.#outbox === undefined, sentences.noAnswer);
    await signaling.send(box, sealed.wire, offerLife);
  }

  #fail(e: unknown): void {
    this.#end(e instanceof SessionError ? e : new SessionError(`The session could not be started: ${String(e)}`));
  }

  /** Takes a message of the session's mailbox: the answer first, and what came before it; records after it. */
  async #arrived(m: Message, answered: (m: Message) => Promise<boolean>): Promise<void> {
    if (await this.#arrivals.again(m)) return;
    const first = this.#outbox === undefined;
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
    const pc = new RTCPeerConnection(configuration(grant, this.#hidden));
    this.#pc = pc;
    this.#cleanUp.push(() => pc.close());
    const transceiver = pc.addTransceiver('video', { direction: 'recvonly' });
    this.#worker = new Worker('/worker.js', { type: 'module' });
    this.#cleanUp.push(() => this.#worker.terminate());
    this.#worker.onmessage = (e: MessageEvent<WorkerEvent>) => this.#opened(e.data);
    transceiver.receiver.transform = new RTCRtpScriptTransform(this.#worker); // before negotiation: later is too late
    this.#data = pc.createDataChannel('peephole', { negotiated: true, id: 0, ordered: true });
    this.#data.binaryType = 'arraybuffer';
    this.#data.onopen = () => void this.#greet();
    this.#data.onmessage = (e: MessageEvent<ArrayBuffer>) => {
      this.#pulse?.beat();
      this.#arriving = this.#arriving.then(() => this.#onData(new Uint8Array(e.data)));
    };
    pc.onicecandidate = (e) => this.#gathered(e.candidate?.toJSON() ?? { candidate: '' });
    pc.onconnectionstatechange = () => this.#stateChanged();
    const every = setInterval(() => {
      this.#challenge();
      this.#explainer.tick();
    }, challengeEvery);
    this.#cleanUp.push(() => clearInterval(every), () => this.#pulse?.stop());
    this.#explainer.follow(pc, this.#hidden ? 0 : stunServers(grant).length);
  }

  #challenge(): void {
    if (this.#data.readyState === 'open') void this.#sendOnData({ type: 'challenge', challenge: toBase64url(this.#fresh.issue(performance.now(), Date.now())) });
  }

  async #greet(): Promise<void> {
    if (!this.#sendData) return;
    this.#hello = true;
    await this.#sendOnData({ type: 'hello' });
    this.#explainer.look();
  }

  #stateChanged(): void {
    const { connectionState: state, iceConnectionState: ice } = this.#pc;
    if (state === 'connected') {
      this.#connected = true;
      this.#pulse ??= new Pulse(() => received(this.#pc), () => this.#challenge(), (stalled) => this.events.stalled(stalled));
      this.#explainer.look();
    }
    // Chromium says "failed" as soon as the relay has refused the pairs known so far, and goes on with the camera's next candidate: until
    // there was a connection, ICE has connectWait.
    const early = !this.#connected && ice !== 'connected' && ice !== 'completed';
    if (state === 'closed' || (state === 'failed' && !early)) this.#end(new SessionError(sentences.lost));
  }

  async #answered(m: Message, offer: { wire: Bytes; sessionExport: Bytes; kem: KEMKey; viewerRandom: Bytes; out: Mailbox }): Promise<boolean> {
    let a: Answer;
    const wire = m.body;
    try {
      const opened = await openEnvelope(this.pair, this.#inbox, wire, Date.now());
      const body = JSON.parse(text(opened.body)) as Answer & { code?: unknown; text?: unknown };
      // A camera that is busy may only think so: sessions that broke are ended by time alone.
      if (opened.type === Type.refuse) throw new SessionError(String(body.text), body.code !== 'busy');
      a = body;
    } catch (e) {
      if (!(e instanceof EnvelopeError)) throw e;
      if (!this.#arrivals.hold(m)) {
        if (isForeign(e)) m.reject();
        this.events.rejected('envelope'); // and the wait goes on
      }
      return false;
    }
    this.events.hides(a.relay_only === true);
    // A browser cannot be kept from sending checks to the camera's relayed addresses from its own: nothing was sent so far, and the next session goes by
    // the relay alone.
    if (a.relay_only === true && !this.#hidden) throw new SessionError(sentences.hides);
    const [enc, cameraRandom] = [fromBase64url(a.enc), fromBase64url(a.random)];
    if (enc.length !== encSize || cameraRandom.length !== 32 || !this.#carriers.includes(a.carrier)) throw new SessionError(sentences.ended);
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
    this.#outbox = new Outbox(this.signaling, offer.out, await RecordKey.derive(secret, onSignaling, toCamera));
    if (a.relay_only === true) this.#explainer.cameraHides();
    this.#after(connectWait, () => this.#pc.connectionState !== 'connected', sentences.lost);
    if (a.carrier === 'h264') this.#pc.ontrack = (e) => this.events.track(new MediaStream([e.track]));
    await this.#pc.setRemoteDescription({ type: 'answer', sdp: a.sdp });
    if (this.#data.readyState === 'open') await this.#greet();
    for (const c of this.#pending.splice(0)) this.#candidate(c);
    return true;
  }

  #gathered(c: RTCIceCandidateInit): void {
    this.#explainer.gathered(c.candidate ?? '');
    this.#candidate(c);
  }

  #candidate(c: RTCIceCandidateInit): void {
    if (this.#outbox === undefined) {
      this.#pending.push(c);
      return;
    }
    const candidate = outgoing(c.candidate ?? '', this.#hidden);
    if (candidate === undefined) return;
    void this.#outbox.say({ type: 'candidate', candidate, mid: c.sdpMid ?? '' });
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
    if (m.type === 'candidate') this.#explainer.candidate(m.candidate ?? '');
    if (m.type !== 'candidate' || !m.candidate || ++this.#candidates > maxCandidates) return true;
    // A candidate that cannot be used is not an error: ICE goes on with the others.
    await this.#pc.addIceCandidate({ candidate: m.candidate, sdpMid: m.mid ?? '0' }).catch(() => undefined);
    return true;
  }

  /** Takes a piece of the first picture. What is wrong with it is told, and of no consequence: the stream follows. */
  async #piece({ body, reject }: Message): Promise<boolean> {
    try {
      const frame = await this.#first.add(body);
      if (frame?.keyframe) void this.#showFirst(frame);
      return true;
    } catch (e) {
      if (e instanceof FrameError) reject();
      this.events.rejected('frame');
      return false;
    }
  }

  async #showFirst({ accessUnit, challenge, captured }: Frame): Promise<void> {
    // A browser that cannot decode it says so of the stream, too.
    const picture = await decodeKeyframe(accessUnit).catch(() => undefined);
    if (picture) this.events.first(picture, this.#fresh.live(challenge, performance.now(), Date.now()), captured);
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
    if (m.type === 'network') this.#explainer.heard(m.network);
    if (m.type === 'bye') this.#end(new SessionError(sentences.ended));
  }

  /** In order: the camera takes no counter that is not above the last. */
  #sendOnData(m: RecordMessage): Promise<void> {
    const key = this.#sendData;
    if (!key || this.#data.readyState !== 'open') return Promise.resolve();
    this.#dataOut = this.#dataOut.then(async () => {
      const wire = await key.seal(m);
      if (this.#data.readyState === 'open') this.#data.send(wire);
    });
    return this.#dataOut;
  }

  /** What the worker says. */
  #opened(e: WorkerEvent): void {
    if (e.type === 'opened' || e.type === 'rejected') this.#pulse?.beat();
    if (e.type === 'keyframe') return void this.#sendOnData({ type: 'keyframe' });
    tell(e, (challenge) => this.#fresh.live(challenge, performance.now(), Date.now()), this.events);
  }
}
