import { Alarm } from './alarm';
import type { Device } from './device';
import { element } from './element';
import type { Identity } from './identity';
import { lastWord } from './outbox';
import { Screen } from './screen';
import { Session } from './session';
import { sentences } from './sessionevents';
import { Signaling } from './signaling';
import { pairOf, type Camera } from './store';
import { Watching, type View } from './watching';
import { Why } from './why';

// One camera on the page: its picture, what is known of it, and what a person can do.

/** A picture that has not moved for this long is covered: never a stale one. Milliseconds. */
const stale = 3_000;

/** still: the first picture is on the screen, and the stream on its way. paused: the page is hidden. */
type State = 'idle' | 'connecting' | 'still' | 'playing' | 'paused' | 'failed';

export interface CardActions {
  rename(c: Camera): void;
  forget(c: Camera): void;
}

export class Card {
  readonly root: HTMLElement;
  readonly #screen: Screen;
  readonly #why: Why;
  #watching: Watching | undefined;
  #signaling: Signaling | undefined;
  #began = 0;
  #lastFrame = 0;
  #streaming = false;
  #status = '';
  #trouble = '';
  readonly #alarm = new Alarm();
  readonly #watchdog: ReturnType<typeof setInterval>;

  constructor(
    private readonly camera: Camera,
    private readonly self: Identity,
    private readonly device: Device,
    actions: CardActions,
  ) {
    const template = element(document, '#card', HTMLTemplateElement).content.cloneNode(true) as DocumentFragment;
    this.root = element(template, '.card', HTMLElement);
    this.root.dataset['camera'] = camera.id;
    this.#screen = new Screen(element(this.root, '.screen', HTMLElement), `Picture of ${camera.name}`);
    this.#why = new Why(element(this.root, '.why', HTMLDetailsElement));
    this.#find('h2').textContent = camera.name;
    this.#find('.facts').textContent = `Camera ${camera.id}\nPaired ${new Date(camera.pairedAt).toLocaleDateString()}\nRelay ${new URL(camera.relayURL).host}`;
    this.#on('.watch', () => (this.#watching ? this.stop() : this.start()));
    this.#on('.retry', () => this.start());
    this.#on('.full', () => void element(this.root, '.screen', HTMLElement).requestFullscreen?.());
    this.#on('.rename', () => actions.rename(camera));
    this.#on('.forget', () => actions.forget(camera));
    this.#show('idle', 'Not watching');
    this.#watchdog = setInterval(() => this.#checkStale(), 500);
  }

  start(): void {
    if (this.#watching) return;
    this.#find('.watch').textContent = 'Stop';
    this.#begin();
    const host = new URL(this.camera.relayURL).host;
    const signaling = (this.#signaling ??= new Signaling(this.camera.relayURL, (connected) => {
      if (!connected && this.#state === 'connecting' && this.#signaling === signaling) this.#show('connecting', `Cannot reach the relay at ${host}. Trying again.`);
    }));
    const { relayOnly } = this.device;
    this.#watching = new Watching(signaling, this.#view(), async (watch, events, cameraHides) => {
      return new Session(await pairOf(this.self, this.camera), signaling, events, { watch, relayOnly, cameraHides });
    });
    this.#watching.start(document.hidden);
  }

  stop(): void {
    this.#end();
    this.#screen.blank();
    this.#why.clear();
    this.#show('idle', 'Not watching');
  }

  /** The person chose otherwise how to be reached: what goes on, goes on in the new way. */
  restart(): void {
    if (!this.#watching) return;
    this.stop();
    this.start();
  }

  /** The page can be seen, or not any more. */
  visible(visible: boolean): void {
    if (visible) this.#watching?.show();
    else this.#watching?.hide();
  }

  /** This device may be in another network. */
  moved(): void {
    this.#watching?.moved();
  }

  /** It may be, and the relay out of reach. */
  hurry(): void {
    if (this.#watching) this.#signaling?.hurry();
  }

  /** Ends the card: the page shows it no more. */
  remove(): void {
    this.stop();
    clearInterval(this.#watchdog);
    this.root.remove();
  }

  #end(): void {
    this.#watching?.stop();
    this.#watching = undefined;
    const signaling = this.#signaling;
    setTimeout(() => signaling?.close(), lastWord); // which the session may still have to say
    this.#signaling = undefined;
    this.#find('.watch').textContent = 'Watch';
  }

  #begin(): void {
    this.#began = performance.now();
    this.#streaming = false;
    this.#trouble = '';
    this.#status = '';
    for (const of of ['first', 'ttff', 'trouble']) delete this.root.dataset[of];
    this.#show('connecting', 'Connecting…');
  }

  #view(): View {
    return {
      layer: () => this.#screen.layer(),
      shown: () => this.#shown(),
      still: () => this.#still(),
      live: (live) => this.#live(live),
      explained: (e, addresses) => this.#why.say(e, addresses),
      say: (text) => this.#say(text),
      undecodable: (reason) => this.#say(`This browser cannot decode the picture: ${reason}`),
      rejected: () => this.#reject(),
      retry: (message) => this.#retry(message),
      failed: (message) => {
        this.#end();
        this.#screen.blank();
        this.#show('failed', message);
      },
      paused: () => {
        this.#screen.blank();
        this.#show('paused', 'Paused while nobody looks');
      },
      resumed: () => this.#begin(),
    };
  }

  /** The picture that came before the stream. */
  #still(): void {
    this.#lastFrame = performance.now();
    this.root.dataset['first'] ??= (this.#lastFrame - this.#began).toFixed(1);
    this.#show('still', '');
  }

  /** One picture of the stream is on the screen. */
  #shown(): void {
    this.#streaming = true;
    this.#trouble = '';
    delete this.root.dataset['trouble'];
    this.#lastFrame = performance.now();
    if (this.#alarm.on) {
      this.#alarm.shown(this.#lastFrame);
      this.#find('.alarm').hidden = !this.#alarm.on;
    }
    this.root.dataset['ttff'] ??= (this.#lastFrame - this.#began).toFixed(1); // time to first frame, ms
    this.root.dataset['frames'] = String(Number(this.root.dataset['frames'] ?? 0) + 1);
    if (this.#state !== 'playing') this.#show('playing', '');
  }

  #live(live: boolean): void {
    this.root.dataset['live'] = String(live);
    this.#find('.live').hidden = !live;
    this.#find('.late').hidden = live;
  }

  /** The picture that is on the screen stays until it is stale; most often the next session's is there before that. */
  #retry(message: string): void {
    this.root.dataset['trouble'] = message;
    this.#trouble = `${message} Trying again…`;
    if (this.#state === 'connecting') this.#show('connecting', this.#status || this.#trouble);
  }

  #checkStale(): void {
    if ((this.#state !== 'playing' && this.#state !== 'still') || performance.now() - this.#lastFrame < stale) return;
    const waiting = this.#streaming ? 'The picture has stopped. Waiting for the camera…' : 'Connecting…';
    this.#show('connecting', this.#status || this.#trouble || waiting);
  }

  #say(text: string): void {
    this.#status = text && `The camera says: ${text}`;
    if (text !== '' && this.#state === 'connecting') this.#show('connecting', this.#status);
  }

  /** Promise 4: what does not open is told, and nothing of it is shown. */
  #reject(): void {
    this.#alarm.rejected(performance.now());
    this.root.dataset['rejected'] = String(this.#alarm.count);
    const alarm = this.#find('.alarm');
    alarm.textContent = sentences.rejected;
    alarm.hidden = false;
  }

  get #state(): State {
    return this.root.dataset['state'] as State;
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
