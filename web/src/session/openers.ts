import type { Port } from '../media/workermessages';
import { workerURL } from './trusted';

// One worker opens the frames of all sessions of the page. It is loaded for the first of them, and stays: when another
// begins, the relay that has served the page may be gone.

let worker: Worker | undefined;

function pageWorker(): Worker {
  if (worker !== undefined) return worker;

  const loading = new Worker(workerURL, { type: 'module' });
  // An error of its code is an ErrorEvent, and leaves the worker as it is.
  loading.onerror = (e: Event): void => {
    if (worker === loading && !(e instanceof ErrorEvent)) worker = undefined;
  };
  worker = loading;
  return loading;
}

/** Has the worker open what a receiver gets, and returns the port to it. It must be called before negotiation. */
export function openFrames(receiver: RTCRtpReceiver): Port {
  const { port1, port2 } = new MessageChannel();
  receiver.transform = new RTCRtpScriptTransform(pageWorker(), { port: port2 }, [port2]);
  return port1;
}
