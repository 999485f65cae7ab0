/**
 * Who may say what (CAPS.md). Keys come from site.json, or from a set that a maker's key signed:
 * a COSE_Sign1 like a cap token, external data "vangnet-keys-v1", payload
 * { 6: iat, -65539: version, -65540: [[kid, point, role, audiences or null, not before or null, not after or null], ...] }
 * with point = 65 bytes 04 || x || y and role = 0 operator, 1 installer, 2 owner, 3 maker. Old and
 * new keys overlap by standing in one set, each with its own time.
 */
import { CAP_SECONDS_MAX, CBOR_DEPTH_MAX, INSTALLER_TEST_MAX_S, KEY_SET_BYTES_MAX, TRUSTED_KEYS_MAX } from "../constants.js";
import type { EpochSeconds } from "../units.js";
import { CborReader } from "../wire/cbor.js";
import { decodeSign1, KID_BYTES, sigStructure, type Sign1 } from "../wire/cose.js";
import type { CapChannel, KeyRole } from "./cap.js";
import { hex, type DecodedToken } from "./decode.js";
import { refuse, type Refusal } from "./rules.js";

export const POINT_BYTES = 65;
const AUDIENCES_MAX = 8;
const AUDIENCE_CHARACTERS_MAX = 64;
const ROLES: readonly KeyRole[] = ["operator", "installer", "owner", "maker"];

export interface TrustedKey {
  /** Lower-case hex of 8 bytes. `vangnet keys new` takes the first 8 of the SHA-256 of the point. */
  readonly kid: string;
  /** 04 || x || y, uncompressed. */
  readonly point: Uint8Array;
  readonly role: KeyRole;
  /** Audiences it may speak for, whole, or up to a final "*" (`ean:8716859*`); null = any. */
  readonly audiences: readonly string[] | null;
  /** A token's iat, and our clock where it is trusted, must lie between these. */
  readonly notBefore: EpochSeconds | null;
  readonly notAfter: EpochSeconds | null;
}

/** An entry of `operator.keys` in site.json, whose shape services/site_config.ts has checked. */
export interface KeyEntry {
  readonly kid: string;
  readonly x: string;
  readonly y: string;
  readonly role: KeyRole;
  readonly audiences?: readonly string[] | undefined;
  readonly not_before?: number | undefined;
  readonly not_after?: number | undefined;
}

export function keyOfEntry(entry: KeyEntry): TrustedKey {
  const point = new Uint8Array(POINT_BYTES);
  point[0] = 4;
  putHex(point, 1, entry.x);
  putHex(point, 33, entry.y);
  return {
    kid: entry.kid, point, role: entry.role, audiences: entry.audiences ?? null,
    notBefore: entry.not_before ?? null, notAfter: entry.not_after ?? null,
  };
}

