/** SHA-256 and ECDSA P-256 over node:crypto. */
import { createHash, createPublicKey, verify, type KeyObject } from "node:crypto";

export const sha256 = (data: Uint8Array): Uint8Array => new Uint8Array(createHash("sha256").update(data).digest());

/** Null where the bytes are no point of the curve. `publicKey`: 65 bytes, 04 || x || y. */
function importKey(publicKey: Uint8Array): KeyObject | null {
  if (publicKey.length !== 65 || publicKey[0] !== 4) return null;
  const text = (from: number) => Buffer.from(publicKey.subarray(from, from + 32)).toString("base64url");
  try {
    return createPublicKey({ format: "jwk", key: { kty: "EC", crv: "P-256", x: text(1), y: text(33) } });
  } catch {
    return null;
  }
}

/** Answers on a later turn, from libuv's thread pool: the loop goes on meanwhile. */
export function verifyP256(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array, done: (valid: boolean) => void): void {
  const key = importKey(publicKey);
  if (key === null || signature.length !== 64) {
    setImmediate(done, false);
    return;
  }
  try {
    verify("sha256", new Uint8Array(message), { key, dsaEncoding: "ieee-p1363" }, new Uint8Array(signature), (error, valid) => done(!error && valid));
  } catch {
    setImmediate(done, false);
  }
}

/** The same at once, for the simulator, whose time does not wait for threads. */
export function verifyP256Sync(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  const key = importKey(publicKey);
  if (key === null || signature.length !== 64) return false;
  try {
    return verify("sha256", message, { key, dsaEncoding: "ieee-p1363" }, signature);
  } catch {
    return false;
  }
}
