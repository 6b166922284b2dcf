import { fromBase64url, random, text, type Bytes } from '../bytes';
import { clocks } from '../clocks';
import { EnvelopeError, isForeign, Type, type Pair } from '../crypto/envelope';
import { dayOf, pairMailbox, sessionMailbox, toCamera, toViewer, type Mailbox } from '../crypto/mailbox';
import { FrameError } from '../crypto/sframe';
import type { Carrier } from '../media/carrier';
import { decodeKeyframe } from '../media/decoder';
import type { Frame } from '../media/frame';
import { playable } from '../media/playable';
import { printableText } from '../printable';
import { RelayError } from '../signaling/client';
import { parseRelayList } from '../signaling/relaylist';
import type { Granted } from '../signaling/turnregions';
import type { Relays } from '../signaling/relays';
import type { Search } from '../signaling/search';
import { afterOwnTime } from '../timelimit';
import { agree, deriveKeys, type Answer, type Offered, type Refusal } from './agreement';
import { Quota } from './candidates';
import { Connection } from './connection';
import { SessionError, sentences, type SessionEvents } from './events';
import { Explainer } from './explainer';
import { Freshness } from './freshness';
import { outgoing } from './ice';
import { Inbox, type Message } from './inbox';
import { offerLife, sealOffer } from './offer';
import type { SessionOptions } from './options';
import { Outbox } from './outbox';
import { HarmlessRecord, type RecordKey, type RecordMessage } from './record';
import { Replies } from './replies';
import { firstPieces, mayBePiece, Still } from './still';

// The viewer's end of one session (doc/protocol.md, section 6).

const answerWait = 10_000;
const connectWait = 20_000;
const relayWait = 11_000; // for a relay that is there but silent: a little more than one attempt takes
const nonceSize = 16;

/** The mailboxes that a session uses. */
interface Mailboxes {
  /** The pair's, where the camera finds offers. */
  offers: Mailbox;
  /** The session's, from the camera. */
  replies: Mailbox;
  /** The session's, to the camera. */
  records: Mailbox;
}

export class Session {
  readonly #id = random(16);
  readonly #fresh = new Freshness(clocks);
  readonly #carriers: Carrier[];
  readonly #explainer: Explainer;
  readonly #inbox = new Inbox();
  readonly #sentCandidates = new Quota();
  readonly #pending: RTCIceCandidateInit[] = []; // own candidates, until there is an answer
  readonly #cleanUp: (() => void)[] = [];

  // Set on the way to the offer.
  #search!: Search;
  #boxes!: Mailboxes;
  #replies!: Replies;
  #connection: Connection | undefined;
  #offer: Offered | undefined;

  // Set by the answer.
  #outbox: Outbox | undefined;
  #signalKey!: RecordKey;
  #firstPicture!: Still;

  #over = false;
  #end!: (e: SessionError | undefined) => void;
  readonly #ended = new Promise<SessionError | undefined>((resolve) => (this.#end = resolve));

