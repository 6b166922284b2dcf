import { random, type Bytes } from '../bytes';
import type { Challenged } from '../clocks';
import type { Explain } from '../session/explain';
import { SessionError, sentences, type SessionEvents } from '../session/events';
import { relayed } from '../session/pathtype';
import type { RelayList } from '../signaling/relaylist';

// How one person watches one camera: the session that is shown, and sometimes a second one that will replace it
// (doc/protocol.md, section 6.2). It survives what the terminal viewer survives (viewer/watch.go). A hidden page asks
// the camera for nothing.

export const minRetry = 250;
export const maxRetry = 5_000;
/** How long a page may be hidden before it lets the camera stop, in milliseconds. */
export const pauseAfter = 5_000;

/** A session, as far as watching needs it. */
export interface OneSession {
  /** Runs until the session ends. Rejects with SessionError if it broke, was refused or could not be started. */
  run(): Promise<void>;
  close(): void;
}

/** Where the pictures of one session go. */
export interface Layer {
  /**
   * Plays a track. shown is called for every picture on the screen, with its RTP timestamp if the browser reports it.
   */
  play(stream: MediaStream, shown: (rtp: number | undefined) => void): void;
  draw(frame: VideoFrame): void;
  /** Replaces all other layers. */
  front(): void;
  /** The session has ended: its last picture stays until another layer comes to the front. */
  end(): void;
}

/** What watching tells the page. */
export interface View {
  layer(): Layer;
  /** A picture of the stream is on the screen. */
  shown(of: Challenged): void;
  /** The picture that precedes the stream is on the screen. */
  still(of: Challenged): void;
  explained(e: Explain, addresses: NonNullable<Explain['addresses']>): void;
  say(status: string): void;
  undecodable(why: string): void;
  waits(forWhat: string): void;
  behind(behind: boolean): void;
  rejected(): void;
  relays(list: RelayList): void;
  /** The session broke or stalled, and the next is on its way. */
  retry(message: string): void;
  /** The camera refused for good. */
  failed(message: string): void;
  paused(): void;
  resumed(): void;
}

/** The connections to the camera's relays, as far as watching needs them. */
export interface Relay {
  probe(): void;
  redial(): void;
  /** Whether no other relay is known at which the camera may be. */
  readonly alone: boolean;
}

interface Attempt {
  session: OneSession | undefined;
  layer: Layer;
  began: number;
  stalled: boolean;
  /** No longer wanted: what it says while it ends is ignored. */
  gone: boolean;
  /** The relay of its ICE servers is lost. */
  relayLost: boolean;
  /** That relay is another than those at which the camera is, so that there is one to go on to. */
  another: boolean;
  explained?: [Explain, NonNullable<Explain['addresses']>];
}

export class Watching {
  readonly #id = random(16);
  #current: Attempt | undefined;
  #next: Attempt | undefined;
  #shown: Attempt | undefined;
  #captured = 0; // the newest frame of the stream, by the camera's clock
  #pause = minRetry;
  #again: ReturnType<typeof setTimeout> | undefined;
  #hiding: ReturnType<typeof setTimeout> | undefined;
  #hiddenSince: number | undefined; // by the clock that runs while the device sleeps
  #paused = false;
  #cameraHides = false;
  #nonce: string | undefined; // for the next offer only
  #over = false;
  #began = 0;

