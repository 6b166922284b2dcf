import { Decoder } from './decoder';
import { FrameOpener, isTold } from './frame';
import { FrameError } from './sframe';
import { StandIns } from './standin';
import type { Start, WorkerEvent } from './workermessages';

// Sits between the browser's depacketizer and its decoder (RTCRtpScriptTransform) and opens every frame there. What does not open
// goes no further. One worker serves one session.

const scope = self as unknown as DedicatedWorkerGlobalScope;
const post = (event: WorkerEvent, transfer: Transferable[] = []): void => scope.postMessage(event, transfer);

let started: (start: Start) => void;
const start = new Promise<Start>((resolve) => (started = resolve));
scope.onmessage = (e: MessageEvent<Start>): void => started(e.data);

const decoder = new Decoder({
  picture: (frame, challenge) => post({ type: 'picture', frame, challenge }, [frame]),
  needKeyframe: () => post({ type: 'keyframe' }),
  undecodable: (reason) => post({ type: 'undecodable', reason }),
});

async function pump(transformer: RTCRtpScriptTransformer): Promise<void> {
  const { track } = await start;
  const opener = await FrameOpener.create(track);
  const standIns = new StandIns<RTCEncodedVideoFrame>();
  const open = new TransformStream<RTCEncodedVideoFrame, RTCEncodedVideoFrame>({
    async transform(carried, out) {
      try {
        const frame = await opener.open(new Uint8Array(carried.data));
        const { keyframe, captured, challenge } = frame;
        post({ type: 'opened', carrier: track.carrier, keyframe, captured, challenge });
        if (track.carrier === 'vp8') {
          decoder.push(frame, performance.now());
          standIns.take(carried, frame.ctr, keyframe);
          for (const s of standIns.until(decoder.passed)) out.enqueue(s);
          return;
        }
        carried.data = frame.accessUnit.slice().buffer;
        out.enqueue(carried);
      } catch (e) {
        if (isTold(track.carrier, e)) post({ type: 'rejected', reason: e instanceof FrameError ? e.message : String(e) });
      }
    },
  });
  await transformer.readable.pipeThrough(open).pipeTo(transformer.writable);
}

scope.onrtctransform = (e: RTCTransformEvent): void => {
  // The stream ends with the connection; there is no one left to tell.
  pump(e.transformer).catch(() => undefined);
};
