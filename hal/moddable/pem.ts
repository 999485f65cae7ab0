/** The first certificate of a PEM text as DER; DER as it is; null where neither is found. */
const BEGIN = "-----BEGIN CERTIFICATE-----";
const END = "-----END CERTIFICATE-----";
const DER_SEQUENCE = 0x30;

export function derOf(certificate: ArrayBuffer | Uint8Array): Uint8Array | null {
  const bytes = certificate instanceof Uint8Array ? certificate : new Uint8Array(certificate);
  if (bytes[0] === DER_SEQUENCE) return bytes;
  const text = new TextDecoder().decode(bytes);
  const begin = text.indexOf(BEGIN), end = text.indexOf(END, begin);
  return begin < 0 || end < 0 ? null : base64(text.slice(begin + BEGIN.length, end));
}

function base64(text: string): Uint8Array | null {
  const out = new Uint8Array(Math.floor((text.length * 3) / 4));
  let length = 0, held = 0, bits = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x3d) break;
    if (code === 0x0a || code === 0x0d || code === 0x20) continue;
    const value = digit(code);
    if (value === null) return null;
    held = (held << 6) | value;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    out[length++] = (held >> bits) & 0xff;
    held &= (1 << bits) - 1;
  }
  return length === 0 ? null : out.slice(0, length);
}

function digit(code: number): number | null {
  if (code >= 0x41 && code <= 0x5a) return code - 0x41;
  if (code >= 0x61 && code <= 0x7a) return code - 0x61 + 26;
  if (code >= 0x30 && code <= 0x39) return code - 0x30 + 52;
  return code === 0x2b ? 62 : code === 0x2f ? 63 : null;
}
