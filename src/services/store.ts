/**
 * What must outlive a power cut, over any key-value medium, atomic or not. Each key has two slots,
 * `KEY.0` and `KEY.1`, which take turns: a write goes to the slot that is not in force, so a cut at
 * any moment leaves the old or the new value, never neither.
 *
 *   0 version (1) · 1 generation (4) · 5 length (2) · 7 value · CRC-32 of the key and all before (4)
 *
 * The slot with a good CRC and the higher generation is in force. All numbers big-endian.
 */
import { STORE_KEY_CHARACTERS_MAX, STORE_KEYS_MAX, STORE_VALUE_BYTES_MAX } from "../constants.js";
import type { KeyValueStore } from "../../hal/ecma419.js";
import { crc32 } from "../wire/crc32.js";

const VERSION = 1;
const HEAD = 7;
const FRAME = HEAD + 4;

export type StoreFault =
  /** Something is stored under the key, and no slot of it is whole. */
  | "store_corrupt"
  | "store_full"
  | "store_write_failed"
  | "store_read_failed"
  /** A key or value beyond the bounds: a bug of the caller. */
  | "store_refused";

export type Loaded =
  | { readonly kind: "absent" }
  /**
   * `spare`: the other slot is damaged. After a power cut in a write that is as it should be, and
   * the value is the last one whose write was reported done. After decay of the medium it may be
   * one older.
   */
  | { readonly kind: "value"; readonly bytes: Uint8Array; readonly spare: boolean }
  /** Something was stored and cannot be read. Not the same as absent: it must not relax anything. */
  | { readonly kind: "corrupt" };

export interface StoreCounters {
  reads: number;
  writes: number;
  /** Writes of the value already there: nothing is written, which spares the flash. */
  unchanged: number;
  /** Damaged slots found where the other one was whole. */
  spared: number;
  corrupt: number;
  failed: number;
}

interface Slot {
  readonly generation: number;
  readonly value: Uint8Array;
}
type Found = Slot | "absent" | "damaged" | "failed";

export class Store {
  readonly counters: StoreCounters = { reads: 0, writes: 0, unchanged: 0, spared: 0, corrupt: 0, failed: 0 };
  /** The last fault, null when the last operation went well. */
  fault: StoreFault | null = null;
  #medium: KeyValueStore;

  constructor(medium: KeyValueStore) {
    this.#medium = medium;
  }

