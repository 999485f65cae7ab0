/**
 * The keys that count: site.json's, and the newest set that a maker's key signed. A set is taken
 * like a cap token: size, structure, kid, role, range, signature, sequence (its version), then the
 * store, then in force. A set that is not kept is not in force: after a power cut the house must
 * not trust other keys than before.
 *
 * A set that was stored and cannot be read leaves site.json's keys, and a house that counts as one
 * with an operator: what is not known must not relax.
 */
import { VERIFY_TIMEOUT_MS } from "../constants.js";
import type { TrustedKey } from "../token/keys.js";
import { checkKeySetSigner, decodeKeySet, signedKeySetBytes, trustedKeys, type DecodedKeySet, type KeySet } from "../token/keys.js";
import { refuse, type TokenRule } from "../token/rules.js";
import type { EpochSeconds, Millis } from "../units.js";
import { signatureInRange } from "../wire/p256.js";
import type { RecordStore, TokenPlatform } from "./cap_inbox.js";

const STORE_KEY = "keys";

export interface KeyRingOptions {
  readonly configured: readonly TrustedKey[];
  readonly store: RecordStore;
  readonly platform: Pick<TokenPlatform, "verifyP256" | "monotonic">;
  readonly utc: () => EpochSeconds | null;
}

/** "busy": another set is being checked; "store": it could not be kept. Not a word about the set, which may be offered again. */
export type KeySetRule = TokenRule | "busy" | "store";

export type KeySetOutcome =
  | { readonly ok: true; readonly version: number; readonly repeat: boolean }
  | { readonly ok: false; readonly rule: KeySetRule; readonly detail: string };

interface Checking {
  readonly until: Millis;
  finish(outcome: KeySetOutcome): void;
}

export class KeyRing {
  readonly #options: KeyRingOptions;
  #signed: KeySet | null = null;
  #keys: readonly TrustedKey[];
  #isLost = false;
  #checking: Checking | null = null;

  constructor(options: KeyRingOptions) {
    this.#options = options;
    this.#keys = options.configured;
  }

  /** At boot. False where a set was stored and cannot be read: then site.json's keys count. */
  restore(): boolean {
    const loaded = this.#options.store.load(STORE_KEY);
    if (loaded.kind === "absent") return true;
    const decoded = loaded.kind === "value" ? decodeKeySet(loaded.bytes) : null;
    this.#isLost = decoded?.ok !== true;
    if (decoded?.ok) this.#take(decoded.set);
    return !this.#isLost;
  }

  keys(): readonly TrustedKey[] {
    return this.#keys;
  }

  /** An operator's key is trusted, or was perhaps in a set that is lost: there is a link to lose. */
  get hasOperator(): boolean {
    return this.#isLost || this.#keys.some((key) => key.role === "operator");
  }

  /** 0 while no signed set is in force. */
  get version(): number {
    return this.#signed?.version ?? 0;
  }

  /** One at a time. `done` is called once, at once or on a later turn. */
  offer(bytes: Uint8Array, done: (outcome: KeySetOutcome) => void): void {
    const own = bytes.slice();
    const decoded = decodeKeySet(own);
    if (!decoded.ok) return done(decoded);
    const { set } = decoded;
    const signer = checkKeySetSigner(this.#keys, set, this.#options.utc());
    if (!signer.ok) return done(signer);
    if (!signatureInRange(set.message.signature)) return done(refuse("range", "r or s is not within 1 and n - 1"));
    const { platform } = this.#options;
    const now = platform.monotonic();
    if (this.#checking !== null) {
      if (now < this.#checking.until) return done({ ok: false, rule: "busy", detail: "another set of keys is being checked" });
      this.#checking.finish(refuse("signature", `the check did not answer within ${VERIFY_TIMEOUT_MS} ms`));
    }
    const checking: Checking = {
      until: now + VERIFY_TIMEOUT_MS,
      finish: (outcome) => {
        this.#checking = null;
        done(outcome);
      },
    };
    this.#checking = checking;
    platform.verifyP256(signer.key.point, signedKeySetBytes(set), set.message.signature, (valid) => {
      // Neither a second answer nor one that comes too late.
      if (this.#checking !== checking) return;
      checking.finish(valid ? this.#verified(set, own) : refuse("signature", `not signed by ${set.kid}`));
    });
  }

  #verified(set: DecodedKeySet, bytes: Uint8Array): KeySetOutcome {
    if (set.version === this.version) return { ok: true, version: set.version, repeat: true };
    if (set.version < this.version) return refuse("sequence", `version ${set.version} is behind ${this.version}`);
    if (!this.#options.store.write(STORE_KEY, bytes)) return { ok: false, rule: "store", detail: "the set could not be stored" };
    this.#take(set);
    return { ok: true, version: set.version, repeat: false };
  }

  #take(set: KeySet): void {
    this.#isLost = false;
    this.#signed = { version: set.version, keys: set.keys };
    this.#keys = trustedKeys(this.#options.configured, this.#signed);
  }
}
