import { Alarm } from './alarm';
import type { Device } from './device';
import { clocks, type Challenged, type Moment } from '../clocks';
import { element } from './element';
import type { Clock } from '../crypto/expiry';
import { isLive } from '../session/freshness';
import type { Identity } from '../crypto/identity';
import { lastMessageWait } from '../session/outbox';
import { Screen } from './screen';
import { Session } from '../session/session';
import { reaches } from './relays';
import { Reach } from '../signaling/reach';
import { Relays } from '../signaling/relays';
import { TURNRegions } from '../signaling/turnregions';
import { sentences } from '../session/events';
import { printableName } from '../printable';
import { pairOf, type Camera, type Learned } from '../viewer/store';
import { Watching, type View } from '../viewer/watching';
import { Whereabouts } from '../viewer/whereabouts';
import { Why } from './why';

// One camera on the page: its picture, its state, and what a person can do with it.

/** A picture with no successor for this long is covered, so that no stale one is shown. Milliseconds. */
const stale = 3_000;
/** A person who waits for longer learns what for. Milliseconds. */
const wordAfter = 1_500;

/** still: the first picture is on the screen, and the stream on its way. paused: the page is hidden. */
type State = 'idle' | 'connecting' | 'still' | 'playing' | 'paused' | 'failed';

export interface CardActions {
  /** The person wants to watch the camera, or no longer does. */
  watch(c: Camera, watch: boolean): void;
  /** Keep what its sessions teach about the camera. */
  learn(c: Camera, learned: Learned): void;
  rename(c: Camera): void;
  forget(c: Camera): void;
}

export class Card {
  readonly root: HTMLElement;
  readonly #screen: Screen;
  readonly #why: Why;
  #watching: Watching | undefined;
  #relays: Relays | undefined;
  readonly #whereabouts: Whereabouts;
  #began = 0;
  #picture: Challenged | undefined; // on the screen
  #since: Moment | undefined; // when it came there
  #judging: number | undefined; // the callback of the next rendering, while there is a picture
  #streaming = false;
  #status = '';
  #behind = false;
  #trouble = '';
  #unreachable = ''; // says so if the relay is
  #undecodable = ''; // why this browser cannot show what arrives
  #waits = ''; // what for, and how long that can take
  #patience: ReturnType<typeof setTimeout> | undefined; // undefined: the person has waited long enough to be told
  readonly #alarm = new Alarm();

