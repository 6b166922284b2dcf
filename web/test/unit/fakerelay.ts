import { concat, random, Reader, text, toHex, u16, u32, u64, u8, utf8, var16, type Bytes } from '../../src/bytes';
import type { Mailbox } from '../../src/crypto/mailbox';

/** A message as a relay has got it. */
export interface Posted {
  name: string;
  ttl: number;
  body: Bytes;
}

/** A relay that a test commands, in place of the browser's WebSockets to its URL. */
export class FakeRelay {
  /** hangs: the connection is never accepted. */
  connects: 'greets' | 'refuses' | 'hangs' = 'greets';
  /** What it says to a grant and a post: yes, nothing, or the code of a refusal. */
  says: 'yes' | 'nothing' | number = 'yes';
  /** The name of the only mailbox that leads to a camera; undefined: all do. */
  leads: string | undefined;
  /** How long it takes to be reached, and to answer, in milliseconds. */
  takes = 0;
  dialled = 0;
  grants = 0;
  /** The other regions where it grants ICE servers. */
  regions: string[] = [];
  readonly posts: Posted[] = [];
  /** The names of the mailboxes that are open for reading. */
  readonly open = new Set<string>();
  #sequence = 0;
  #socket: FakeSocket | undefined;

  constructor(readonly url: string) {
    FakeSocket.relays.set(url, this);
  }

  get grant(): object {
    const credentials = { username: this.url, credential: 'x' };
    return { urls: [`turn:${this.url}`], ttl: 60, viewer: credentials, camera: credentials };
  }

  /** Gives a message to whoever reads the mailbox. */
  deliver(box: Mailbox, body: Bytes): void {
    if (this.open.has(toHex(box.name))) this.#socket?.hear(u8(0x22), box.name, u64(++this.#sequence), body);
  }

  /** Ends the connection. */
  break(): void {
    this.#socket?.break();
  }

  dial(socket: FakeSocket): void {
    this.dialled++;
    this.open.clear();
    this.#socket = socket;
    if (this.connects === 'hangs') return;

    setTimeout(() => {
      if (this.connects === 'refuses') socket.break();
      else socket.greet();
    }, this.takes);
  }

  frame(socket: FakeSocket, frame: Bytes): void {
    const r = new Reader(frame);
    const type = r.u8();

    if (type === 0x10) {
      r.u32();
      const [access, read, write] = [r.u8(), r.bytes(32), r.bytes(32)];
      if (access === 1) void nameOf(read, write).then((name) => this.open.add(name));
    }

    if (type === 0x11) {
      const [id, name, ttl, body] = [r.u32(), toHex(r.bytes(32)), r.u32(), r.rest()];
      this.posts.push({ name, ttl, body });
      this.#answer(socket, id, u8(0x20), u32(id));
    }

    if (type === 0x13) {
      const [id, name] = [r.u32(), toHex(r.bytes(32))];
      this.grants++;
      if (this.leads !== undefined && this.leads !== name) return this.#say(socket, this.#refusal(id, 404));
      const region = text(r.rest());
      const grant = this.regions.includes(region) ? { ...this.grant, region } : this.grant;
      this.#answer(socket, id, u8(0x23), u32(id), utf8(JSON.stringify(grant)));
    }
  }

  #answer(socket: FakeSocket, id: number, ...yes: Bytes[]): void {
    if (this.says === 'nothing') return;
    this.#say(socket, this.says === 'yes' ? yes : this.#refusal(id, this.says));
  }

  #refusal(id: number, code: number): Bytes[] {
    return [u8(0x21), u32(id), u16(code), var16(utf8(this.url))];
  }

  #say(socket: FakeSocket, answer: Bytes[]): void {
    setTimeout(() => socket.hear(...answer), this.takes);
  }
}

async function nameOf(read: Bytes, write: Bytes): Promise<string> {
  const text = concat(utf8('peephole v1 mailbox name\0'), read, write);
  return toHex(new Uint8Array(await crypto.subtle.digest('SHA-256', text)));
}

class FakeSocket {
  static readonly OPEN = 1;
  static readonly relays = new Map<string, FakeRelay>();
  binaryType = '';
  readyState = 0;
  bufferedAmount = 0;
  onmessage: ((e: { data: ArrayBuffer }) => void) | undefined;
  onclose: (() => void) | undefined;
  readonly #relay: FakeRelay;

  constructor(url: string) {
    this.#relay = FakeSocket.relays.get(`http${url.slice('ws'.length, -'/v1/signal'.length)}`)!;
    this.#relay.dial(this);
  }

  greet(): void {
    if (this.readyState === 3) return;
    this.readyState = 1;
    this.hear(u8(0x01), random(32), u64(1_795_000_000_000));
  }

  send = (frame: Bytes): void => this.#relay.frame(this, frame);

  hear(...parts: Bytes[]): void {
    if (this.readyState === 1) this.onmessage?.({ data: concat(...parts).buffer });
  }

  close(): void {
    this.readyState = 3;
  }

  break(): void {
    this.readyState = 3;
    this.onclose?.();
  }
}
globalThis.WebSocket = FakeSocket as unknown as typeof WebSocket;

/** A device whose time passes as a test says. Whatever it waits for without a timer happens in no time. */
export class FakeTime {
  #now = 0;
  #busy = 0; // calls of WebCrypto

  /** tick moves the mocked timers. */
  constructor(private readonly tick: (ms: number) => void) {
    performance.now = () => this.#now;
    const subtle = crypto.subtle as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;

    for (const name of ['digest', 'deriveBits', 'importKey', 'exportKey', 'sign', 'verify', 'encrypt', 'decrypt']) {
      const call = subtle[name]!.bind(subtle);
      subtle[name] = (...args) => {
        this.#busy++;
        return call(...args).finally(() => this.#busy--);
      };
    }
  }

  /** Lets time pass, in small steps. */
  async pass(ms: number): Promise<void> {
    await this.#settle();

    for (let left = ms; left > 0; left -= 5) {
      this.#now += Math.min(left, 5);
      this.tick(Math.min(left, 5));
      await this.#settle();
    }
  }

  async #settle(): Promise<void> {
    for (let idle = 0; idle < 4; idle = this.#busy === 0 ? idle + 1 : 0) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}
