import { Alarm } from './alarm';
import { element } from './element';
import type { Path } from './path';
import { sentences, Session, SessionError } from './session';
import type { Identity } from './identity';
import { Signaling } from './signaling';
import { pairOf, type Camera } from './store';

// One camera on the page: its picture, what is known of it, and what a person can do.

const firstRetry = 500;
const maxRetry = 8_000;
/** A picture that has not moved for this long is covered: never a stale one. Milliseconds. */
const stale = 3_000;

/** still: the first picture is on the screen, and the stream on its way. */
type State = 'idle' | 'connecting' | 'still' | 'playing' | 'failed';

export interface CardActions {
  rename(c: Camera): void;
  forget(c: Camera): void;
}

export class Card {
  readonly root: HTMLElement;
  readonly #video: HTMLVideoElement;
  readonly #canvas: HTMLCanvasElement;
  #session: Session | undefined;
  #signaling: Signaling | undefined;
  #wanted = false;
  #retry = firstRetry;
  #began = 0;
  #lastFrame = 0;
  #streaming = false;
  #status = '';
  readonly #alarm = new Alarm();
  readonly #watchdog: ReturnType<typeof setInterval>;

  constructor(
    private readonly camera: Camera,
    private readonly self: Identity,
    actions: CardActions,
  ) {
    const template = element(document, '#card', HTMLTemplateElement).content.cloneNode(true) as DocumentFragment;
    this.root = element(template, '.card', HTMLElement);
    this.root.dataset['camera'] = camera.id;
    this.#video = element(this.root, '.screen video', HTMLVideoElement);
    this.#canvas = element(this.root, '.screen canvas', HTMLCanvasElement);
    this.#find('h2').textContent = camera.name;
    this.#video.setAttribute('aria-label', `Picture of ${camera.name}`);
    this.#canvas.setAttribute('aria-label', `Picture of ${camera.name}`);
    this.#find('.facts').textContent = `Camera ${camera.id}\nPaired ${new Date(camera.pairedAt).toLocaleDateString()}\nRelay ${new URL(camera.relayURL).host}`;
    this.#on('.watch', () => (this.#wanted ? this.stop() : this.start()));
    this.#on('.retry', () => this.start());
    this.#on('.path', () => this.#togglePath());
    this.#on('.full', () => void element(this.root, '.screen', HTMLElement).requestFullscreen?.());
    this.#on('.rename', () => actions.rename(camera));
    this.#on('.forget', () => actions.forget(camera));
    this.#show('idle', 'Not watching');
    this.#watchdog = setInterval(() => this.#checkStale(), 500);
  }

