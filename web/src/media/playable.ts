import type { Carrier } from './carrier';

/** This browser played a track without saying which picture it showed, so none could be called live. */
let untold = false;

/** From now on, this page draws the pictures of its sessions itself. */
export function playNoTracks(): void {
  untold = true;
}

/**
 * Returns what this browser can play, best first: H.264 in WebRTC if it offers that and says which picture it shows,
 * and WebCodecs behind VP8 in every browser.
 */
export function playable(): Carrier[] {
  if (untold || !('requestVideoFrameCallback' in HTMLVideoElement.prototype)) return ['vp8'];
  const codecs = RTCRtpReceiver.getCapabilities('video')?.codecs ?? [];
  const plays = ({ mimeType, sdpFmtpLine = '' }: RTCRtpCodec): boolean =>
    mimeType === 'video/H264' && /packetization-mode=1/.test(sdpFmtpLine) && /profile-level-id=42e0/i.test(sdpFmtpLine);
  return codecs.some(plays) ? ['h264', 'vp8'] : ['vp8'];
}
