// The protocol's bytes (docs/protocol.md): headers of binary messages, both ways. No connection.

const IN_HEADER = 16;
const OUT_HEADER = 24;
const VERSION = 1;
const PCM = 1;
const PICTURE = 2;
const FLAG_LAST = 1;

/** One message of media: `payload` is an ArrayBuffer or a typed array, `ptsUs` a whole number. */
export function encodeMedia(kind, sequence, ptsUs, payload) {
  const bytes = payload instanceof ArrayBuffer ? new Uint8Array(payload)
    : new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength);
  const message = new Uint8Array(IN_HEADER + bytes.length);
  const view = new DataView(message.buffer);
  view.setUint8(0, kind === "pcm" ? PCM : PICTURE);
  view.setUint8(1, VERSION);
  view.setUint32(4, sequence >>> 0, true);
  view.setBigInt64(8, BigInt(ptsUs), true);
  message.set(bytes, IN_HEADER);
  return message;
}

/** Sound in [-1, 1] as 16-bit PCM, little-endian. */
export function pcm16(samples) {
  const out = new DataView(new ArrayBuffer(samples.length * 2));
  for (let i = 0; i < samples.length; i++) {
    const level = Math.max(-1, Math.min(1, samples[i]));
    out.setInt16(2 * i, Math.round(level * 32767), true);
  }
  return out.buffer;
}

/** A chunk of an answer's sound; null for a message of another kind or version. */
export function decodeAnswer(buffer) {
  if (buffer.byteLength < OUT_HEADER) return null;
  const view = new DataView(buffer);
  if (view.getUint8(0) !== PCM || view.getUint8(1) !== VERSION) return null;
  const count = (buffer.byteLength - OUT_HEADER) >> 1;
  const samples = new Float32Array(count);
  for (let i = 0; i < count; i++) samples[i] = view.getInt16(OUT_HEADER + 2 * i, true) / 32768;
  return {
    last: (view.getUint16(2, true) & FLAG_LAST) !== 0,
    generation: view.getUint32(4, true),
    utterance: view.getInt32(8, true),
    firstSample: view.getUint32(12, true),
    ptsUs: Number(view.getBigInt64(16, true)),
    samples,
  };
}
