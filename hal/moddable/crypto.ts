/**
 * ECDSA P-256 by the SDK's `ecdsa`, which is JavaScript over C big integers. A
 * chip has better: its board's platform brings its own `verifyP256`. The callers have checked r and
 * s already (hal/ecma419.ts); that the key is a point of the curve is checked here.
 */
import Curve from "curve";
import ECDSA from "ecdsa";
import ECPoint from "ecp";
import { sha256 } from "./digest.js";
import type { Log } from "./guard.js";
import { later } from "./timer.js";

/** SEC 2, 2.4.2 (secp256r1): p and b; a is -3. */
const P = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffffn;
const B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn;

function point(publicKey: Uint8Array): ECPoint | null {
  if (publicKey.length !== 65 || publicKey[0] !== 4) return null;
  const x = BigInt.fromArrayBuffer(publicKey.slice(1, 33).buffer as ArrayBuffer);
  const y = BigInt.fromArrayBuffer(publicKey.slice(33, 65).buffer as ArrayBuffer);
  if (x >= P || y >= P || (y * y - (x * x * x - 3n * x + B)) % P !== 0n) return null;
  return new ECPoint(x, y);
}

export function verifyP256(log: Log, publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array, done: (valid: boolean) => void): void {
  // Copies: the callers may use their buffers again before the later turn.
  const [key, text, rs] = [publicKey.slice(), message.slice(), signature.slice()];
  later(log, () => {
    let valid = false;
    try {
      const q = rs.length === 64 ? point(key) : null;
      if (q !== null) valid = new ECDSA(q, new Curve("secp256r1")).verify(sha256(text).buffer as ArrayBuffer, rs.buffer as ArrayBuffer);
    } catch (error) {
      log(`p256: ${String(error)}`);
    }
    done(valid);
  });
}
