/**
 * The keys that count: site.json's, and the newest set that a maker's key signed. A set is taken
 * like a cap token: size, structure, kid, role, range, signature, sequence (its version), then the
 * store, then in force. A set that is not kept is not in force: after a power cut the house must
 * not trust other keys than before.
 */
import type { TrustedKey } from "../token/keys.js";
import { checkKeySetSigner, decodeKeySet, signedKeySetBytes, trustedKeys, type DecodedKeySet, type KeySet } from "../token/keys.js";
import { refuse, type Refusal } from "../token/rules.js";
import type { EpochSeconds } from "../units.js";
import { signatureInRange } from "../wire/p256.js";
import type { RecordStore, TokenPlatform } from "./cap_inbox.js";

const STORE_KEY = "keys";

export interface KeyRingOptions {
  readonly configured: readonly TrustedKey[];
  readonly store: RecordStore;
  readonly platform: Pick<TokenPlatform, "verifyP256">;
  readonly utc: () => EpochSeconds | null;
}

export type KeySetOutcome = { readonly ok: true; readonly version: number; readonly repeat: boolean } | Refusal;

export class KeyRing {
  readonly #options: KeyRingOptions;
  #signed: KeySet | null = null;
  #keys: readonly TrustedKey[];
  #isBusy = false;

  constructor(options: KeyRingOptions) {
    this.#options = options;
    this.#keys = options.configured;
  }

  /** At boot. False where a set was stored and cannot be read: then site.json's keys count. */
  restore(): boolean {
    const loaded = this.#options.store.load(STORE_KEY);
    if (loaded.kind !== "value") return loaded.kind === "absent";
    const decoded = decodeKeySet(loaded.bytes);
    if (decoded.ok) this.#take(decoded.set);
    return decoded.ok;
  }

  keys(): readonly TrustedKey[] {
    return this.#keys;
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
    if (this.#isBusy) return done(refuse("signature", "another set of keys is being checked"));
    this.#isBusy = true;
    this.#options.platform.verifyP256(signer.key.point, signedKeySetBytes(set), set.message.signature, (valid) => {
      this.#isBusy = false;
      done(valid ? this.#verified(set, own) : refuse("signature", `not signed by ${set.kid}`));
    });
  }

  #verified(set: DecodedKeySet, bytes: Uint8Array): KeySetOutcome {
    if (set.version === this.version) return { ok: true, version: set.version, repeat: true };
    if (set.version < this.version) return refuse("sequence", `version ${set.version} is behind ${this.version}`);
    if (!this.#options.store.write(STORE_KEY, bytes)) return refuse("sequence", "the set could not be stored");
    this.#take(set);
    return { ok: true, version: set.version, repeat: false };
  }

  #take(set: KeySet): void {
    this.#signed = { version: set.version, keys: set.keys };
    this.#keys = trustedKeys(this.#options.configured, this.#signed);
  }
}
