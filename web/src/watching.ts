import { random, type Bytes } from './bytes';
import type { Explain } from './explain';
import { SessionError, sentences, type SessionEvents } from './sessionevents';

// One person's watching of one camera: the session that is shown, and at times one that is to take its place (doc/protocol.md,
// section 6.2). It survives what the terminal viewer survives (viewer/watch.go), and a page that is hidden asks the camera for nothing.

export const retryFirst = 250;
export const retryMost = 5_000;
/** A page that is hidden for longer lets the camera stop. Milliseconds. */
export const pauseAfter = 5_000;

/** A session, as watching needs it. */
export interface OneSession {
  /** Until it ends; rejects with SessionError when it broke, was refused or could not be had. */
  run(): Promise<void>;
  close(): void;
}

/** Where the pictures of one session go. */
export interface Layer {
  /** Plays a track; shown is called for every picture that is on the screen. */
  play(stream: MediaStream, shown: () => void): void;
  draw(frame: VideoFrame): void;
  /** Takes the place of all other layers. */
  front(): void;
  /** Its session has ended: what it shows last stays until another comes to the front. */
  end(): void;
}

/** What watching tells the page. */
export interface View {
  layer(): Layer;
  /** One picture of the stream is on the screen. */
  shown(): void;
  /** The picture that comes before the stream is. */
  still(): void;
  live(live: boolean): void;
  explained(e: Explain, addresses: NonNullable<Explain['addresses']>): void;
  say(status: string): void;
  undecodable(reason: string): void;
  rejected(): void;
  /** The session broke or stalled; the next is on its way. */
  retry(message: string): void;
  /** The camera said no for good. */
  failed(message: string): void;
  paused(): void;
  resumed(): void;
}

/** The connection to the relay, as watching needs it. */
export interface Relay {
  hurry(): void;
  renew(): void;
}

interface Attempt {
  session: OneSession | undefined;
  layer: Layer;
  began: number;
  stalled: boolean;
  /** Wanted no longer: what it still says while it ends is not heard. */
  gone: boolean;
  explained?: [Explain, NonNullable<Explain['addresses']>];
}

export class Watching {
  readonly #id = random(16);
  #current: Attempt | undefined;
  #next: Attempt | undefined;
  #shown: Attempt | undefined;
  #captured = 0; // by the camera's clock, the newest frame of the stream
  #pause = retryFirst;
  #again: ReturnType<typeof setTimeout> | undefined;
  #hiding: ReturnType<typeof setTimeout> | undefined;
  #hiddenSince: number | undefined; // by the clock that goes on while the device sleeps
  #paused = false;
  #cameraHides = false;
  #over = false;
  #began = 0;

  constructor(
    private readonly relay: Relay,
    private readonly view: View,
    private readonly session: (watch: Bytes, events: SessionEvents, cameraHides: boolean) => Promise<OneSession>,
    private readonly clock: () => number = Date.now,
  ) {}

  start(hidden: boolean): void {
    if (hidden) this.hide();
    this.#begin();
  }

