/**
 * Key-value storage in memory. It outlives reboots. A power cut in a write leaves the old or the new
 * value; with `torn`, the medium keeps no such promise: a part, noise, or nothing may be there.
 */
import { copied } from "../byte_queue.js";
import type { Bytes, KeyValueStore } from "../ecma419.js";
import type { Power } from "./power.js";
import type { Random } from "./random.js";

const KEY_CHARACTERS_MAX = 15;

/** One platform's flash: domains of keys. */
export class Flash {
  readonly #domains = new Map<string, Map<string, Uint8Array>>();
  readonly #power: Power;
  readonly #random: Random;
  torn = false;
  /** Bytes of values all domains may hold; null: no bound. */
  capacityBytes: number | null = null;
  /** The medium fails: every call throws. */
  broken = false;

  constructor(power: Power, random: Random) {
    this.#power = power;
    this.#random = random;
  }

  /** For a test that looks at, or spoils, what is stored. */
  domain(path: string): Map<string, Uint8Array> {
    let domain = this.#domains.get(path);
    if (!domain) this.#domains.set(path, (domain = new Map()));
    return domain;
  }

  open(path: string): KeyValueStore {
    const values = this.domain(path);
    let open = true;
    const check = (key: string): void => {
      this.#power.check();
      if (!open) throw new Error("storage is closed");
      if (this.broken) throw new Error("storage failed");
      if (key.length === 0 || key.length > KEY_CHARACTERS_MAX) throw new Error(`storage: a key has 1 to ${KEY_CHARACTERS_MAX} characters`);
    };
    return {
      read: (key) => {
        check(key);
        const value = values.get(key);
        return value && copied(value).buffer;
      },
      write: (key, value) => {
        check(key);
        this.#write(values, key, value);
      },
      delete: (key) => {
        check(key);
        const cut = this.#power.begin();
        if (!cut || this.#random.chance(500)) values.delete(key);
        if (cut) this.#power.cut();
      },
      keys: () => {
        check("-");
        return [...values.keys()].sort();
      },
      close: () => {
        open = false;
      },
    };
  }

  #write(values: Map<string, Uint8Array>, key: string, value: Bytes): void {
    const bytes = copied(value);
    if (this.#used() - (values.get(key)?.length ?? 0) + bytes.length > (this.capacityBytes ?? Infinity)) throw new Error("storage full");
    if (!this.#power.begin()) {
      values.set(key, bytes);
      return;
    }
    const outcome = this.#random.below(this.torn ? 5 : 2);
    if (outcome === 1) values.set(key, bytes);
    if (outcome === 2) values.delete(key);
    if (outcome === 3) values.set(key, bytes.subarray(0, this.#random.below(bytes.length + 1)));
    if (outcome === 4) {
      const from = this.#random.below(bytes.length + 1);
      values.set(key, bytes.map((byte, at) => (at < from ? byte : this.#random.u32())));
    }
    this.#power.cut();
  }

  #used(): number {
    let used = 0;
    for (const domain of this.#domains.values()) for (const value of domain.values()) used += value.length;
    return used;
  }
}
