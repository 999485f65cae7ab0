/**
 * The core's own texts in the store: limits, the SG Ready log, the clock. A write that the medium
 * refuses is tried again until it succeeds: the text in force is kept meanwhile, newest first.
 */
import { TOKEN_STORE_RETRY_MS } from "../constants.js";
import type { Stored } from "../controller.js";
import type { Millis } from "../units.js";
import { readLong, writeLong } from "./long_text.js";
import type { Store } from "./store.js";

type Key = "limits" | "sgready" | "clock";

export class Keeper {
  readonly #store: Store;
  readonly #onFault: (detail: string) => void;
  /** Texts that the store has not taken yet. */
  readonly #unkept = new Map<Key, string>();
  #retryAt: Millis = 0;

  /** `onFault`: once for each text that is refused, not for each attempt. */
  constructor(store: Store, onFault: (detail: string) => void) {
    this.#store = store;
    this.#onFault = onFault;
  }

  restore(): Stored {
    return { limits: this.#read("limits"), sgReady: this.#read("sgready"), clock: this.#read("clock") };
  }

  /** Null = unchanged. */
  keep(stored: Stored, now: Millis): void {
    if (this.#unkept.size > 0 && now >= this.#retryAt) {
      for (const [key, text] of [...this.#unkept]) if (!this.#isNewer(key, stored)) this.#write(key, text, now);
    }
    if (stored.limits !== null) this.#write("limits", stored.limits, now);
    if (stored.sgReady !== null) this.#write("sgready", stored.sgReady, now);
    if (stored.clock !== null) this.#write("clock", stored.clock, now);
  }

  /** Texts that are not safely stored. */
  get pending(): number {
    return this.#unkept.size;
  }

  #isNewer(key: Key, stored: Stored): boolean {
    return (key === "limits" ? stored.limits : key === "sgready" ? stored.sgReady : stored.clock) !== null;
  }

  #write(key: Key, text: string, now: Millis): void {
    if (writeLong(this.#store, key, text)) {
      this.#unkept.delete(key);
      return;
    }
    const isNew = !this.#unkept.has(key);
    this.#unkept.set(key, text);
    this.#retryAt = now + TOKEN_STORE_RETRY_MS;
    if (isNew) this.#onFault(`${key}: ${this.#store.fault ?? "too long"}`);
  }

  #read(key: Key): string | null {
    const loaded = readLong(this.#store, key);
    // Corrupt is not absent: a text that no reader accepts is counted as lost, and lost is strict.
    return loaded.kind === "absent" ? null : loaded.kind === "corrupt" ? "?" : loaded.text;
  }
}