  constructor(
    private readonly camera: Camera,
    private readonly self: Identity,
    private readonly device: Device,
    private readonly clock: Clock,
    private readonly actions: CardActions,
  ) {
    this.#whereabouts = new Whereabouts(camera, (learned) => actions.learn(camera, learned), {
      origin: location.origin,
      reaches,
      now: () => clock.now(),
      fetch: (...args) => fetch(...args),
    });

    const name = printableName(camera.name); // it may have been stored by an older page
    const template = element(document, '#card', HTMLTemplateElement).content.cloneNode(true) as DocumentFragment;
    this.root = element(template, '.card', HTMLElement);
    this.root.dataset['camera'] = camera.id;
    this.#screen = new Screen(element(this.root, '.screen', HTMLElement), `Picture of ${name}`);
    this.#why = new Why(element(this.root, '.why', HTMLDetailsElement));
    this.#find('h2').textContent = name;
    const [paired, relay] = [new Date(camera.pairedAt).toLocaleDateString(), new URL(camera.relayURL).host];
    this.#find('.facts').textContent = `Camera ${camera.id}\nPaired ${paired}\nRelay ${relay}`;
    this.#on('.watch', () => this.#choose());
    this.#on('.retry', () => this.start());
    this.#on('.full', () => void element(this.root, '.screen', HTMLElement).requestFullscreen?.());
    this.#on('.rename', () => actions.rename(camera));
    this.#on('.forget', () => actions.forget(camera));
    this.#show('idle', 'Not watching');
  }

  #choose(): void {
    const watch = this.#watching === undefined;
    this.actions.watch(this.camera, watch);
    if (watch) this.start();
    else this.stop();
  }

  start(): void {
    if (this.#watching) return;

    this.#find('.watch').textContent = 'Stop';
    this.#begin();
    const relays = (this.#relays ??= this.#connect());
    const { relayOnly } = this.device;
    const { clock } = this;
    this.#watching = new Watching(relays, this.#view(), async (watch, events, cameraHides, nonce) => {
      void this.#whereabouts.refresh();
      return new Session(await pairOf(this.self, this.camera), relays, events, {
        watch,
        relayOnly,
        cameraHides,
        relayURL: this.camera.relayURL,
        listVersion: this.#whereabouts.version,
        clock,
        nonce,
      });
    });

    this.#watching.start(document.hidden);
  }

  /** Connects to the camera's relays, and tells the person while none can be reached. */
  #connect(): Relays {
    const places = this.#whereabouts.places();
    const reach = new Reach(places[0].url);
    const regions = new TURNRegions(() => this.#whereabouts.turnRegions());
    const onState = (connected: boolean, held: boolean): void => {
      if (connected) reach.connected();
      const why = connected ? '' : reach.failed(held);
      if (this.#relays !== relays) return;
      if (relays.carriedBy) this.root.dataset['signaling'] = relays.carriedBy;
      this.#unreachable = why;
      this.#explain();
    };
    const relays = new Relays(places, this.#whereabouts.beyond, onState, regions);
    return relays;
  }

  stop(): void {
    this.#end();
    this.#screen.blank();
    this.#why.clear();
    this.#show('idle', 'Not watching');
  }

  /** The person chose whether to hide this device's address: begins again in the new way. */
  restart(): void {
    if (!this.#watching) return;
    this.stop();
    this.start();
  }

  /** The page came into view, or was hidden. */
  visible(visible: boolean): void {
    if (visible) this.#watching?.show();
    else this.#watching?.hide();
  }

  /** This device may be in another network. */
  moved(): void {
    this.#watching?.moved();
  }

  /** It may be, and the relay may be out of reach. */
  probe(): void {
    if (this.#watching) this.#relays?.probe();
  }

  /** Removes the card from the page. */
  remove(): void {
    this.stop();
    this.root.remove();
  }

  #end(): void {
    clearTimeout(this.#patience);
    this.#watching?.stop();
    this.#watching = undefined;
    const relays = this.#relays;
    setTimeout(() => relays?.close(), lastMessageWait); // the session may still have to send it
    this.#relays = undefined;
    this.#find('.watch').textContent = 'Watch';
  }

  #begin(): void {
    this.#began = performance.now();
    clearTimeout(this.#patience);

    this.#patience = setTimeout(() => {
      this.#patience = undefined;
      this.#explain();
    }, wordAfter);

    this.#waits = this.#undecodable = this.#unreachable = '';
    this.#streaming = false;
    this.#trouble = '';
    this.#status = '';
    this.#behind = false;
    this.#notice();
    for (const of of ['first', 'ttff', 'trouble']) delete this.root.dataset[of];
    this.#show('connecting', 'Connecting…');
  }

  #view(): View {
    return {
      layer: () => this.#screen.layer(),
      shown: (of) => this.#shown(of),
      still: (of) => this.#still(of),
      explained: (e, addresses) => this.#why.say(e, addresses),
      say: (text) => this.#say(text),
      behind: (behind) => {
        this.#behind = behind;
        this.#notice();
      },
      undecodable: (why) => {
        this.#undecodable = why;
        this.#explain();
        this.#notice();
      },
      waits: (forWhat) => {
        this.#waits = forWhat;
        this.#explain();
      },
      rejected: () => this.#reject(),
      relays: (list) => void this.#whereabouts.learn(list),
      retry: (message) => this.#retry(message),
      failed: (message) => {
        this.#end();
        this.#screen.blank();
        this.#show('failed', message);
      },
      paused: () => {
        this.#screen.blank();
        this.#show('paused', 'Paused while hidden');
      },
      resumed: () => this.#begin(),
    };
  }

  /** The picture that precedes the stream is on the screen. */
  #still(of: Challenged): void {
    const { now } = this.#onScreen(of);
    this.root.dataset['first'] ??= (now - this.#began).toFixed(1);
    this.#show('still', '');
  }

  /** A picture of the stream is on the screen. */
  #shown(of: Challenged): void {
    const { now } = this.#onScreen(of);
    this.#streaming = true;
    this.#trouble = '';

    if (this.#undecodable !== '') {
      this.#undecodable = '';
      this.#notice();
    }

    delete this.root.dataset['trouble'];

    if (this.#alarm.on) {
      this.#alarm.shown(now);
      this.#find('.alarm').hidden = !this.#alarm.on;
    }

    this.root.dataset['ttff'] ??= (now - this.#began).toFixed(1); // time to first frame, ms
    this.root.dataset['frames'] = String(Number(this.root.dataset['frames'] ?? 0) + 1);
    if (this.#state !== 'playing') this.#show('playing', '');
  }

  #onScreen(picture: Challenged): Moment {
    this.#picture = picture;
    this.#since = clocks.read();
    this.#live(isLive(clocks, picture));
    this.#judging ??= requestAnimationFrame(this.#judge);
    return this.#since;
  }

  /**
   * Decides whether the picture is live whenever the page is rendered, for as long as there is a picture, so that the
   * label is right in every image that a person sees, also after a sleep or a stop. A timer would be late just then.
   */
  readonly #judge = (): void => {
    this.#judging = requestAnimationFrame(this.#judge);
    this.#live(isLive(clocks, this.#picture));
    if (clocks.age(this.#since) < stale) return;
    const stopped = this.#behind ? sentences.behind : 'The picture has stopped. Waiting for the camera…';
    this.#show('connecting', this.#reason || (this.#streaming ? stopped : this.#waits || 'Connecting…'));
  };

  /** The picture is covered, or gone. */
  #noPicture(): void {
    if (this.#judging !== undefined) cancelAnimationFrame(this.#judging);
    this.#judging = this.#picture = undefined;
    this.#live(false);
  }

  #live(live: boolean): void {
    if (this.root.dataset['live'] === String(live)) return;
    this.root.dataset['live'] = String(live);
    this.#find('.live').hidden = !live;
    this.#find('.late').hidden = live;
  }

  /** The picture on the screen stays until it is stale; usually the next session shows one before that. */
  #retry(message: string): void {
    this.root.dataset['trouble'] = message;
    this.#trouble = `${message} Trying again…`;
    this.#explain();
  }

  #say(text: string): void {
    this.#status = text && `The camera says: ${text}`;
    this.#explain();
    this.#notice();
  }

  /** What this browser and the camera say about the picture. */
  get #said(): string {
    return [this.#undecodable, this.#status].filter((words) => words !== '').join(' ');
  }

  /** Why there is no picture, from the best source. */
  get #reason(): string {
    return this.#said || this.#unreachable || this.#trouble;
  }

  /** Says, in place of the picture, why there is none or what the person waits for. */
  #explain(): void {
    if (this.#state !== 'connecting') return;
    const words = this.#reason || (this.#patience === undefined ? this.#waits : '');
    if (words !== '') this.#show('connecting', words);
  }

  /** Says, below a picture that goes on, what is wrong with it. */
  #notice(): void {
    const notice = this.#find('.notice');
    notice.textContent = this.#said || (this.#behind ? sentences.behind : '');
    notice.hidden = notice.textContent === '';
  }

  /** Promise 4: reports what does not open, and shows nothing of it. */
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
    if (state !== 'playing' && state !== 'still') this.#noPicture();
    this.root.dataset['state'] = state;
    this.#find('.message').textContent = message;
    this.#find('.retry').hidden = state !== 'failed';
  }

  #find = (selector: string): HTMLElement => element(this.root, selector, HTMLElement);

  #on(selector: string, f: () => void): void {
    this.#find(selector).addEventListener('click', f);
  }
}
