import { clocks } from '../clocks';
import type { Carrier } from '../media/carrier';
import { playNoTracks } from '../media/playable';
import { Playout } from '../media/playout';
import type { Port, WorkerEvent } from '../media/workermessages';
import { printableText } from '../printable';
import type { Grant } from '../signaling/client';
import type { SessionKeys } from './agreement';
import { Busy } from './busy';
import { Candidates } from './candidates';
import { DataChannel } from './datachannel';
import { forwardWorkerEvent, SessionError, sentences, type SessionEvents } from './events';
import type { Explainer } from './explainer';
import { isLive, type Freshness } from './freshness';
import { configuration, stunServers } from './ice';
import { networkRecord, type Network } from './network';
import { openFrames } from './openers';
import type { SessionOptions } from './options';
import { Pulse, received } from './pulse';
import { challengeMessage, type RecordMessage } from './record';

const challengeEvery = 1_000;
const keyframeEvery = 500;

export interface ConnectionHooks {
  /** One of this end's candidates; an empty one ends them. */
  gathered(c: RTCIceCandidateInit): void;
  /** The connection broke, or the camera ended the session. */
  ended(why: SessionError): void;
  /** The camera has sent what should be its relay list. */
  relays(said: unknown): void;
}

/** The WebRTC connection of a session: the track with its worker, and the data channel. */
export class Connection {
  readonly #pc: RTCPeerConnection;
  readonly #candidates: Candidates; // the camera's
  readonly #worker: Port;
  readonly #data: DataChannel;
  readonly #playout = new Playout(() => this.#drawFromNowOn());
  readonly #busy: Busy;
  readonly #ticker: ReturnType<typeof setInterval>;
  #pulse: Pulse | undefined;
  #connected = false;
  #trouble = ''; // what the camera last said about its picture
  #keyframeAsked = -Infinity;
  #clockConfirmed = false;

  constructor(
    grant: Grant,
    hidden: boolean,
    private readonly clock: SessionOptions['clock'],
    private readonly fresh: Freshness,
    private readonly explainer: Explainer,
    private readonly events: SessionEvents,
    private readonly hooks: ConnectionHooks,
  ) {
    const pc = new RTCPeerConnection(configuration(grant, hidden));
    this.#pc = pc;
    this.#candidates = new Candidates(pc);

    this.#worker = openFrames(pc.addTransceiver('video', { direction: 'recvonly' }).receiver);
    this.#worker.onmessage = (e: MessageEvent<WorkerEvent>) => this.#hearWorker(e.data);
    this.#data = new DataChannel(pc, {
      arrived: () => this.#pulse?.beat(),
      greeted: () => explainer.inspect(),
      record: (m) => this.#hearData(m),
      rejected: () => events.rejected('record'),
    });
    pc.ondatachannel = (e) => e.channel.close(); // a session has only one
    pc.onicecandidate = (e) => hooks.gathered(e.candidate?.toJSON() ?? { candidate: '' });
    pc.onconnectionstatechange = () => this.#stateChanged();

    this.#busy = new Busy();
    this.#ticker = setInterval(() => this.#tick(), challengeEvery);
    explainer.follow(pc, hidden ? 0 : stunServers(grant).length);
  }

  get isConnected(): boolean {
    return this.#pc.connectionState === 'connected';
  }

  /** Begins to gather candidates, and returns this end's description. */
  async describe(): Promise<string> {
    const description = await this.#pc.createOffer();
    await this.#pc.setLocalDescription(description);
    return description.sdp ?? '';
  }

  /** Takes the keys that the answer has brought: what arrives from now on can be opened. */
  setKeys(keys: SessionKeys, carrier: Carrier): void {
    this.#worker.postMessage({ type: 'start', track: { carrier, ...keys.video } });
    this.#data.setKeys(keys.sendData, keys.openData);
    if (carrier === 'h264') {
      this.#pc.ontrack = (e) => this.events.track(new MediaStream([e.track]), this.#playout);
    }
  }

  /** Takes the camera's description, with which ICE begins. */
  async answer(sdp: string): Promise<void> {
    await this.#candidates.setDescription('answer', sdp);
    if (this.#data.isOpen) await this.#data.greet();
  }

  async addCandidate(candidate: RTCIceCandidateInit): Promise<void> {
    await this.#candidates.addCandidate(candidate);
  }

  /** Tells the camera about this end's network; returns false while it would not be heard. */
  sendNetwork(n: Network): boolean {
    if (!this.#data.saidHello) return false;
    void this.#data.send({ type: 'network', network: networkRecord(n) });
    return true;
  }

  sendBye(bye: RecordMessage): Promise<void> {
    return this.#data.send(bye);
  }

  close(): void {
    clearInterval(this.#ticker);
    this.#pulse?.stop();
    this.#busy.stop();
    this.#worker.postMessage({ type: 'end' });
    this.#worker.close();
    this.#pc.close();
  }

  #tick(): void {
    this.#challenge();
    this.explainer.tick();
  }

  #challenge(): void {
    if (!this.#data.isOpen) return;
    void this.#data.send(challengeMessage(this.fresh.issueChallenge(), this.#busy.percent()));
  }

  #stateChanged(): void {
    const { connectionState: state, iceConnectionState: ice } = this.#pc;
    if (state === 'connected') this.#nowConnected();
    // Chromium reports "failed" as soon as the relay has refused the pairs known so far, and goes on with the camera's
    // next candidate. Before the first connection, only the session's connectWait ends the attempt.
    const early = !this.#connected && ice !== 'connected' && ice !== 'completed';
    if (state === 'closed' || (state === 'failed' && !early)) this.hooks.ended(new SessionError(sentences.lost));
  }

  #nowConnected(): void {
    // The camera may have said before what is wrong: the channel opens before the browser reports the connection.
    if (!this.#connected && this.#trouble === '') this.events.waits(sentences.waitsPicture);
    this.#connected = true;
    this.#pulse ??= new Pulse(
      () => received(this.#pc),
      () => this.#challenge(),
      (stalled) => this.events.stalled(stalled),
    );
    this.explainer.inspect();
  }

  #hearData(m: RecordMessage): void {
    if (m.type === 'status') {
      this.#trouble = printableText(String(m.text ?? ''));
      this.events.status(this.#trouble);
    }
    if (m.type === 'network') this.explainer.receiveNetwork(m.network);
    if (m.type === 'relays') this.hooks.relays(m.relays);
    if (m.type === 'bye') this.hooks.ended(new SessionError(sentences.ended));
  }

  #hearWorker(e: WorkerEvent): void {
    if (e.type === 'opened' || e.type === 'piece' || e.type === 'rejected') this.#pulse?.beat();
    if (e.type === 'keyframe') return this.#askKeyframe();
    if (e.type === 'opened' && !this.#clockConfirmed && isLive(clocks, { issued: this.fresh.issuedAt(e.challenge) })) {
      this.#clockConfirmed = true;
      void this.clock.confirm(e.captured);
    }
    forwardWorkerEvent(e, (challenge) => this.fresh.issuedAt(challenge), this.#playout, this.events);
  }

  /** Asks the camera for a keyframe, but not for each frame that the worker cannot decode. */
  #askKeyframe(): void {
    const now = performance.now();
    if (now - this.#keyframeAsked < keyframeEvery) return;
    this.#keyframeAsked = now;
    void this.#data.send({ type: 'keyframe' });
  }

  /** Nothing that this browser plays could be called live: ends the session, and the page draws the next one itself. */
  #drawFromNowOn(): void {
    playNoTracks();
    this.hooks.ended(new SessionError(sentences.untold));
  }
}
