/** ECDSA P-256 on the chip's own crypto: one at a time, those that wait in the order they came. */
import type { Log } from "../guard.js";
import { beginVerify } from "../native/p256.js";
import { later, moddableTimer } from "../timer.js";

/** So many wait at most: above that an answer is "not valid", told in the log. */
export const VERIFICATIONS_WAITING_MAX = 4;
const RETRY_MS = 100;
/** Memory that is short for so long is not going to come. */
const TRIES = 50;

interface Task {
  readonly key: Uint8Array;
  readonly message: Uint8Array;
  readonly signature: Uint8Array;
  readonly done: (valid: boolean) => void;
}

export type VerifyP256 = (publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array, done: (valid: boolean) => void) => void;

export function chipVerifier(log: Log): VerifyP256 {
  const waiting: Task[] = [];
  const timer = moddableTimer(log);

  const refuse = (why: string, done: (valid: boolean) => void): void => {
    log(`p256: ${why}`);
    later(log, () => done(false));
  };
  const next = (): void => {
    waiting.shift();
    if (waiting.length > 0) begin(TRIES);
  };
  const begin = (tries: number): void => {
    const { key, message, signature, done } = waiting[0]!;
    try {
      const begun = beginVerify(key, message, signature, (valid) => {
        next();
        done(valid);
      });
      if (begun) return;
      if (tries > 1) {
        timer.set(() => begin(tries - 1), RETRY_MS);
        return;
      }
      refuse("no memory", done);
    } catch (error) {
      refuse(String(error), done);
    }
    next();
  };

  return (publicKey, message, signature, done) => {
    if (waiting.length >= VERIFICATIONS_WAITING_MAX) return refuse("too many at once", done);
    waiting.push({ key: publicKey.slice(), message: message.slice(), signature: signature.slice(), done });
    if (waiting.length === 1) begin(TRIES);
  };
}