  constructor(
    private readonly pair: Pair,
    private readonly relays: Relays,
    private readonly events: SessionEvents,
    private readonly options: SessionOptions,
  ) {
    this.#carriers = options.carriers ?? playable();
    this.#explainer = new Explainer(options.relayOnly, {
      tell: (n) => this.#connection?.sendNetwork(n) ?? false,
      changed: (e, addresses) => events.explained(e, addresses),
    });
  }

  /** Reports whether either end hides its address. */
  get #hidden(): boolean {
    return this.options.relayOnly || this.options.cameraHides;
  }

  /** Runs until close is called. Rejects with SessionError if the session cannot be started, ends or breaks. */
  async run(): Promise<void> {
    this.#start().catch((e: unknown) => this.#fail(e));
    const error = await this.#ended;
    this.#over = true; // #start may still be waiting for the relay
    for (const f of this.#cleanUp) f();
    if (error) throw error;
  }

  close(): void {
    void this.#sayBye().finally(() => this.#end(undefined));
  }

  /**
   * Says bye both ways, since the data channel may not be open yet or may lead nowhere. Without a bye, the camera would
   * go on until ICE gives up, and it serves only a few sessions of a viewer at a time.
   */
  async #sayBye(): Promise<void> {
    const bye = { type: 'bye', reason: 'closed' };
    await Promise.all([this.#connection?.sendBye(bye), this.#outbox?.postLast(bye)]);
  }

  #fail(e: unknown): void {
    this.#end(e instanceof SessionError ? e : new SessionError(`The session could not be started: ${String(e)}`));
  }

  /** Ends the session if it is still stuck after that many milliseconds. */
  #after(ms: number, stuck: () => boolean, why: string): void {
    this.#cleanUp.push(afterOwnTime(ms, () => stuck() && this.#end(new SessionError(why))));
  }

  // From the start to the offer.

  async #start(): Promise<void> {
    this.events.waits(sentences.waitsRelay);
    this.#search = this.relays.search((another) => this.events.relayLost(another));
    this.#cleanUp.push(() => this.#search.end());
    await this.relays.connected();
    if (this.#over) return;

    const [day, ...others] = await this.#days();
    this.#boxes = await this.#deriveMailboxes(day);
    if (this.#over) return;

    this.#receiveReplies();
    const servers = await this.#requestGrant(others);
    if (this.#over) return;

    this.#explainer.region(servers.way);
    const connection = this.#connect(servers.grant);
    const offer = await this.#makeOffer(connection, servers);
    if (this.#over) return;

    this.#offer = offer;
    this.#after(answerWait, () => this.#outbox === undefined, sentences.noAnswer);
    this.events.waits(sentences.waitsAnswer);
    await this.#search.offer(this.#boxes.offers, offer.wire, offerLife);
  }

  /**
   * Returns the days whose mailbox the camera may have open: today by the clock of the relay that was reached first,
   * and by this device's own, if that is another day. Either clock may be wrong.
   */
  async #days(): Promise<[number, ...number[]]> {
    const { mailboxSecret } = this.pair;
    const relays = await dayOf(mailboxSecret, this.relays.serverTime);
    const own = await dayOf(mailboxSecret, this.options.clock.now() / 1000);
    return own === relays ? [relays] : [relays, own];
  }

  async #deriveMailboxes(day: number): Promise<Mailboxes> {
    const { mailboxSecret } = this.pair;
    const [offers, replies, records] = await Promise.all([
      pairMailbox(mailboxSecret, toCamera, day),
      sessionMailbox(mailboxSecret, toViewer, this.#id),
      sessionMailbox(mailboxSecret, toCamera, this.#id),
    ]);
    return { offers, replies, records };
  }

  #receiveReplies(): void {
    const { replies, records } = this.#boxes;
    this.#replies = new Replies(this.pair, replies, this.options.clock.now);

    const handle = (m: Message): Promise<void> => this.#receive(m).catch((e: unknown) => this.#fail(e));
    this.#cleanUp.push(
      this.relays.receive(replies, async (body, reject) => {
        // A closed RTCPeerConnection never settles its promises, and the next message waits for this one.
        await Promise.race([this.#ended, handle({ body, reject })]);
        return true;
      }),
      () => this.relays.release(records),
    );
  }

  /** Asks for the ICE servers for the mailbox of one day after the other, until a relay knows one of them. */
  async #requestGrant(others: number[]): Promise<Granted> {
    let granted = false;
    this.#after(relayWait, () => !granted, sentences.silent);

    for (;;) {
      try {
        const servers = await this.#search.grant(this.#boxes.offers);
        granted = true;
        return servers;
      } catch (e) {
        if (!(e instanceof RelayError && e.code === 404)) throw e;
      }

      // No relay knows the mailbox, so the camera has not opened it.
      const day = others.shift();
      if (day === undefined) throw new SessionError(sentences.noAnswer);
      this.#boxes.offers = await pairMailbox(this.pair.mailboxSecret, toCamera, day);
    }
  }

  #connect(grant: Granted['grant']): Connection {
    const { clock } = this.options;
    const connection = new Connection(grant, this.#hidden, clock, this.#fresh, this.#explainer, this.events, {
      gathered: (c) => this.#gathered(c),
      ended: (why) => this.#end(why),
      relays: (said) => this.#learn(said),
    });
    this.#connection = connection;
    this.#cleanUp.push(() => connection.close());
    return connection;
  }

  async #makeOffer(connection: Connection, servers: Granted): Promise<Offered> {
    const content = {
      id: this.#id,
      sdp: await connection.describe(),
      carriers: this.#carriers,
      challenge: this.#fresh.issueChallenge(),
      servers,
    };
    return sealOffer(this.pair, this.#boxes.offers, content, this.options);
  }

  #gathered(c: RTCIceCandidateInit): void {
    this.#explainer.gathered(c.candidate ?? '');
    if (this.#outbox === undefined) this.#pending.push(c);
    else this.#sendCandidate(this.#outbox, c);
  }

  #sendCandidate(outbox: Outbox, c: RTCIceCandidateInit): void {
    const candidate = outgoing(c.candidate ?? '', this.#hidden);
    if (candidate === undefined || (candidate !== '' && !this.#sentCandidates.admit(candidate))) return;
    void outbox.post({ type: 'candidate', candidate, mid: c.sdpMid ?? '' });
  }

  // What comes to the session's mailbox.

  /** Handles a message: the answer first, then what had come before it, then records and pieces. */
  async #receive(m: Message): Promise<void> {
    if (await this.#inbox.isCopy(m)) return;
    const first = this.#outbox === undefined;
    if (!(await (first ? this.#receiveAnswer(m) : this.#receiveLater(m)))) return;
    await this.#inbox.remember(m);
    if (first) for (const held of this.#inbox.release()) await this.#receive(held);
  }

  /** Reports whether to remember the message, to recognize copies of it. */
  #receiveLater(m: Message): Promise<boolean> {
    return mayBePiece(m.body) ? this.#receivePiece(m) : this.#receiveRecord(m);
  }

  /** Reports whether the message is the answer. */
  async #receiveAnswer(m: Message): Promise<boolean> {
    let answer: Answer;
    try {
      answer = await this.#openAnswer(m.body);
    } catch (e) {
      if (!(e instanceof EnvelopeError)) throw e;
      if (!this.#inbox.hold(m)) {
        if (isForeign(e)) m.reject();
        this.events.rejected('envelope'); // and the wait goes on
      }
      return false;
    }

    await this.#accept(answer, m.body);
    return true;
  }

  /** Throws EnvelopeError if wire is no reply to the offer, and SessionError if it is a refusal. */
  async #openAnswer(wire: Bytes): Promise<Answer> {
    const opened = await this.#replies.open(wire);
    this.#search.found();
    const body = JSON.parse(text(opened.body)) as Answer & Refusal;
    if (opened.type === Type.refuse) throw this.#refused(body);
    return body;
  }

  /**
   * Trying again helps if the camera is busy, which it may only believe until sessions that broke have timed out, or if
   * its clock is wrong, since it will accept the next offer with its nonce.
   */
  #refused({ code, text, nonce }: Refusal): SessionError {
    const wantsNonce = code === 'clock' && typeof nonce === 'string' && fromBase64url(nonce).length === nonceSize;
    if (wantsNonce) this.events.clockDisagrees(nonce);
    return new SessionError(printableText(String(text)), code !== 'busy' && !wantsNonce);
  }

  /** Agrees on keys with the camera, and lets ICE begin. */
  async #accept(answer: Answer, wire: Bytes): Promise<void> {
    const cameraHides = answer.relay_only === true;
    this.events.hides(cameraHides);
    // A browser cannot be kept from checking its own addresses against the camera's relayed ones. Nothing has been sent
    // so far, and the next session uses the relay alone.
    if (cameraHides && !this.#hidden) throw new SessionError(sentences.hides);

    const list = parseRelayList(answer.relays, this.options.relayURL);
    const malformed = answer.relays !== undefined && list === undefined;
    const [connection, offer] = [this.#connection, this.#offer];
    const secret = offer && (await agree(this.pair, offer, answer, wire));
    if (connection === undefined || secret === undefined || malformed || !this.#carriers.includes(answer.carrier)) {
      throw new SessionError(sentences.ended);
    }

    if (list) this.events.relays(list);
    const keys = await deriveKeys(secret);
    connection.setKeys(keys, answer.carrier);
    this.#firstPicture = await Still.create(keys.still, firstPieces);
    this.#signalKey = keys.openSignal;
    const outbox = new Outbox(this.relays, this.#boxes.records, keys.sendSignal);
    this.#outbox = outbox;
    if (cameraHides) this.#explainer.cameraHides();

    this.#after(connectWait, () => !connection.isConnected, sentences.lost);
    this.events.waits(sentences.waitsWay);
    await connection.answer(answer.sdp);
    for (const c of this.#pending.splice(0)) this.#sendCandidate(outbox, c);
  }

  /** Reports whether the message is another answer: a record recognizes copies of itself by its counter. */
  async #receiveRecord({ body, reject }: Message): Promise<boolean> {
    let m: RecordMessage;
    try {
      m = await this.#signalKey.open(body);
    } catch (e) {
      if (e instanceof HarmlessRecord) return false;
      if (await this.#isAnotherAnswer(body)) return true;
      reject();
      this.events.rejected('record');
      return false;
    }

    if (m.type === 'bye') this.#end(new SessionError(sentences.ended));
    if (m.type === 'candidate') await this.#addCandidate(m);
    if (m.type === 'relays') this.#learn(m.relays);
    return false;
  }

  /** Takes the relay list of a record. */
  #learn(said: unknown): void {
    const list = parseRelayList(said, this.options.relayURL);
    if (list) this.events.relays(list);
  }

  async #addCandidate(m: RecordMessage): Promise<void> {
    const candidate = m.candidate ?? '';
    this.#explainer.candidate(candidate);
    if (candidate !== '') await this.#connection?.addCandidate({ candidate, sdpMid: m.mid ?? '0' });
  }

  /** Reports whether wire is another reply to the offer: a camera that restarts answers again. */
  #isAnotherAnswer(wire: Bytes): Promise<boolean> {
    return this.#replies.open(wire).then(
      () => true,
      () => false,
    );
  }

  /** Takes a piece of the first picture. A bad one is reported, but the session goes on: the stream follows. */
  async #receivePiece({ body, reject }: Message): Promise<boolean> {
    try {
      const frame = await this.#firstPicture.addPiece(body);
      if (frame?.keyframe) void this.#showFirst(frame);
      return true;
    } catch (e) {
      if (e instanceof FrameError) reject();
      this.events.rejected('frame');
      return false;
    }
  }

  async #showFirst({ accessUnit, challenge, captured }: Frame): Promise<void> {
    // A browser that cannot decode this cannot decode the stream either, and says so then.
    const picture = await decodeKeyframe(accessUnit).catch(() => undefined);
    if (picture) this.events.first(picture, { issued: this.#fresh.issuedAt(challenge) }, captured);
  }
}
