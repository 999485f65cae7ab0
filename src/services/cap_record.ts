/**
 * A stored token: sequence, role and bytes in one value of the store, so that one atomic write keeps
 * them together. The sequence and its owner stand before the token, and are still read should a
 * later version refuse the token itself.
 *
 * 0 version (1) · 1 role, +16 where no clock had seen its times · 2 kid (8) · 10 seq (high 4, low 4) · 18 n, aud (n) · 19 + n length (2) and
 * token · first 4 bytes of the SHA-256 of all before.
 */
import { TOKEN_BYTES_MAX } from "../constants.js";
import type { KeyRole } from "../token/cap.js";
import { hex } from "../token/decode.js";

const VERSION = 1;
const HEAD = 19;
const CHECK = 4;
const UNTIMED = 16;
const ROLES: readonly KeyRole[] = ["operator", "installer", "owner", "maker"];

export interface CapRecord {
  readonly role: KeyRole;
  readonly kid: string;
  readonly aud: string;
  readonly seq: number;
  readonly token: Uint8Array;
  /** Its times were compared with a trusted clock. */
  readonly isTimely: boolean;
}

export function encodeRecord(record: CapRecord, sha256: (data: Uint8Array) => Uint8Array): Uint8Array {
  const { aud, token, seq } = record;
  const out = new Uint8Array(HEAD + aud.length + 2 + token.length + CHECK);
  out[0] = VERSION;
  out[1] = ROLES.indexOf(record.role) + (record.isTimely ? 0 : UNTIMED);
  for (let i = 0; i < 8; i++) out[2 + i] = Number.parseInt(record.kid.slice(2 * i, 2 * i + 2), 16);
  putUint32(out, 10, Math.floor(seq / 0x1_0000_0000));
  putUint32(out, 14, seq % 0x1_0000_0000);
  out[18] = aud.length;
  for (let i = 0; i < aud.length; i++) out[HEAD + i] = aud.charCodeAt(i);
  const at = HEAD + aud.length;
  out[at] = token.length >> 8;
  out[at + 1] = token.length & 0xff;
  out.set(token, at + 2);
  out.set(sha256(out.subarray(0, out.length - CHECK)).subarray(0, CHECK), out.length - CHECK);
  return out;
}

/** Null where the bytes are no whole record of ours. */
export function decodeRecord(bytes: Uint8Array, sha256: (data: Uint8Array) => Uint8Array): CapRecord | null {
  if (bytes.length < HEAD + 2 + CHECK || bytes[0] !== VERSION) return null;
  const end = bytes.length - CHECK, sum = sha256(bytes.subarray(0, end));
  for (let i = 0; i < CHECK; i++) if (sum[i] !== bytes[end + i]) return null;
  const role = ROLES[bytes[1]! & ~UNTIMED], at = HEAD + bytes[18]!;
  if (role === undefined || at + 2 > end) return null;
  const length = (bytes[at]! << 8) | bytes[at + 1]!;
  if (length > TOKEN_BYTES_MAX || at + 2 + length !== end) return null;
  let aud = "";
  for (let i = HEAD; i < at; i++) aud += String.fromCharCode(bytes[i]!);
  return {
    role, isTimely: (bytes[1]! & UNTIMED) === 0, kid: hex(bytes.subarray(2, 10)), aud,
    seq: uint32(bytes, 10) * 0x1_0000_0000 + uint32(bytes, 14), token: bytes.slice(at + 2, end),
  };
}

function putUint32(into: Uint8Array, at: number, value: number): void {
  for (let i = 3; i >= 0; i--) {
    into[at + i] = value % 256;
    value = Math.floor(value / 256);
  }
}

const uint32 = (bytes: Uint8Array, at: number): number =>
  bytes[at]! * 0x100_0000 + ((bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!);