  start(): void {
    if (this.#session) return;
    this.#wanted = true;
    this.#find('.watch').textContent = 'Stop';
    this.#show('connecting', 'Connecting…');
    void this.#run();
  }

  stop(): void {
    this.#wanted = false;
    this.#session?.close();
    this.#session = undefined;
    this.#signaling?.close();
    this.#signaling = undefined;
    this.#find('.watch').textContent = 'Watch';
    this.#blank();
    this.#show('idle', 'Not watching');
  }

  /** Ends the card: the page shows it no more. */
  remove(): void {
    this.stop();
    clearInterval(this.#watchdog);
    this.root.remove();
  }

  async #run(): Promise<void> {
    const host = new URL(this.camera.relayURL).host;
    this.#signaling ??= new Signaling(this.camera.relayURL, (connected) => {
      if (!connected && this.root.dataset['state'] === 'connecting') this.#show('connecting', `Cannot reach the relay at ${host}. Trying again.`);
    });
    const session = new Session(await pairOf(this.self, this.camera), this.#signaling, {
      track: (stream) => this.#play(stream),
      picture: (frame) => this.#draw(frame),
      first: (frame, live) => this.#first(session, frame, live),
      frame: (live) => this.#frame(live),
      name: () => undefined,
      path: (path) => this.#path(path),
      status: (text) => this.#say(text),
      rejected: () => this.#reject(),
      undecodable: (reason) => this.#say(`This browser cannot decode the picture: ${reason}`),
    });
    this.#session = session;
    this.#began = performance.now();
    this.#streaming = false;
    delete this.root.dataset['first'];
    delete this.root.dataset['ttff'];
    let error: unknown;
    try {
      await session.run();
    } catch (e) {
      error = e;
    }
    if (this.#session !== session) return; // stopped, and perhaps another runs already
    this.#session = undefined;
    this.#blank();
    const message = error instanceof SessionError ? error.message : sentences.lost;
    if (error instanceof SessionError && error.refused) return this.#fail(message);
    this.#show('connecting', `${message} Trying again.`);
    setTimeout(() => this.#wanted && !this.#session && void this.#run(), this.#retry * (0.5 + Math.random()));
    this.#retry = Math.min(2 * this.#retry, maxRetry);
  }

  #fail(message: string): void {
    this.#wanted = false;
    this.#find('.watch').textContent = 'Watch';
    this.#show('failed', message);
  }

  #play(stream: MediaStream): void {
    this.#video.srcObject = stream;
    this.#video.hidden = false; // below the canvas, which shows the first picture until the video has one
    const count = (): void => {
      this.#canvas.hidden = true;
      this.#shown();
      if (this.#video.srcObject === stream) this.#video.requestVideoFrameCallback(count);
    };
    this.#video.requestVideoFrameCallback(count);
    this.#video.play().catch(() => undefined); // muted: nothing forbids it; srcObject may change meanwhile
  }

  /** The picture that came before the stream, if it still does. */
  #first(session: Session, frame: VideoFrame, live: boolean): void {
    if (this.#session !== session || this.#streaming) return frame.close();
    this.#paint(frame);
    this.#frame(live);
    this.#lastFrame = performance.now();
    this.root.dataset['first'] = (this.#lastFrame - this.#began).toFixed(1);
    this.#show('still', '');
  }

  #draw(frame: VideoFrame): void {
    this.#video.hidden = true;
    this.#paint(frame);
    this.#shown();
  }

  #paint(frame: VideoFrame): void {
    if (this.#canvas.width !== frame.displayWidth || this.#canvas.height !== frame.displayHeight) {
      this.#canvas.width = frame.displayWidth;
      this.#canvas.height = frame.displayHeight;
    }
    this.#canvas.hidden = false;
    this.#canvas.getContext('2d')?.drawImage(frame, 0, 0);
    frame.close();
  }

  /** One picture of the stream is on the screen. */
  #shown(): void {
    this.#streaming = true;
    this.#lastFrame = performance.now();
    if (this.#alarm.on) {
      this.#alarm.shown(this.#lastFrame);
      this.#find('.alarm').hidden = !this.#alarm.on;
    }
    this.root.dataset['ttff'] ??= (this.#lastFrame - this.#began).toFixed(1); // time to first frame, ms
    this.root.dataset['frames'] = String(Number(this.root.dataset['frames'] ?? 0) + 1);
    this.#retry = firstRetry;
    if (this.root.dataset['state'] !== 'playing' && this.#session) this.#show('playing', '');
  }

  #frame(live: boolean): void {
    this.root.dataset['live'] = String(live);
    this.#find('.live').hidden = !live;
    this.#find('.late').hidden = live;
  }

  #checkStale(): void {
    const state = this.root.dataset['state'];
    if ((state !== 'playing' && state !== 'still') || performance.now() - this.#lastFrame < stale) return;
    this.#show('connecting', this.#status || (state === 'still' ? 'Connecting…' : 'The picture has stopped. Waiting for the camera…'));
  }

  #say(text: string): void {
    this.#status = text;
    if (text !== '' && this.root.dataset['state'] === 'connecting') this.#show('connecting', `The camera says: ${text}`);
  }

  #path(path: Path): void {
    const button = this.#find('.path');
    button.hidden = false;
    button.dataset['kind'] = path.kind;
    button.textContent = path.kind === 'relay' ? 'Relayed' : 'Direct';
    button.title = path.why;
    this.#find('.why').textContent = path.why;
  }

  #togglePath(): void {
    const why = this.#find('.why');
    why.hidden = !why.hidden;
    this.#find('.path').setAttribute('aria-expanded', String(!why.hidden));
  }

  /** Promise 4: what does not open is told, and nothing of it is shown. */
  #reject(): void {
    this.#alarm.rejected(performance.now());
    this.root.dataset['rejected'] = String(this.#alarm.count);
    const alarm = this.#find('.alarm');
    alarm.textContent = sentences.rejected;
    alarm.hidden = false;
  }

  #blank(): void {
    this.#video.srcObject = null;
    this.#canvas.hidden = true;
    this.#canvas.width = 0;
    this.#find('.path').hidden = true;
    this.#find('.why').hidden = true;
  }

  #show(state: State, message: string): void {
    this.root.dataset['state'] = state;
    this.#find('.message').textContent = message;
    this.#find('.retry').hidden = state !== 'failed';
  }

  #find = (selector: string): HTMLElement => element(this.root, selector, HTMLElement);

  #on(selector: string, f: () => void): void {
    this.#find(selector).addEventListener('click', f);
  }
}