  stop(): void {
    this.#over = true;
    clearTimeout(this.#again);
    clearTimeout(this.#hiding);
    this.#close();
  }

  /** This device may be in another network: another session begins beside the one that is shown, or instead of one that shows nothing yet. */
  moved(): void {
    if (this.#over || this.#paused || this.#hiddenSince !== undefined) return;
    this.relay.renew();
    this.#beside();
  }

  /** The page is not to be seen. */
  hide(): void {
    if (this.#over || this.#hiddenSince !== undefined) return;
    this.#hiddenSince = this.clock();
    this.#hiding = setTimeout(() => this.#rest(), pauseAfter);
  }

  /** The page can be seen again. */
  show(): void {
    if (this.#over || this.#hiddenSince === undefined) return;
    const asleep = this.clock() - this.#hiddenSince > 2 * pauseAfter; // the timer did not run, nor did anything else
    this.#hiddenSince = undefined;
    clearTimeout(this.#hiding);
    if (!this.#paused) return asleep ? this.moved() : this.relay.hurry();
    this.#paused = false;
    this.#pause = retryFirst;
    this.view.resumed();
    this.relay.hurry();
    this.#begin();
  }

  #rest(): void {
    this.#paused = true;
    clearTimeout(this.#again);
    this.#close();
    this.view.paused();
  }

  #close(): void {
    for (const a of [this.#current, this.#next]) this.#drop(a);
    this.#current = this.#next = this.#shown = undefined;
  }

  #drop(a: Attempt | undefined): void {
    if (a === undefined) return;
    a.gone = true;
    a.layer.end();
    a.session?.close();
  }

  /** Starts a session: the one to be shown, or one to take its place. */
  #begin(): void {
    clearTimeout(this.#again);
    if (this.#over || this.#paused || this.#next !== undefined || (this.#current !== undefined && !this.#current.stalled)) return;
    const a: Attempt = { session: undefined, layer: this.view.layer(), began: ++this.#began, stalled: false, gone: false };
    if (this.#current === undefined) this.#current = a;
    else this.#next = a;
    void this.#run(a);
  }

  async #run(a: Attempt): Promise<void> {
    let error: unknown;
    try {
      a.session = await this.session(this.#id, this.#events(a), this.#cameraHides);
      if (!a.gone) await a.session.run();
    } catch (e) {
      error = e;
    }
    this.#ended(a, error);
  }

  #beside(): void {
    const current = this.#current;
    if (current === undefined || this.#next !== undefined) return; // one is under way, or soon is
    if (this.#shown !== current) return current.session?.close(); // it begins anew when that has ended
    current.stalled = true;
    this.#begin();
  }

  #stall(a: Attempt, stalled: boolean): void {
    if (a !== this.#current || a !== this.#shown || this.#hiddenSince !== undefined) return;
    a.stalled = stalled;
    if (!stalled) {
      if (this.#next !== undefined) this.#drop(this.#next);
      this.#next = undefined;
      return;
    }
    this.relay.hurry();
    this.view.retry(sentences.stalled);
    this.#begin();
  }

  /** A picture of the stream is on the screen: its session takes another's place with the first, and for good. */
  #picture(a: Attempt): void {
    if (a.gone || (this.#shown !== undefined && a.began < this.#shown.began)) return;
    if (this.#shown !== a) {
      this.#shown = a;
      this.#pause = retryFirst;
      a.layer.front();
      if (a === this.#next) {
        this.#drop(this.#current);
        this.#current = a;
        this.#next = undefined;
      }
      if (a.explained) this.view.explained(...a.explained);
    }
    this.view.shown();
  }

  #ended(a: Attempt, error: unknown): void {
    if (a.gone) return; // it was replaced, or is wanted no longer
    a.gone = true;
    a.layer.end();
    if (a === this.#next) {
      this.#next = undefined;
    } else {
      this.#current = this.#next;
      this.#next = undefined;
      if (this.#current) {
        this.#current.stalled = false;
        return;
      }
      if (error instanceof SessionError && error.refused) {
        this.stop();
        return this.view.failed(error.message);
      }
      if (error !== undefined) this.view.retry(error instanceof SessionError ? error.message : sentences.lost);
      if (this.#shown) this.relay.hurry();
    }
    // Jitter: after a restart a camera must not meet all its viewers at once.
    this.#again = setTimeout(() => this.#begin(), this.#pause * (0.5 + Math.random()));
    this.#pause = Math.min(2 * this.#pause, retryMost);
  }

  /** What one session calls. Only the one that is shown is heard, and until there is one, every one. */
  #events(a: Attempt): SessionEvents {
    const heard = (f: () => void): void => {
      if (!a.gone && (this.#shown === a || this.#shown === undefined || this.#shown.gone)) f();
    };
    return {
      track: (stream) => a.gone || a.layer.play(stream, () => this.#picture(a)),
      picture: (frame) => {
        if (a.gone || (this.#shown !== undefined && a.began < this.#shown.began)) return frame.close();
        a.layer.draw(frame);
        this.#picture(a);
      },
      first: (frame, live, captured) => this.#first(a, frame, live, captured),
      frame: (live) => heard(() => this.view.live(live)),
      opened: (captured) => {
        if (!a.gone) this.#captured = Math.max(this.#captured, captured);
      },
      hides: (hides) => (this.#cameraHides = hides),
      stalled: (stalled) => this.#stall(a, stalled),
      explained: (e, addresses) => {
        a.explained = [e, addresses];
        heard(() => this.view.explained(e, addresses));
      },
      status: (text) => heard(() => this.view.say(text)),
      rejected: () => this.view.rejected(),
      undecodable: (reason) => heard(() => this.view.undecodable(reason)),
    };
  }

  /** A picture while the stream is on its way, and no proof that it will come. It may be of before what is shown: a group's begin. */
  #first(a: Attempt, frame: VideoFrame, live: boolean, captured: number): void {
    if (a.gone || this.#shown === a || captured <= this.#captured || (this.#shown && !this.#shown.gone && !this.#shown.stalled)) return frame.close();
    a.layer.draw(frame);
    this.view.live(live);
    this.view.still();
  }
}
