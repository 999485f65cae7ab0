/** Tokens for tests, made by the operator's side (cbor-x, node:crypto), never by the code under test. */
import { verifyP256Sync } from "../../hal/node/crypto.js";
import { keyOfEntry, type TrustedKey } from "../../src/token/keys.js";
import { encodeToken, keyFromJwk, newKey, type OperatorClaims, type OperatorEvent, type Role, type SigningKey } from "../../tools/operator/encode.js";
import { publicEntry } from "../../tools/operator/files.js";

export const TEST_EAN = "871685900000000006";
/** 2026-01-15 17:00:00 UTC. */
export const TEST_NOW = 1_768_496_400;

/** A fixed key pair per role, so that seeds replay. Known to everybody: for tests alone. */
export function testKey(role: Role = "operator"): SigningKey {
  let key = fixed.get(role);
  if (!key) fixed.set(role, (key = keyFromJwk(FIXED_KEYS[role], role)));
  return key;
}
const fixed = new Map<Role, SigningKey>();

export const trusted = (key: SigningKey, more: Partial<TrustedKey> = {}): TrustedKey => ({ ...keyOfEntry({ ...publicEntry(key), audiences: undefined, not_before: undefined, not_after: undefined }), ...more });

export const makeEvent = (event: Partial<OperatorEvent> = {}): OperatorEvent => ({
  id: "0a0b0c0d", start: TEST_NOW, duration: 7_200, importLimit: 4_200, exportLimit: null,
  emergency: false, controllable: false, release: null, ...event,
});

export interface TokenOptions extends Partial<OperatorClaims> { readonly key?: SigningKey }

/** Default: `ean:` of TEST_EAN, sequence 1, iat TEST_NOW, exp 15 minutes on, one import cap of 4,200 W for 2 h. */
export function makeToken({ key = testKey(), ...claims }: TokenOptions = {}): Uint8Array {
  const iat = claims.iat ?? TEST_NOW;
  return encodeToken({ aud: `ean:${TEST_EAN}`, seq: 1, iat, exp: iat + 900, events: [makeEvent()], ...claims }, key);
}

/** Verification at once, for tests under virtual time. */
export const verifyNow = (point: Uint8Array, message: Uint8Array, signature: Uint8Array, done: (valid: boolean) => void): void =>
  done(verifyP256Sync(point, message, signature));

export { newKey };

const FIXED_KEYS: Record<Role, { kty: string; crv: string; x: string; y: string; d: string }> = {
  operator: { kty: "EC", crv: "P-256", x: "W2v7ptnObuUJfD4cm5DQ1NEUQ4Idi2TlkNZXKSXzaEs", y: "BkCGkTAo0AYA3xtrQdM9MzE3p72Qgglehdb_dAG3XFI", d: "rJaRTL9sBMfh8xkPlAPvTqomEw_IemZe0hqF6F-FSq8" },
  installer: { kty: "EC", crv: "P-256", x: "rS5FPmKdf71_mc-_069aFmTfd_d0oapK7sbAX34Iu3M", y: "DR9mwKW-UG4ojKJVyX4oZ6BE0IEwg7qimQogV4DQbq8", d: "s9WCOmAcjrYF9dOuX5UV1KOnNe1m1HavbINjUzbzj8Y" },
  owner: { kty: "EC", crv: "P-256", x: "BuNLMpuVcdDRqztlPdHx9ISIb3RMiFIFqc4f4BFCBxY", y: "fxoWPBBdR9XhCy9wWIAcNuDgaz496pGA7swhBlPaceA", d: "CXm-_iV2r0XboBBwHCsRZ-yUfEepyxr0MVBDHnrLFTo" },
  maker: { kty: "EC", crv: "P-256", x: "uAz-nDIsq3hl29SjXmVuF-c2Ny8OaObZ7FVUQCBug5g", y: "0rbLxQTu08qfGWPFcDsbCJoIkEoofB1s04Co2jN_e2Y", d: "a_2SalrzUD6Ob4JkyfpK5tqAqXlyvYOvpg7WNOrSrQc" },
};
