import { TOKEN_BYTES_MAX, TOKEN_TEXT_CHARACTERS_MAX } from "../constants.js";
import { refuse, type Refusal } from "./rules.js";

/** Tokens in the meter's text field (P1 0-0:96.13.0) begin so; other texts are for people. */
export const TEXT_PREFIX = "VN1:";

/**
 * The text field → the token's bytes. Null where the text is not for us. Base64url (RFC 4648 5),
 * strictly: no padding, no white space, no bits left over.
 */
export function tokenFromText(text: string): { readonly ok: true; readonly bytes: Uint8Array } | Refusal | null {
  if (!text.startsWith(TEXT_PREFIX)) return null;
  if (text.length > TOKEN_TEXT_CHARACTERS_MAX) return refuse("size", `text of ${text.length} characters, at most ${TOKEN_TEXT_CHARACTERS_MAX}`);
  const start = TEXT_PREFIX.length, count = text.length - start;
  if (count % 4 === 1) return refuse("structure", "base64url cut off");
  const out = new Uint8Array(Math.min(TOKEN_BYTES_MAX, (count * 3) >> 2));
  let bits = 0, held = 0, at = 0;
  for (let i = start; i < text.length; i++) {
    const value = sextet(text.charCodeAt(i));
    if (value < 0) return refuse("structure", `no base64url at character ${i}`);
    held = ((held << 6) | value) & 0xfff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out[at++] = (held >> bits) & 0xff;
    }
  }
  if ((held & ((1 << bits) - 1)) !== 0) return refuse("structure", "base64url with bits left over");
  return { ok: true, bytes: out };
}

function sextet(code: number): number {
  if (code >= 0x41 && code <= 0x5a) return code - 0x41;
  if (code >= 0x61 && code <= 0x7a) return code - 0x61 + 26;
  if (code >= 0x30 && code <= 0x39) return code - 0x30 + 52;
  return code === 0x2d ? 62 : code === 0x5f ? 63 : -1;
}