  load(key: string): Loaded {
    if (!this.#allowed(key, 0)) return { kind: "absent" };
    this.counters.reads++;
    this.fault = null;
    const zero = this.#slot(key, 0);
    const one = this.#slot(key, 1);
    const slot = newer(zero, one);
    if (slot !== null) {
      const spare = isDamaged(zero) || isDamaged(one);
      if (spare) this.counters.spared++;
      return { kind: "value", bytes: slot.value, spare };
    }
    if (zero === "absent" && one === "absent") return { kind: "absent" };
    this.counters.corrupt++;
    this.fault = zero === "failed" || one === "failed" ? "store_read_failed" : "store_corrupt";
    return { kind: "corrupt" };
  }

  /** Null where the key is absent, or corrupt: then `fault` says so. */
  read(key: string): Uint8Array | null {
    const loaded = this.load(key);
    return loaded.kind === "value" ? loaded.bytes : null;
  }

  /** False where the value is not safely stored: `fault` says why, the old value is still there. */
  write(key: string, value: Uint8Array): boolean {
    if (!this.#allowed(key, value.length)) return false;
    this.fault = null;
    const zero = this.#slot(key, 0);
    const one = this.#slot(key, 1);
    const current = newer(zero, one);
    // Not where the other slot is damaged: writing again mends it.
    if (current !== null && !isDamaged(zero) && !isDamaged(one) && equal(current.value, value)) {
      this.counters.unchanged++;
      return true;
    }
    const target = current !== null && current === zero ? 1 : 0;
    return this.#put(key, target, frame(key, (current?.generation ?? 0) + 1, value));
  }

  #put(key: string, slot: 0 | 1, bytes: Uint8Array): boolean {
    this.counters.writes++;
    try {
      this.#medium.write(slotKey(key, slot), bytes);
      const back = this.#medium.read(slotKey(key, slot));
      if (back !== undefined && equal(new Uint8Array(back), bytes)) return true;
      this.fault = "store_write_failed";
    } catch (error) {
      this.fault = isFull(error) ? "store_full" : "store_write_failed";
    }
    this.counters.failed++;
    return false;
  }

  /** The older value goes first: a cut between the two must not bring it back. */
  delete(key: string): boolean {
    if (!this.#allowed(key, 0)) return false;
    this.fault = null;
    const zero = this.#slot(key, 0);
    const last = newer(zero, this.#slot(key, 1)) === zero ? 0 : 1;
    try {
      this.#medium.delete(slotKey(key, last === 0 ? 1 : 0));
      this.#medium.delete(slotKey(key, last));
      return true;
    } catch {
      this.fault = "store_write_failed";
      this.counters.failed++;
      return false;
    }
  }

  keys(): string[] {
    const keys: string[] = [];
    try {
      for (const name of this.#medium.keys()) {
        const key = name.slice(0, -2);
        if ((name.endsWith(".0") || name.endsWith(".1")) && !keys.includes(key) && keys.length < STORE_KEYS_MAX) keys.push(key);
      }
    } catch {
      this.fault = "store_read_failed";
    }
    return keys;
  }

  /** Factory reset: nothing stays. False where something did. */
  clear(): boolean {
    let cleared = true;
    for (const key of this.keys()) cleared = this.delete(key) && cleared;
    return cleared && this.fault === null;
  }

  /** As `read`, as UTF-8 text. Bytes that are no UTF-8 are corrupt. */
  readText(key: string): string | null {
    const bytes = this.read(key);
    if (bytes === null) return null;
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch {
      this.counters.corrupt++;
      this.fault = "store_corrupt";
      return null;
    }
  }

  writeText(key: string, text: string): boolean {
    return this.write(key, new TextEncoder().encode(text));
  }

  #allowed(key: string, length: number): boolean {
    if (key.length > 0 && key.length <= STORE_KEY_CHARACTERS_MAX && length <= STORE_VALUE_BYTES_MAX) return true;
    this.fault = "store_refused";
    this.counters.failed++;
    return false;
  }

  #slot(key: string, slot: 0 | 1): Found {
    let stored: ArrayBuffer | undefined;
    try {
      stored = this.#medium.read(slotKey(key, slot));
    } catch {
      return "failed";
    }
    return stored === undefined ? "absent" : unframe(key, new Uint8Array(stored));
  }
}

const slotKey = (key: string, slot: 0 | 1): string => (slot === 0 ? `${key}.0` : `${key}.1`);

const isDamaged = (found: Found): boolean => found === "damaged" || found === "failed";

/** The slot in force; null where neither is whole. */
function newer(zero: Found, one: Found): Slot | null {
  if (typeof zero === "string") return typeof one === "string" ? null : one;
  if (typeof one === "string") return zero;
  return one.generation > zero.generation ? one : zero;
}

function frame(key: string, generation: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(value.length + FRAME);
  bytes[0] = VERSION;
  put32(bytes, 1, generation);
  bytes[5] = value.length >> 8;
  bytes[6] = value.length & 0xff;
  bytes.set(value, HEAD);
  put32(bytes, bytes.length - 4, crcOf(key, bytes));
  return bytes;
}

function unframe(key: string, bytes: Uint8Array): Found {
  if (bytes.length < FRAME || bytes[0] !== VERSION) return "damaged";
  if (((bytes[5]! << 8) | bytes[6]!) !== bytes.length - FRAME) return "damaged";
  if (get32(bytes, bytes.length - 4) !== crcOf(key, bytes)) return "damaged";
  return { generation: get32(bytes, 1), value: bytes.slice(HEAD, bytes.length - 4) };
}

/** The key is in it: a value that came to lie under another key is damaged. */
function crcOf(key: string, bytes: Uint8Array): number {
  const name = new TextEncoder().encode(key);
  return crc32(bytes, 0, bytes.length - 4, crc32(name, 0, name.length));
}

function put32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = (value >>> 16) & 0xff;
  bytes[at + 2] = (value >>> 8) & 0xff;
  bytes[at + 3] = value & 0xff;
}

const get32 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;

function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Node says ENOSPC; the simulator and NVS say it in words. */
export function isFull(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown };
  return code === "ENOSPC" || (typeof message === "string" && (message.includes("full") || message.includes("NOT_ENOUGH_SPACE")));
}