  constructor(
    private readonly relay: Relay,
    private readonly view: View,
    private readonly session: (
      watch: Bytes,
      events: SessionEvents,
      cameraHides: boolean,
      nonce: string | undefined,
    ) => Promise<OneSession>,
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

  /**
   * This device may be in another network: starts a session beside the one that is shown, or instead of one that shows
   * nothing yet.
   */
  moved(): void {
    if (this.#over || this.#paused || this.#hiddenSince !== undefined) return;
    this.relay.redial();
    this.#beside();
  }

  /** The page is hidden. */
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
    if (!this.#paused) return asleep ? this.moved() : this.#look();

    this.#paused = false;
    this.#pause = minRetry;
    this.view.resumed();
    this.relay.probe();
    this.#begin();
  }

  /** Finds out what has happened while the page was hidden for a moment. */
  #look(): void {
    this.relay.probe();
    if (this.#current) this.#leaveRelay(this.#current);
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

  /** Starts a session: the one to be shown, or one to replace it. */
  #begin(): void {
    clearTimeout(this.#again);

    if (
      this.#over ||
      this.#paused ||
      this.#next !== undefined ||
      (this.#current !== undefined && !this.#current.stalled)
    ) {
      return;
    }

    const a: Attempt = {
      session: undefined,
      layer: this.view.layer(),
      began: ++this.#began,
      stalled: false,
      gone: false,
      relayLost: false,
      another: false,
    };

    if (this.#current === undefined) this.#current = a;
    else this.#next = a;
    void this.#run(a);
  }

  async #run(a: Attempt): Promise<void> {
    let error: unknown;
    const nonce = this.#nonce;
    this.#nonce = undefined;

    try {
      a.session = await this.session(this.#id, this.#events(a), this.#cameraHides, nonce);
      if (!a.gone) await a.session.run();
    } catch (e) {
      error = e;
    }

    this.#ended(a, error);
  }

  #beside(): void {
    const current = this.#current;
    if (current === undefined || this.#next !== undefined) return; // one is under way, or soon will be
    if (this.#shown !== current) return current.session?.close(); // when it has ended, the next begins
    current.stalled = true;
    this.#begin();
  }

  /**
   * Begins another session if the relay of this one is lost, and its media may need that relay. If this one shows
   * nothing yet, the other takes its place; otherwise the other begins beside it, provided that there is another relay.
   * A relay that stops ends its connections for signaling first, so there may be no gap in the picture.
   */
  #leaveRelay(a: Attempt): void {
    if (a.gone || !this.#needsLostRelay(a) || this.#hiddenSince !== undefined) return;
    if (this.#shown !== a) return a.session?.close(); // when it has ended, the next begins
    if (a === this.#current && this.#hasOther(a)) this.#beside();
  }

  /** Reports whether there is a relay besides the one that a session has lost. */
  #hasOther(a: Attempt): boolean {
    return a.another || !this.relay.alone;
  }

  #needsLostRelay(a: Attempt): boolean {
    const path = a.explained?.[0].selected?.rung;
    return a.relayLost && (path === undefined || relayed(path));
  }

  #stall(a: Attempt, stalled: boolean): void {
    if (a !== this.#current || a !== this.#shown || this.#hiddenSince !== undefined) return;

    // Something arrives again, but its relay is lost: the next session still replaces it.
    if (!stalled && this.#needsLostRelay(a) && this.#hasOther(a)) return;
    a.stalled = stalled;

    if (!stalled) {
      if (this.#next !== undefined) this.#drop(this.#next);
      this.#next = undefined;
      return;
    }

    this.relay.probe();
    this.view.retry(sentences.stalled);
    this.#begin();
  }

  /**
   * A picture of the stream is on the screen. With its first picture, a session replaces the one before it for good.
   */
  #picture(a: Attempt, of: Challenged): void {
    if (this.#isOutdated(a)) return;

    if (this.#shown !== a) {
      this.#shown = a;
      this.#pause = minRetry;
      a.layer.front();

      if (a === this.#next) {
        this.#drop(this.#current);
        this.#current = a;
        this.#next = undefined;
      }
      if (a.explained) this.view.explained(...a.explained);
    }

    this.view.shown(of);
  }

  /** Reports whether the pictures of a session are no longer wanted, since a later one is shown. */
  #isOutdated(a: Attempt): boolean {
    return a.gone || (this.#shown !== undefined && a.began < this.#shown.began);
  }

  #ended(a: Attempt, error: unknown): void {
    if (a.gone) return; // it was replaced, or is no longer wanted

    a.gone = true;
    a.layer.end();

    const wasCurrent = a !== this.#next;
    if (wasCurrent) this.#current = this.#next;
    this.#next = undefined;

    if (wasCurrent && this.#current) {
      this.#current.stalled = false;
      return;
    }
    if (wasCurrent && error instanceof SessionError && error.refused) {
      this.stop();
      return this.view.failed(error.message);
    }

    if (wasCurrent && error !== undefined) {
      this.view.retry(error instanceof SessionError ? error.message : sentences.lost);
    }
    if (wasCurrent && this.#shown) this.relay.probe();
    this.#retryLater();
  }

  #retryLater(): void {
    // Jitter, so that not all viewers come back at the same moment after a camera restarts.
    this.#again = setTimeout(() => this.#begin(), this.#pause * (0.5 + Math.random()));
    this.#pause = Math.min(2 * this.#pause, maxRetry);
  }

  /** What one session calls. Only the shown session is heard, or all of them until one is shown. */
  #events(a: Attempt): SessionEvents {
    const heard = (f: () => void): void => {
      if (!a.gone && (this.#shown === a || this.#shown === undefined || this.#shown.gone)) f();
    };
    return {
      track: (stream, played) => {
        if (a.gone) return;
        a.layer.play(stream, (rtp) => {
          played.show(rtp);
          this.#picture(a, played);
        });
      },
      picture: (frame, of) => {
        if (this.#isOutdated(a)) return frame.close();
        a.layer.draw(frame);
        this.#picture(a, of);
      },
      first: (frame, of, captured) => this.#first(a, frame, of, captured),
      opened: (captured) => {
        if (!a.gone) this.#captured = Math.max(this.#captured, captured);
      },
      clockDisagrees: (nonce) => {
        if (!a.gone) this.#nonce = nonce;
      },
      hides: (hides) => (this.#cameraHides = hides),
      stalled: (stalled) => this.#stall(a, stalled),
      explained: (e, addresses) => {
        a.explained = [e, addresses];
        heard(() => this.view.explained(e, addresses));
        this.#leaveRelay(a);
      },
      relayLost: (another) => {
        a.relayLost = true;
        a.another = another;
        this.#leaveRelay(a);
      },
      status: (text) => heard(() => this.view.say(text)),
      rejected: () => this.view.rejected(),
      relays: (list) => this.view.relays(list),
      undecodable: (why) => heard(() => this.view.undecodable(why)),
      waits: (forWhat) => heard(() => this.view.waits(forWhat)),
      behind: (behind) => heard(() => this.view.behind(behind)),
    };
  }

  /**
   * A picture ahead of the stream, which does not prove that the stream will come. It may be older than what is shown,
   * from the beginning of a group.
   */
  #first(a: Attempt, frame: VideoFrame, of: Challenged, captured: number): void {
    const running = this.#shown !== undefined && !this.#shown.gone && !this.#shown.stalled;
    if (a.gone || this.#shown === a || running || captured <= this.#captured) return frame.close();
    a.layer.draw(frame);
    this.view.still(of);
  }
}
