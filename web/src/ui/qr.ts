import decodeQR from 'qr/decode.js';

// Reads QR codes from pictures and from the device's camera.

const maxSide = 1024; // larger pictures are scaled down: a code is legible at this size

function read(source: CanvasImageSource, width: number, height: number): string | undefined {
  const scale = Math.min(1, maxSide / Math.max(width, height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (!context || canvas.width === 0 || canvas.height === 0) return undefined;

  context.drawImage(source, 0, 0, canvas.width, canvas.height);

  try {
    return decodeQR(context.getImageData(0, 0, canvas.width, canvas.height));
  } catch {
    return undefined; // the picture has no code
  }
}

/** Returns the text of the QR code in a picture; undefined if it has none. Throws if the file is no picture. */
export async function readPicture(file: Blob): Promise<string | undefined> {
  const bitmap = await createImageBitmap(file);
  try {
    return read(bitmap, bitmap.width, bitmap.height);
  } finally {
    bitmap.close();
  }
}

/** Shows the device's camera in video and resolves to the first code it sees; undefined once signal is aborted. */
export async function scanLens(video: HTMLVideoElement, signal: AbortSignal): Promise<string | undefined> {
  const stream = await navigator.mediaDevices.getUserMedia({
    video: { facingMode: 'environment', width: { ideal: 1280 } },
  });
  try {
    video.srcObject = stream;
    await video.play();

    while (!signal.aborted) {
      const code = read(video, video.videoWidth, video.videoHeight);
      if (code !== undefined) return code;
      await new Promise((resolve) => setTimeout(resolve, 120));
    }

    return undefined;
  } finally {
    video.srcObject = null;
    for (const track of stream.getTracks()) track.stop();
  }
}
