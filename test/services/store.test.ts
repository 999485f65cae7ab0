import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { STORE_KEY_CHARACTERS_MAX, STORE_VALUE_BYTES_MAX } from "../../src/constants.js";
import { Store } from "../../src/services/store.js";
import { crc32 } from "../../src/wire/crc32.js";
import { sha256, verifyP256Sync } from "../../hal/node/crypto.js";
import { PowerCut } from "../../hal/sim/power.js";
import { Random } from "../../hal/sim/random.js";
import { SimWorld } from "../../hal/sim/world.js";

const OPERATIONS = 2_000 * Number(process.env["VANGNET_RUNS"] ?? 1);

const home = (seed = 1) => new SimWorld({ seed, crypto: { sha256, verifyP256: verifyP256Sync } }).platform("home");
const bytes = (...values: number[]) => Uint8Array.from(values);
const text = (value: Uint8Array | null) => (value === null ? null : Buffer.from(value).toString("hex"));

describe("crc32", () => {
  it("has the check value of ISO 3309, in one part or two", () => {
    const digits = new TextEncoder().encode("123456789");
    expect(crc32(digits, 0, 9)).toBe(0xcbf43926);
    expect(crc32(digits, 4, 9, crc32(digits, 0, 4))).toBe(0xcbf43926);
  });
});

describe("Store", () => {
  it("gives back what was written, and tells absent from empty", () => {
    const store = new Store(home().storage.open({ path: "state" }));
    expect(store.load("cap")).toEqual({ kind: "absent" });
    expect(store.write("cap", bytes())).toBe(true);
    expect(store.read("cap")).toEqual(bytes());
    expect(store.write("cap", bytes(1, 2, 3))).toBe(true);
    expect(store.load("cap")).toEqual({ kind: "value", bytes: bytes(1, 2, 3), spare: false });
    expect(store.writeText("name", "Warmtepomp ½")).toBe(true);
    expect(store.readText("name")).toBe("Warmtepomp ½");
    expect(store.keys().sort()).toEqual(["cap", "name"]);
  });

  it("spares the flash where the value does not change", () => {
    const platform = home();
    const store = new Store(platform.storage.open({ path: "state" }));
    store.write("cap", bytes(1));
    const before = platform.power.writes;
    for (let i = 0; i < 100; i++) expect(store.write("cap", bytes(1))).toBe(true);
    expect(platform.power.writes).toBe(before);
    expect(store.counters.unchanged).toBe(100);
  });

  it("keeps the longest key and value, and refuses longer ones", () => {
    const store = new Store(home().storage.open({ path: "state" }));
    const key = "k".repeat(STORE_KEY_CHARACTERS_MAX);
    expect(store.write(key, new Uint8Array(STORE_VALUE_BYTES_MAX).fill(7))).toBe(true);
    expect(store.read(key)?.length).toBe(STORE_VALUE_BYTES_MAX);
    expect(store.write(`${key}k`, bytes(1))).toBe(false);
    expect(store.fault).toBe("store_refused");
    expect(store.write("k", new Uint8Array(STORE_VALUE_BYTES_MAX + 1))).toBe(false);
    expect(store.write("", bytes(1))).toBe(false);
    expect(store.counters.failed).toBe(3);
  });

  it("finds every changed byte: the other slot's value, or corrupt, never a wrong value", () => {
    const platform = home();
    const medium = platform.flash.domain("state");
    const store = new Store(platform.storage.open({ path: "state" }));
    store.write("cap", bytes(1, 2, 3));
    store.write("cap", bytes(4, 5, 6));
    const [older, newer] = [medium.get("cap.0")!, medium.get("cap.1")!];
    for (let at = 0; at < newer.length; at++) {
      for (const flip of [1, 0x80, 0xff]) {
        medium.set("cap.1", newer.map((byte, i) => (i === at ? byte ^ flip : byte)));
        expect(store.load("cap")).toEqual({ kind: "value", bytes: bytes(1, 2, 3), spare: true });
      }
    }
    medium.set("cap.0", older.subarray(0, older.length - 1));
    expect(store.load("cap")).toEqual({ kind: "corrupt" });
    expect(store.read("cap")).toBeNull();
    expect(store.fault).toBe("store_corrupt");
    expect(store.write("cap", bytes(9))).toBe(true);
    expect(store.read("cap")).toEqual(bytes(9));
  });

  it("takes a value that lies under another key for damaged", () => {
    const platform = home();
    const store = new Store(platform.storage.open({ path: "state" }));
    store.write("limit", bytes(1));
    const medium = platform.flash.domain("state");
    medium.set("other.0", medium.get("limit.0")!);
    expect(store.load("other")).toEqual({ kind: "corrupt" });
  });

  it("names a full and a broken medium, and keeps the old value", () => {
    const platform = home();
    const store = new Store(platform.storage.open({ path: "state" }));
    store.write("cap", bytes(1));
    platform.flash.capacityBytes = 20;
    expect(store.write("cap", new Uint8Array(100))).toBe(false);
    expect(store.fault).toBe("store_full");
    expect(store.read("cap")).toEqual(bytes(1));
    platform.flash.broken = true;
    expect(store.write("cap", bytes(2))).toBe(false);
    expect(store.fault).toBe("store_write_failed");
    expect(store.load("cap")).toEqual({ kind: "corrupt" });
    expect(store.fault).toBe("store_read_failed");
    platform.flash.broken = false;
    expect(store.read("cap")).toEqual(bytes(1));
  });

  it("says so where the medium takes a write and does not keep it", () => {
    const medium = home().storage.open({ path: "state" });
    const store = new Store({ ...medium, write: () => {} });
    expect(store.write("cap", bytes(1))).toBe(false);
    expect(store.fault).toBe("store_write_failed");
  });

  it("forgets everything", () => {
    const platform = home();
    const store = new Store(platform.storage.open({ path: "state" }));
    for (const key of ["a", "b"]) for (const value of [1, 2, 3]) store.write(key, bytes(value));
    expect(store.clear()).toBe(true);
    expect([...platform.flash.domain("state").keys()]).toEqual([]);
  });

  it("text that is no UTF-8 is corrupt", () => {
    const store = new Store(home().storage.open({ path: "state" }));
    store.write("name", bytes(0xff, 0xfe));
    expect(store.readText("name")).toBeNull();
    expect(store.fault).toBe("store_corrupt");
  });
});

