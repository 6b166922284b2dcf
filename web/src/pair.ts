import { text, type Bytes } from './bytes';
import { isForeign, openEnvelope, Type, type Pair } from './envelope';
import type { Identity } from './identity';
import { dayOf, pairMailbox, toViewer } from './mailbox';
import { pairingError, parseCode, PairingError, rendezvousOf, Scanner, sentences, type Code } from './pairing';
import { RelayError, Signaling } from './signaling';
import type { Camera } from './store';

// Runs a pairing over a relay, from a code to a camera that has said its first sealed word.

const patience = 10_000;
const keep = 600;

/** Throws PairingError with the sentence for the person. */
export async function pairWith(self: Identity, link: string, now = Date.now): Promise<Camera> {
  const code = await parseCode(link);
  if (code.role !== 1) throw pairingError('notACamera');
  const signaling = new Signaling(code.relayURL);
  try {
    return await scan(self, code, signaling, now);
  } finally {
    signaling.close();
  }
}

async function scan(self: Identity, code: Code, signaling: Signaling, now: () => number): Promise<Camera> {
  const scanner = new Scanner(self, code);
  const { toDisplayer, toScanner } = await rendezvousOf(code);
  await within(patience, signaling.connected(), () => new PairingError(`Cannot reach the relay at ${new URL(code.relayURL).host}. Check your connection and try again.`));
  let spoilt = false;
  let awaiting = false;
  return new Promise<Camera>((resolve, fail) => {
    const silence = setTimeout(() => {
      fail(pairingError(spoilt ? 'invalid' : now() / 1000 > code.expiry ? 'expired' : 'nobody'));
    }, patience);
    const done = <T>(f: (v: T) => void) => (v: T): void => {
      clearTimeout(silence);
      f(v);
    };
    const [paired, failed] = [done(resolve), done(fail)];
    // Nothing is acked before the pair is made: an interrupted scanner may begin again.
    signaling.receive(toScanner, async (message, reject) => {
      try {
        const reply = await scanner.handle(message);
        if (scanner.pair && !awaiting) {
          awaiting = true;
          await welcome(scanner.pair, code, signaling, paired, () => (spoilt = true));
        }
        if (reply) void signaling.send(toDisplayer, reply, keep).catch((e: unknown) => failed(e instanceof RelayError ? pairingError('nobody') : e));
      } catch (e) {
        // What is not the displayer's is waited out; a refusal that opened is final.
        if (e instanceof PairingError && e.message !== sentences.invalid) {
          failed(e);
          return false;
        }
        if (e instanceof PairingError && e.strange) reject();
        spoilt = true;
      }
      return false;
    });
  });
}

/** Waits in the pair's own mailbox of today for the camera's first sealed message. */
async function welcome(pair: Pair, code: Code, signaling: Signaling, paired: (c: Camera) => void, spoilt: () => void): Promise<void> {
  const box = await pairMailbox(pair.mailboxSecret, toViewer, await dayOf(pair.mailboxSecret, signaling.serverTime));
  signaling.receive(box, async (wire, reject) => {
    try {
      const opened = await openEnvelope(pair, box, wire, Date.now());
      if (opened.type !== Type.welcome) return true;
      const { peer: camera, secret, mailboxSecret } = pair;
      paired({ id: camera.short, name: nameOf(opened.body), relayURL: code.relayURL, pairedAt: Date.now(), bundle: camera.bytes, secret, mailboxSecret });
    } catch (e) {
      if (isForeign(e)) reject();
      spoilt();
    }
    return true;
  });
}

function nameOf(body: Bytes): string {
  const { name } = JSON.parse(text(body)) as { name?: unknown };
  return typeof name === 'string' && name.trim() !== '' ? name.slice(0, 200) : 'Camera';
}

async function within<T>(ms: number, promise: Promise<T>, why: () => Error): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => (timer = setTimeout(() => reject(why()), ms)));
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
