/**
 * The operator's side of a cap token: cbor-x and node:crypto, and nothing of src/wire or src/token,
 * so that two independent implementations must agree on every byte.
 */
import { createHash, createPrivateKey, generateKeyPairSync, sign, type JsonWebKey, type KeyObject } from "node:crypto";
import { Encoder, Tag } from "cbor-x";

export type Role = "operator" | "installer" | "owner" | "maker";

export interface SigningKey {
  /** 16 hex digits: the first 8 bytes of the SHA-256 of the uncompressed point. */
  readonly kid: string;
  readonly role: Role;
  /** Hex, 32 bytes each. */
  readonly x: string;
  readonly y: string;
  readonly privateKey: KeyObject;
}

export interface OperatorEvent {
  /** 8 to 16 hex digits. */
  readonly id: string;
  readonly start: number;
  readonly duration: number;
  /** W; null = no limit in that direction, 0 = nothing may flow. */
  readonly importLimit: number | null;
  readonly exportLimit: number | null;
  readonly emergency: boolean;
  readonly controllable: boolean;
  /** Seconds; null = the rule of CAPS.md. */
  readonly release: number | null;
}

export interface OperatorClaims {
  readonly aud: string;
  readonly seq: number;
  readonly iat: number;
  readonly exp: number;
  readonly events: readonly OperatorEvent[];
}

export const CAP_CONTEXT = "vangnet-cap-v1";
export const KEY_SET_CONTEXT = "vangnet-keys-v1";
const ES256 = -7;

const encoder = new Encoder({ useRecords: false, mapsAsObjects: false, tagUint8Array: false, variableMapSize: true, structuredClone: false });
export const cbor = (value: unknown): Uint8Array => new Uint8Array(encoder.encode(value));

/** cbor-x writes numbers from 2^32 as floats and small bigints in 8 bytes: each gets the form that is shortest. */
export function whole(value: number, name: string): number | bigint {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${name}: ${value} is no whole number from 0`);
  return value > 0xffff_ffff ? BigInt(value) : value;
}

export function encodeClaims(claims: OperatorClaims): Uint8Array {
  const events = claims.events.map((event) => {
    const flags = (event.emergency ? 1 : 0) | (event.controllable ? 2 : 0);
    const limit = (value: number | null, name: string) => (value === null ? null : whole(value, name));
    const entries = [Buffer.from(event.id, "hex"), whole(event.start, "start"), whole(event.duration, "duration"),
      limit(event.importLimit, "import limit"), limit(event.exportLimit, "export limit"), flags];
    return event.release === null ? entries : [...entries, whole(event.release, "release")];
  });
  return cbor(new Map<number, unknown>([
    [3, claims.aud], [4, whole(claims.exp, "exp")], [6, whole(claims.iat, "iat")], [-65537, whole(claims.seq, "seq")], [-65538, events],
  ]));
}

/** COSE_Sign1 over any payload. Tests sign wrong payloads with it too. */
export function sign1(payload: Uint8Array, key: SigningKey, context: string, algorithm = ES256): Uint8Array {
  const header = cbor(new Map<number, unknown>([[1, algorithm], [4, Buffer.from(key.kid, "hex")]]));
  const toSign = cbor(["Signature1", header, Buffer.from(context, "ascii"), payload]);
  const signature = sign("sha256", toSign, { key: key.privateKey, dsaEncoding: "ieee-p1363" });
  return cbor(new Tag([header, new Map(), payload, signature], 18));
}

export const encodeToken = (claims: OperatorClaims, key: SigningKey): Uint8Array => sign1(encodeClaims(claims), key, CAP_CONTEXT);

export interface KeySetEntry {
  readonly kid: string;
  readonly x: string;
  readonly y: string;
  readonly role: Role;
  readonly audiences?: readonly string[] | null;
  readonly not_before?: number | null;
  readonly not_after?: number | null;
}

/** The signed set of keys (src/token/keys.ts tells its form). */
export function encodeKeySet(version: number, iat: number, entries: readonly KeySetEntry[], key: SigningKey): Uint8Array {
  const keys = entries.map((entry) => [
    Buffer.from(entry.kid, "hex"), Buffer.from(`04${entry.x}${entry.y}`, "hex"), ["operator", "installer", "owner", "maker"].indexOf(entry.role),
    entry.audiences ?? null, entry.not_before ?? null, entry.not_after ?? null,
  ]);
  return sign1(cbor(new Map<number, unknown>([[6, whole(iat, "iat")], [-65539, whole(version, "version")], [-65540, keys]])), key, KEY_SET_CONTEXT);
}

/** The meter's text field: 4 + 960 characters at most, and the hex that stands around it in a telegram. */
export function toTextField(token: Uint8Array): { readonly text: string; readonly hex: string } {
  const text = `VN1:${Buffer.from(token).toString("base64url")}`;
  return { text, hex: Buffer.from(text, "ascii").toString("hex").toUpperCase() };
}

const hexOf = (base64url: string | undefined) => Buffer.from(base64url ?? "", "base64url").toString("hex").padStart(64, "0");

export function keyFromJwk(jwk: JsonWebKey, role: Role): SigningKey {
  const privateKey = createPrivateKey({ format: "jwk", key: jwk });
  if (privateKey.asymmetricKeyDetails?.namedCurve !== "prime256v1") throw new Error("not a P-256 key");
  const { x, y } = privateKey.export({ format: "jwk" });
  const point = Buffer.from(`04${hexOf(x)}${hexOf(y)}`, "hex");
  return { kid: createHash("sha256").update(point).digest("hex").slice(0, 16), role, x: hexOf(x), y: hexOf(y), privateKey };
}

export function newKey(role: Role): SigningKey {
  return keyFromJwk(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" }), role);
}
