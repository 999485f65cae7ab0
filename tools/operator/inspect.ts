/** `cap inspect`: what a token says, told by the device's own decoder and rules. */
import { existsSync, readFileSync } from "node:fs";
import { Decoder } from "cbor-x";
import { verifyP256 } from "../../hal/node/crypto.js";
import type { CapEvent } from "../../src/token/cap.js";
import { decodeToken, signedBytes, type DecodedToken } from "../../src/token/decode.js";
import type { Refusal } from "../../src/token/rules.js";
import { TEXT_PREFIX, tokenFromText } from "../../src/token/text.js";
import { signatureInRange } from "../../src/wire/p256.js";

export interface PublicKey { readonly kid: string; readonly x: string; readonly y: string }

/** A file's name, hex, the text field, or the text field's hex out of a telegram → bytes. */
export function readToken(text: string): { readonly ok: true; readonly bytes: Uint8Array } | Refusal {
  if (text.startsWith(TEXT_PREFIX)) return tokenFromText(text)!;
  if (/^([0-9a-fA-F]{2})+$/.test(text)) return fromContent(Buffer.from(text, "hex"));
  if (!existsSync(text)) throw new Error(`${text}: neither a file, nor hex, nor ${TEXT_PREFIX}…`);
  const content = readFileSync(text);
  const line = content.toString("latin1").trim();
  if (line.startsWith(TEXT_PREFIX)) return tokenFromText(line)!;
  return /^([0-9a-fA-F]{2})+$/.test(line) ? fromContent(Buffer.from(line, "hex")) : { ok: true, bytes: new Uint8Array(content) };
}

function fromContent(bytes: Buffer): { readonly ok: true; readonly bytes: Uint8Array } | Refusal {
  return tokenFromText(bytes.toString("latin1")) ?? { ok: true, bytes: new Uint8Array(bytes) };
}

export type Inspection =
  | (Refusal & { readonly generic: unknown })
  | { readonly ok: true; readonly token: DecodedToken; /** Null where no key of this kid was given. */ readonly signature: "valid" | "invalid" | "out of range" | null };

export async function inspect(bytes: Uint8Array, keys: readonly PublicKey[]): Promise<Inspection> {
  const decoded = decodeToken(bytes);
  if (!decoded.ok) return { ...decoded, generic: generic(bytes) };
  const { token } = decoded;
  if (!signatureInRange(token.message.signature)) return { ok: true, token, signature: "out of range" };
  const key = keys.find(({ kid }) => kid === token.kid);
  if (!key) return { ok: true, token, signature: null };
  const point = new Uint8Array(Buffer.from(`04${key.x}${key.y}`, "hex"));
  const valid = await new Promise<boolean>((done) => verifyP256(point, signedBytes(token), token.message.signature, done));
  return { ok: true, token, signature: valid ? "valid" : "invalid" };
}

/** What a general decoder makes of bytes that ours refuses; undefined where it cannot read them either. */
function generic(bytes: Uint8Array): unknown {
  try {
    return new Decoder({ mapsAsObjects: false, useRecords: false }).decode(bytes);
  } catch {
    return undefined;
  }
}

export function eventText(event: Omit<CapEvent, "release"> & { readonly release: number | null }): string {
  const limit = (watts: number | null, word: string) => (watts === null ? null : `${word} ${watts} W`);
  return [
    [limit(event.importLimit, "import"), limit(event.exportLimit, "export")].filter((part) => part !== null).join(", ") || "no limit",
    event.controllable ? "controllable devices together" : "net at the meter",
    event.emergency ? "emergency" : null,
  ].filter((part) => part !== null).join("; ");
}
