import { element } from './element';
import type { Layer } from '../viewer/watching';

// The screen of a card. Each session whose track the browser plays has its own video, so that the next session can
// begin below the one that is shown. What the page draws itself goes to the canvas on top.

export class Screen {
  readonly #canvas: HTMLCanvasElement;

  constructor(
    private readonly root: HTMLElement,
    private readonly label: string,
  ) {
    this.#canvas = element(root, 'canvas', HTMLCanvasElement);
    this.#canvas.setAttribute('aria-label', label);
  }

  /** Shows nothing any more. */
  blank(): void {
    this.#canvas.hidden = true;
    this.#canvas.width = 0;
    this.#clear(undefined);
  }

  layer(): Layer {
    let video: HTMLVideoElement | undefined;
    let front = false;
    return {
      play: (stream, shown) => {
        video = this.#play(stream, (rtp) => {
          if (!video?.isConnected) return;
          shown(rtp);
          if (front) this.#canvas.hidden = true; // it may show the first picture of another session that failed
        });
      },
      draw: (frame) => this.#draw(frame),
      front: () => {
        front = true;
        if (video) this.#canvas.hidden = true;
        this.#clear(video);
      },
      end: () => {
        if (video?.isConnected) this.#keep(video);
        video = undefined;
      },
    };
  }

  #clear(but: HTMLVideoElement | undefined): void {
    for (const v of this.root.querySelectorAll('video')) {
      if (v === but) continue;
      v.srcObject = null;
      v.remove();
    }
  }

  #play(stream: MediaStream, shown: (rtp: number | undefined) => void): HTMLVideoElement {
    const video = document.createElement('video');
    Object.assign(video, {
      autoplay: true,
      muted: true,
      playsInline: true,
      disablePictureInPicture: true,
      srcObject: stream,
    });

    video.setAttribute('aria-label', this.label);
    this.root.prepend(video); // below what is shown

    const presented: VideoFrameRequestCallback = (_, { rtpTimestamp }) => {
      shown(rtpTimestamp);
      if (video.srcObject === stream) video.requestVideoFrameCallback(presented);
    };

    video.requestVideoFrameCallback(presented);
    video.play().catch(() => undefined); // allowed because it is muted; srcObject may change meanwhile
    return video;
  }

  /** Keeps the last picture of a video that ends, if that is the visible one. */
  #keep(video: HTMLVideoElement): void {
    const seen =
      this.#canvas.hidden && video === [...this.root.querySelectorAll('video')].at(-1) && video.videoWidth > 0;
    if (seen) this.#paint(video, video.videoWidth, video.videoHeight);
    video.srcObject = null;
    video.remove();
  }

  #draw(frame: VideoFrame): void {
    this.#paint(frame, frame.displayWidth, frame.displayHeight);
    frame.close();
  }

  #paint(picture: CanvasImageSource, width: number, height: number): void {
    if (this.#canvas.width !== width || this.#canvas.height !== height) {
      this.#canvas.width = width;
      this.#canvas.height = height;
    }
    this.#canvas.hidden = false;
    this.#canvas.getContext('2d')?.drawImage(picture, 0, 0);
  }
}
