/** Order n of the P-256 group, big-endian (SEC 2, secp256r1). Only read. */
const ORDER = [
  0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
  0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/**
 * 0 < r < n and 0 < s < n of a 64-byte r || s. Checked before any library sees them: with s = 0 the
 * chip's ECDSA hangs, and s + n verifies there (MODDABLE.md). High s is allowed: ordinary signers
 * make it, and a replay is stopped by the sequence.
 */
export function signatureInRange(signature: Uint8Array): boolean {
  return signature.length === 64 && inRange(signature, 0) && inRange(signature, 32);
}

function inRange(bytes: Uint8Array, start: number): boolean {
  let isZero = true;
  for (let i = 0; i < 32 && isZero; i++) isZero = bytes[start + i] === 0;
  if (isZero) return false;
  for (let i = 0; i < 32; i++) {
    const difference = bytes[start + i]! - ORDER[i]!;
    if (difference !== 0) return difference < 0;
  }
  return false;
}