/**
 * Random operations with the power cut in each of their writes: once more for every write there is.
 * What a write reported as done must be there; of the one that was cut, the old or the new value.
 */
function cutEverywhere(seed: number, torn: boolean, operations: number): number {
  const platform = home(seed);
  platform.flash.torn = torn;
  const random = new Random(seed);
  const expected = new Map<string, string | null>();
  const keys = ["cap", "sequence", "sg_ready"];
  let store = new Store(platform.storage.open({ path: "state" }));
  let cuts = 0;
  for (let i = 0; i < operations; i++) {
    const key = keys[random.below(keys.length)]!;
    const value = random.chance(100) ? null : Uint8Array.from({ length: random.below(40) }, () => random.u32());
    const before = expected.get(key) ?? null;
    const wanted = text(value);
    const reach = random.below(3);
    if (reach < 2) platform.power.cutAtWrite = platform.power.writes + 1 + reach;
    const done = value === null ? store.delete(key) : store.write(key, value);
    if (platform.off) {
      cuts++;
      expect(done).toBe(false);
      platform.reboot();
      store = new Store(platform.storage.open({ path: "state" }));
      const now = text(store.read(key));
      expect([before, wanted], `seed ${seed}, operation ${i}, ${key}`).toContain(now);
      expected.set(key, now);
    } else {
      platform.power.cutAtWrite = null;
      expect(done).toBe(true);
      expected.set(key, wanted);
    }
    for (const other of keys) expect(text(store.read(other)), `seed ${seed}, operation ${i}, ${other}`).toBe(expected.get(other) ?? null);
  }
  return cuts;
}

describe("Store, power cut at every write", () => {
  it("old or new on an atomic medium", () => {
    expect(cutEverywhere(20260101, false, OPERATIONS)).toBeGreaterThan(OPERATIONS / 3);
  });

  it("old or new on a medium that tears, clears or spoils what it was writing", () => {
    expect(cutEverywhere(20260102, true, OPERATIONS)).toBeGreaterThan(OPERATIONS / 3);
  });

  it("a sequence number never goes back", () => {
    fc.assert(fc.property(fc.integer(), fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 30 }), (seed, cuts) => {
      const platform = home(seed);
      platform.flash.torn = true;
      let stored = 0;
      for (const cut of cuts) {
        const store = new Store(platform.storage.open({ path: "state" }));
        const read = Number(store.readText("sequence") ?? "0");
        expect(read).toBeGreaterThanOrEqual(stored);
        if (cut < 2) platform.power.cutAtWrite = platform.power.writes + 1;
        if (store.writeText("sequence", String(read + 1))) stored = read + 1;
        platform.power.cutAtWrite = null;
        if (platform.off) platform.reboot();
      }
    }), { numRuns: 100 * Number(process.env["VANGNET_RUNS"] ?? 1) });
  });

  it("a dead platform takes no further write", () => {
    const platform = home();
    const medium = platform.storage.open({ path: "state" });
    platform.power.cutAtWrite = 1;
    expect(() => medium.write("a", bytes(1))).toThrow(PowerCut);
    expect(() => medium.write("b", bytes(1))).toThrow(PowerCut);
    expect(platform.flash.domain("state").has("b")).toBe(false);
  });
});
