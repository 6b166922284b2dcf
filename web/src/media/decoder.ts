import type { Bytes } from '../bytes';
import type { Frame } from './frame';
import { Reorder } from './reorder';
import { explainUndecodable } from './undecodable';

/**
 * Returns the WebCodecs name of an Annex B stream from the SPS of an access unit (RFC 6381, section 3.3); undefined if
 * it has no SPS.
 */
export function codecString(accessUnit: Uint8Array): string | undefined {
  for (let i = 0; i + 6 < accessUnit.length; i++) {
    if (accessUnit[i] !== 0 || accessUnit[i + 1] !== 0 || accessUnit[i + 2] !== 1) continue;
    if ((accessUnit[i + 3]! & 31) !== 7) continue;
    return 'avc1.' + Array.from(accessUnit.subarray(i + 4, i + 7), (b) => b.toString(16).padStart(2, '0')).join('');
  }
  return undefined;
}

/** Decodes one keyframe on its own. Rejects if this browser cannot. */
export async function decodeKeyframe(accessUnit: Bytes): Promise<VideoFrame> {
  const codec = codecString(accessUnit);
  if (codec === undefined) throw new Error('decode keyframe: no SPS');

  let picture: VideoFrame | undefined;
  const decoder = new VideoDecoder({
    output: (f) => {
      picture?.close();
      picture = f;
    },
    error: () => undefined, // flush rejects with it
  });

  decoder.configure({ codec, optimizeForLatency: true });
  decoder.decode(new EncodedVideoChunk({ type: 'key', timestamp: 0, data: accessUnit }));
  await decoder.flush();
  decoder.close();
  if (picture === undefined) throw new Error('decode keyframe: no picture');

  return picture;
}

export interface DecoderEvents {
  picture(frame: VideoFrame, challenge: string): void;
  /** Nothing can be decoded before the next keyframe. */
  needKeyframe(): void;
  /** Says why, in words for a person. */
  undecodable(why: string): void;
}

/** Decodes opened frames with WebCodecs. If the decoder gives up, it starts again at the next keyframe. */
export class Decoder {
  readonly #order = new Reorder<Frame>();
  readonly #challenges = new Map<number, string>();
  #decoder: VideoDecoder | undefined;
  #codec = '';
  #timestamp = 0;

  constructor(private readonly events: DecoderEvents) {}

  /** How many frames are waiting to be decoded. */
  get waiting(): number {
    return this.#decoder?.decodeQueueSize ?? 0;
  }

  /** Frames up to this counter are no longer waited for. */
  get passed(): bigint {
    return this.#order.passed;
  }

  push(frame: Frame, now: number): void {
    for (const f of this.#order.push(frame, now)) this.#decode(f);
    if (this.#order.starved) this.events.needKeyframe();
  }

  close(): void {
    if (this.#decoder?.state !== 'closed') this.#decoder?.close();
  }

  #decode(frame: Frame): void {
    if (frame.keyframe) this.#configure(frame);
    if (this.#decoder?.state !== 'configured') return;

    // The timestamp only identifies frames: they are shown as they come.
    this.#timestamp += 1000;
    this.#challenges.set(this.#timestamp, frame.challenge);
    const type = frame.keyframe ? 'key' : 'delta';
    try {
      this.#decoder.decode(new EncodedVideoChunk({ type, timestamp: this.#timestamp, data: frame.accessUnit }));
    } catch (e) {
      this.#fail(e instanceof Error ? e.message : String(e)); // Chromium starts only at an IDR picture
    }
  }

  #configure(frame: Frame): void {
    const codec = codecString(frame.accessUnit);
    if (codec === undefined) return this.#fail('keyframe without SPS');
    if (codec === this.#codec && this.#decoder?.state === 'configured') return;

    this.close();
    this.#challenges.clear();

    const decoder = new VideoDecoder({
      output: (picture) => {
        const challenge = this.#challenges.get(picture.timestamp) ?? '';
        for (const t of this.#challenges.keys()) if (t <= picture.timestamp) this.#challenges.delete(t);
        this.events.picture(picture, challenge);
      },
      error: (e) => {
        if (decoder === this.#decoder) this.#fail(e.message);
      },
    });

    decoder.configure({ codec, optimizeForLatency: true });
    this.#decoder = decoder;
    this.#codec = codec;
  }

  #fail(reason: string): void {
    const codec = this.#codec;
    this.#codec = '';
    this.#order.reset();
    this.events.undecodable(explainUndecodable(reason, codec));
    this.events.needKeyframe();
  }
}