function putHex(into: Uint8Array, at: number, text: string): void {
  for (let i = 0; i < 32; i++) into[at + i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
}

/** Rules "kid" and "role": is the key known, and may it say this, by this channel, at this time? */
export function checkKey(
  keys: readonly TrustedKey[], token: DecodedToken, channel: CapChannel, utc: EpochSeconds | null,
): { readonly ok: true; readonly key: TrustedKey } | Refusal {
  const key = findKey(keys, token.kid);
  if (key === null) return refuse("kid", `key ${token.kid} is not known here`);
  const late = outsideItsTime(key, token.iat, utc);
  if (late !== null) return late;
  if (!mayAddress(key, token.aud)) return refuse("role", `key ${key.kid} may not speak for ${token.aud}`);
  switch (key.role) {
    case "maker":
      return refuse("role", "a maker's key signs updates, not caps");
    case "owner":
      // An owner's limits only ever add to the others, so they can tighten alone; the heat pump's
      // reserve is kept for the grid.
      return token.events.some((event) => event.emergency) ? refuse("role", "an owner's key may not declare an emergency") : { ok: true, key };
    case "installer":
      if (channel !== "http" && channel !== "file" && channel !== "store") return refuse("role", "an installer's key counts on the spot only (HTTP or file)");
      if (key.notAfter === null) return refuse("role", "an installer's key must have an end");
      return token.events.some(({ start, duration }) => start + duration > token.iat + INSTALLER_TEST_MAX_S)
        ? refuse("role", `an installer's test cap is over within ${INSTALLER_TEST_MAX_S} s`) : { ok: true, key };
    case "operator":
      return { ok: true, key };
  }
}

export function findKey(keys: readonly TrustedKey[], kid: string): TrustedKey | null {
  for (const key of keys) if (key.kid === kid) return key;
  return null;
}

function outsideItsTime(key: TrustedKey, iat: EpochSeconds, utc: EpochSeconds | null): Refusal | null {
  const { notBefore, notAfter } = key;
  if (notBefore !== null && (iat < notBefore || (utc !== null && utc < notBefore))) return refuse("role", `key ${key.kid} is not valid yet`);
  if (notAfter !== null && (iat > notAfter || (utc !== null && utc > notAfter))) return refuse("role", `key ${key.kid} is no longer valid`);
  return null;
}

function mayAddress(key: TrustedKey, aud: string): boolean {
  if (key.audiences === null) return true;
  for (const allowed of key.audiences) {
    if (allowed === aud || (allowed.endsWith("*") && aud.startsWith(allowed.slice(0, -1)))) return true;
  }
  return false;
}

export const KEYS_EXTERNAL_DATA = "vangnet-keys-v1";
const CLAIM_IAT = 6, CLAIM_VERSION = -65539, CLAIM_KEYS = -65540;

export interface KeySet {
  /** Strictly increasing. */
  readonly version: number;
  readonly keys: readonly TrustedKey[];
}
export interface DecodedKeySet extends KeySet {
  readonly kid: string;
  readonly iat: EpochSeconds;
  readonly message: Sign1;
}

/** Rules "size" and "structure" of a signed set of keys. The keys' bytes are copied. */
export function decodeKeySet(bytes: Uint8Array): { readonly ok: true; readonly set: DecodedKeySet } | Refusal {
  if (bytes.length > KEY_SET_BYTES_MAX) return refuse("size", `${bytes.length} bytes, at most ${KEY_SET_BYTES_MAX}`);
  const message = decodeSign1(bytes, CBOR_DEPTH_MAX);
  if ("fault" in message) return refuse("structure", `${message.field}: ${message.fault} at byte ${message.offset}`);
  const start = message.payload.byteOffset - bytes.byteOffset;
  const reader = new CborReader(bytes, start, start + message.payload.length);
  reader.map(3);
  reader.key(CLAIM_IAT);
  const iat = reader.uint(CAP_SECONDS_MAX);
  reader.key(CLAIM_VERSION);
  const version = reader.uint(Number.MAX_SAFE_INTEGER);
  reader.key(CLAIM_KEYS);
  const count = reader.array(1, TRUSTED_KEYS_MAX);
  const keys: TrustedKey[] = [];
  for (let i = 0; i < count && reader.fault === null; i++) {
    const key = readKey(reader);
    if (reader.fault === null && findKey(keys, key.kid) !== null) return refuse("structure", `key ${key.kid} stands there twice`);
    keys.push(key);
  }
  if (reader.fault !== null) return refuse("structure", `key set: ${reader.fault} at byte ${reader.offset}`);
  // Without a maker's key no later set could be signed.
  if (!keys.some((key) => key.role === "maker")) return refuse("structure", "key set without a maker's key");
  return { ok: true, set: { kid: hex(message.kid), iat, version, keys, message } };
}

function readKey(reader: CborReader): TrustedKey {
  reader.array(6, 6);
  const kid = hex(reader.byteString(KID_BYTES, KID_BYTES));
  const from = reader.at;
  const point = reader.byteString(POINT_BYTES, POINT_BYTES).slice();
  if (reader.fault === null && point[0] !== 4) reader.fail("out of range", from);
  const role = ROLES[reader.uint(ROLES.length - 1)]!;
  let audiences: string[] | null = null;
  if (reader.bytes[reader.at] === 0xf6) reader.uintOrNull(0);
  else {
    audiences = [];
    const count = reader.array(1, AUDIENCES_MAX);
    for (let i = 0; i < count; i++) audiences.push(reader.text(AUDIENCE_CHARACTERS_MAX));
  }
  return { kid, point, role, audiences, notBefore: reader.uintOrNull(CAP_SECONDS_MAX), notAfter: reader.uintOrNull(CAP_SECONDS_MAX) };
}

export const signedKeySetBytes = (set: DecodedKeySet): Uint8Array => sigStructure(set.message, KEYS_EXTERNAL_DATA);

/** Rules "kid" and "role" for a set: only a maker's key that is trusted now may replace the set. */
export function checkKeySetSigner(keys: readonly TrustedKey[], set: DecodedKeySet, utc: EpochSeconds | null): { readonly ok: true; readonly key: TrustedKey } | Refusal {
  const key = findKey(keys, set.kid);
  if (key === null) return refuse("kid", `key ${set.kid} is not known here`);
  if (key.role !== "maker") return refuse("role", "only a maker's key signs the set of keys");
  return outsideItsTime(key, set.iat, utc) ?? { ok: true, key };
}

/**
 * The keys that count: site.json's alone while there is no signed set. With one, it alone names
 * operators and makers, so that it can take a key away; site.json keeps those of the people on the
 * spot, installer and owner.
 */
export function trustedKeys(configured: readonly TrustedKey[], signed: KeySet | null): readonly TrustedKey[] {
  if (signed === null) return configured;
  const local = configured.filter((key) => (key.role === "installer" || key.role === "owner") && findKey(signed.keys, key.kid) === null);
  return [...signed.keys, ...local];
}
