/** ECDSA P-256 with SHA-256 through an ESP32's PSA crypto, in a task of its own: esp32/p256.c. */

/**
 * False where another is under way or memory is short: to be asked again. `done` comes later.
 * `publicKey`: 65 bytes. `signature`: r || s, 64 bytes. `message`: up to 4,096 bytes.
 */
export function beginVerify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array, done: (valid: boolean) => void): boolean {
  return native<(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array, done: (valid: boolean) => void) => boolean>("vangnet_p256_verify")
    .call(undefined as never, publicKey, message, signature, done);
}
