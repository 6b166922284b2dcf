import type { Bytes } from '../bytes';
import { HarmlessRecord, type RecordKey, type RecordMessage } from './record';

const maxWaiting = 256; // messages in the queue to be opened

export interface DataChannelEvents {
  /** A message has arrived, whatever it is. */
  arrived(): void;
  /** The channel is open and this end has said hello. */
  greeted(): void;
  /** A record has opened; none is reported before the camera's hello. */
  record(m: RecordMessage): void;
  /** A message does not open. */
  rejected(): void;
}

/** The session's data channel: records in order, both ways, each end beginning with a hello. */
export class DataChannel {
  readonly #channel: RTCDataChannel;
  #sendKey: RecordKey | undefined;
  #openKey: RecordKey | undefined;
  #outgoing = Promise.resolve();
  #incoming = Promise.resolve();
  #waiting = 0;
  #saidHello = false; // it is on its way to the camera
  #heardHello = false;

  constructor(
    pc: Pick<RTCPeerConnection, 'createDataChannel'>,
    private readonly events: DataChannelEvents,
  ) {
    this.#channel = pc.createDataChannel('peephole', { negotiated: true, id: 0, ordered: true });
    this.#channel.binaryType = 'arraybuffer';
    this.#channel.onopen = () => void this.greet();
    this.#channel.onmessage = (e: MessageEvent<ArrayBuffer>) => this.#enqueue(new Uint8Array(e.data));
  }

  get isOpen(): boolean {
    return this.#channel.readyState === 'open';
  }

  get saidHello(): boolean {
    return this.#saidHello;
  }

  /** Sets the keys that the answer has brought. */
  setKeys(send: RecordKey, open: RecordKey): void {
    this.#sendKey = send;
    this.#openKey = open;
  }

  async greet(): Promise<void> {
    if (this.#sendKey === undefined) return;
    this.#saidHello = true;
    await this.send({ type: 'hello' });
    this.events.greeted();
  }

  /** Sends a record if the channel is open. In order, because the hello must be the first. */
  send(m: RecordMessage): Promise<void> {
    const key = this.#sendKey;
    if (key === undefined || !this.isOpen) return Promise.resolve();
    this.#outgoing = this.#outgoing.then(async () => {
      const wire = await key.seal(m);
      if (this.isOpen) this.#channel.send(wire);
    });
    return this.#outgoing;
  }

  #enqueue(wire: Bytes): void {
    this.events.arrived();
    if (this.#waiting >= maxWaiting) return; // the camera sends more than this end can open
    this.#waiting++;
    this.#incoming = this.#incoming.then(() => this.#open(wire)).finally(() => this.#waiting--);
  }

  async #open(wire: Bytes): Promise<void> {
    let m: RecordMessage;
    try {
      if (this.#openKey === undefined) throw new Error('open record: no key yet');
      m = await this.#openKey.open(wire);
    } catch (e) {
      if (!(e instanceof HarmlessRecord)) this.events.rejected();
      return;
    }

    if (m.type === 'hello') this.#heardHello = true;
    if (this.#heardHello) this.events.record(m);
  }
}
