/** H.264 profiles that some cameras use and not every browser decodes, by profile_idc in hex (H.264, A.2). */
const profiles: Record<string, string> = { '6e': '10 bit', '7a': '4:2:2', f4: '4:4:4' };

/**
 * Tells a person why this browser cannot decode the picture, from the decoder's reason and the stream's WebCodecs name.
 */
export function explainUndecodable(reason: string, codec: string): string {
  const profile = profiles[codec.slice('avc1.'.length, 'avc1.'.length + 2)];
  if (profile === undefined) return `This browser cannot decode the picture: ${reason}`;
  return `This browser cannot decode ${profile} video. Set the camera to H.264 Main or High, or use another browser.`;
}
