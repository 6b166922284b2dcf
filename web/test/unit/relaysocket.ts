import assert from 'node:assert/strict';
import { concat, random, Reader, text, toHex, u64, u8, utf8, var16, type Bytes } from '../../src/bytes';
import { verify } from '../../src/crypto/label';
import { pairMailbox, toCamera, toViewer, type Mailbox } from '../../src/crypto/mailbox';
import { Signaling } from '../../src/signaling/client';

/** A relay in place of the browser's WebSocket. A test takes the client's frames from a queue, and answers each. */
export class Socket {
  static readonly OPEN = 1;
  static readonly all: Socket[] = [];
  static #waiting: ((s: Socket) => void)[] = [];
  readonly nonce = random(32);
  readyState = Socket.OPEN;
  bufferedAmount = 0;
  client!: Signaling;
  onmessage: ((e: { data: ArrayBuffer }) => void) | undefined;
  onclose: (() => void) | undefined;
  readonly #frames: Bytes[] = [];
  #taker: ((f: Bytes) => void) | undefined;

  constructor(
    readonly url: string,
    readonly protocol: string,
  ) {
    Socket.all.push(this);
    Socket.#waiting.shift()?.(this);
  }

  /** Returns the next connection that the client makes. */
  static next = (): Promise<Socket> => new Promise((resolve) => this.#waiting.push(resolve));

  send(frame: Bytes): void {
    if (this.#taker) this.#taker(frame);
    else this.#frames.push(frame);
    this.#taker = undefined;
  }

  close(): void {
    this.readyState = 3;
  }

  take = (): Promise<Bytes> =>
    new Promise((resolve) => (this.#frames.length > 0 ? resolve(this.#frames.shift()!) : (this.#taker = resolve)));

  say = (...parts: Uint8Array[]): void => this.onmessage?.({ data: concat(...parts).buffer });

  challenge = (): void => this.say(u8(0x01), this.nonce, u64(1_795_000_000_000));

  break(): void {
    this.readyState = 3;
    this.onclose?.();
  }
}
globalThis.WebSocket = Socket as unknown as typeof WebSocket;

/** The end of a connection at the relay. */
export type Relay = Pick<Socket, 'nonce' | 'take'>;

export const url = 'https://relay.example';
const secret = new Uint8Array(32).fill(3);
export const outbox = await pairMailbox(secret, toCamera, 7);
export const inbox = await pairMailbox(secret, toViewer, 7);

/** Reads an open frame, checks its signature, and returns its id. */
export async function opened(s: Relay, box: Mailbox, access: number, ticket = '', frame = s.take()): Promise<number> {
  const r = new Reader(await frame);
  assert.equal(r.u8(), 0x10);
  const id = r.u32();
  assert.equal(r.u8(), access);
  const keys = [r.bytes(32), r.bytes(32)];
  assert.deepEqual(keys.map(toHex), [toHex(box.read.publicKey), toHex(box.write.publicKey)]);
  const message = concat(var16(utf8(url)), s.nonce, box.name, u8(access));
  assert.ok(await verify(keys[access - 1]!, 'mailbox open', message, r.bytes(64)), 'signature');
  assert.equal(text(r.var16()), ticket);
  r.end();
  return id;
}

/** Reads a post frame for a mailbox, and returns its id and body. */
export async function posted(s: Relay, box: Mailbox, frame = s.take()): Promise<{ id: number; body: string }> {
  const r = new Reader(await frame);
  assert.equal(r.u8(), 0x11);
  const id = r.u32();
  assert.equal(toHex(r.bytes(32)), toHex(box.name));
  assert.equal(r.u32(), 60);
  return { id, body: text(r.rest()) };
}

/** Connects a client to a relay that has greeted it. */
export async function connect(): Promise<{ client: Signaling; socket: Socket }> {
  const next = Socket.next();
  const client = new Signaling(url);
  const socket = await next;
  assert.deepEqual([socket.url, socket.protocol], ['wss://relay.example/v1/signal', 'peephole.signal.3']);
  socket.challenge();
  await client.connected();
  return { client, socket };
}
