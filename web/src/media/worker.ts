import { Backlog } from './backlog';
import { Decoder } from './decoder';
import { FrameOpener, isTold, type Frame, type TrackKey } from './frame';
import { Joiner } from './joiner';
import { FrameError } from '../crypto/sframe';
import { StandIns } from './standin';
import type { Order, WorkerEvent } from './workermessages';

// Sits between the browser's depacketizer and its decoder (RTCRtpScriptTransform) and opens every frame. A frame that
// does not open goes no further. One worker serves all sessions of a page, and shares nothing between them.

const scope = self as unknown as DedicatedWorkerGlobalScope;

/** Opens the frames of one session. Its keys come by the port, and what it finds goes there. */
async function pump(transformer: RTCRtpScriptTransformer, port: MessagePort): Promise<void> {
  const post = (event: WorkerEvent, transfer: Transferable[] = []): void => port.postMessage(event, transfer);
  const over = new AbortController();
  const decoder = new Decoder({
    picture: (frame, challenge) => post({ type: 'picture', frame, challenge }, [frame]),
    needKeyframe: () => post({ type: 'keyframe' }),
    undecodable: (why) => post({ type: 'undecodable', why }),
  });
  const backlog = new Backlog((behind) => post({ type: 'backlog', behind }));

  const track = await new Promise<TrackKey | undefined>((resolve) => {
    port.onmessage = ({ data }: MessageEvent<Order>): void => {
      if (data.type === 'start') return resolve(data.track);
      over.abort();
      decoder.close();
      port.close();
      resolve(undefined);
    };
  });
  if (track === undefined) return;

  const opener = await FrameOpener.create(track);
  const standIns = new StandIns<RTCEncodedVideoFrame>();
  const joiner = new Joiner<Frame & { carried: RTCEncodedVideoFrame }>();

  let given = -1n; // the highest counter that the browser was given
  const open = new TransformStream<RTCEncodedVideoFrame, RTCEncodedVideoFrame>({
    async transform(carried, out) {
      try {
        const frame = await opener.open(new Uint8Array(carried.data));
        if (over.signal.aborted) return;
        if (track.carrier === 'vp8') standIns.replace(carried, frame.ctr, frame.keyframe);
        const whole = joiner.push({ ...frame, carried });
        if (whole === undefined) return post({ type: 'piece' });

        const { captured, challenge } = whole;
        const rtp = track.carrier === 'h264' ? whole.carried.getMetadata().rtpTimestamp : undefined;
        post({
          type: 'opened',
          carrier: track.carrier,
          rtp,
          captured,
          challenge,
        });

        if (track.carrier === 'vp8') {
          decoder.push(whole, performance.now());
          backlog.update(decoder.waiting);
          for (const s of standIns.until(decoder.passed)) out.enqueue(s);
          return;
        }

        // The browser takes the last piece for a keyframe and would decode it, whatever is missing before it.
        const torn = !whole.keyframe && whole.first !== whole.ctr && whole.first !== given + 1n;
        if (torn) return post({ type: 'keyframe' });

        if (whole.ctr > given) given = whole.ctr;
        whole.carried.data = whole.accessUnit.slice().buffer;
        out.enqueue(whole.carried);
      } catch (e) {
        if (isTold(track.carrier, e)) {
          post({ type: 'rejected', reason: e instanceof FrameError ? e.message : String(e) });
        }
      }
    },
  });

  await transformer.readable.pipeThrough(open).pipeTo(transformer.writable, { signal: over.signal });
}

scope.onrtctransform = ({ transformer }: RTCTransformEvent): void => {
  // The stream ends with the connection, and nobody is left to tell.
  pump(transformer, (transformer.options as { port: MessagePort }).port).catch(() => undefined);
};
