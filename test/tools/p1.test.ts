import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { P1_METER_START, p1Reading } from "../../src/reading/p1_meter.js";
import { run } from "../../tools/commands/p1.js";
import { Household } from "../../tools/emulators/household.js";
import { P1_VERSIONS, writeTelegram, type P1MeterState } from "../../tools/emulators/p1_telegram.js";
import { runs } from "../services/runs.js";
import { readOne, vector, VECTORS } from "../telegram/read.js";

const start = Date.parse("2026-01-15T12:00:00Z") / 1000;

describe("the telegram writer", () => {
  it("property: every version reads back as what was written", () => {
    const phase = fc.record({ power: fc.integer({ min: -15_000, max: 15_000 }), voltage: fc.integer({ min: 2_000, max: 2_600 }).map((decivolts) => decivolts * 100), current: fc.integer({ min: 0, max: 99_999 }) });
    const register = fc.nat(99_999_999);
    fc.assert(fc.property(
      fc.constantFrom(...P1_VERSIONS), fc.oneof(fc.tuple(phase), fc.tuple(phase, phase, phase)), fc.integer({ min: start, max: start + 10 * 365 * 86_400 }),
      fc.tuple(register, register), fc.tuple(register, register), fc.string({ unit: "grapheme-ascii", maxLength: 60 }),
      (version, phases, time, imported, exported, text) => {
        const old = version === "2.2" || version === "3.0";
        const t = readOne(writeTelegram({
          time, imported, exported, text, power: phases.map(({ power }) => power), voltage: phases.map(({ voltage }) => voltage), current: phases.map(({ current }) => current),
          gas: { litres: 12_345, time: time - (time % 3_600) },
        }, version), "none");
        const net = phases.reduce((sum, { power }) => sum + power, 0);
        const read = t.power.import! - t.power.export!;
        if (old) expect(Math.abs(read - net)).toBeLessThanOrEqual(5);
        else expect(read).toBe(net);
        expect(t.faultCount).toBe(0);
        expect(t.energy.import.tariff.slice(0, 2)).toEqual(imported);
        expect(t.energy.export.tariff.slice(0, 2)).toEqual(exported);
        expect(t.message.text).toBe(text);
        expect(t.time).toBe(old ? null : time);
        expect(t.mbus[0]!.value).toBe(12_345);
        const padded = <T>(values: (T | null)[]): (T | null)[] => [...values, null, null, null].slice(0, 3);
        expect(t.voltage).toEqual(padded(version === "5.0" || version === "BE" ? phases.map(({ voltage }) => voltage) : []));
        const grain = version === "BE" ? 10 : 1_000;
        if (!old) for (const [index, { current }] of phases.entries()) expect(Math.abs(t.current[index]! - current)).toBeLessThan(grain);
      }), { numRuns: runs(150) });
  });
  it("the household is the same again from its seed, and its telegrams are plausible", () => {
    const day = (seed: number): P1MeterState[] => {
      const house = new Household(seed, start);
      return Array.from({ length: 200 }, (_, i) => house.at(start + i * 17));
    };
    expect(day(3)).toEqual(day(3));
    expect(day(3)).not.toEqual(day(4));
    let state = P1_METER_START;
    for (const [i, house] of day(5).entries()) {
      const judged = p1Reading(state, { ...readOne(writeTelegram(house, "5.0")), at: i * 17_000 }, { phases: 3, delta: false, fuse: 25_000, importMax: null, exportMax: null });
      state = judged.state;
      expect(judged.result).toMatchObject({ kind: "reading", reading: { net: house.power.reduce((sum, watts) => sum + watts, 0) } });
    }
  });
});

describe("vangnet p1 decode", () => {
  let out = "";
  let directory = "";
  beforeEach(() => {
    out = "";
    directory = mkdtempSync(join(tmpdir(), "vangnet-p1-test-"));
    vi.spyOn(process.stdout, "write").mockImplementation((text) => { out += String(text); return true; });
    vi.spyOn(process.stderr, "write").mockImplementation(() => true);
  });
  afterEach(() => {
    vi.restoreAllMocks();
    rmSync(directory, { recursive: true, force: true });
  });
  const lines = (): Record<string, unknown>[] => out.trim().split("\n").map((line) => JSON.parse(line) as Record<string, unknown>);
  const file = (...parts: Uint8Array[]): string => {
    const path = join(directory, "telegrams.txt");
    writeFileSync(path, Uint8Array.from(parts.flatMap((part) => [...part])));
    return path;
  };

  it("one JSON line per telegram, with its reading; 0 when all was well", async () => {
    expect(await run(["decode", `${VECTORS}emucs_3phase.txt`, "--json"])).toBe(0);
    expect(lines()).toMatchObject([{ kind: "telegram", offset: 0, version: 50217, reading: { net: 2_338, voltage: [232_900, 228_100, 0] }, refused: null, faults: [] }]);
  });
  it("one JSON line per error, with its rule and byte in the file; 1 when there was one", async () => {
    const good = vector("esmr5_text.txt");
    const bad = good.slice();
    bad[200]! ^= 1;
    expect(await run(["decode", file(good, bad, good), "--json"])).toBe(1);
    expect(lines().map(({ kind, rule, offset }) => [kind, rule, offset])).toEqual([
      ["telegram", undefined, 0], ["error", "crc_mismatch", 2 * good.length - 6], ["telegram", undefined, 2 * good.length],
    ]);
  });
  it("no CRC: only with --crc none", async () => {
    expect(await run(["decode", `${VECTORS}dsmr22.txt`, "--json"])).toBe(1);
    expect(lines()).toMatchObject([{ rule: "no_crc" }]);
    out = "";
    expect(await run(["decode", `${VECTORS}dsmr22.txt`, "--json", "--crc", "none"])).toBe(0);
    expect(lines()).toMatchObject([{ reading: { net: 1_230 } }]);
  });
  it("what is no reading says why; with --fuse what is implausible does too", async () => {
    await run(["decode", `${VECTORS}heat_unpadded_crc.txt`, "--json"]);
    expect(lines()).toMatchObject([{ reading: null, refused: { rule: "no_power" } }]);
    out = "";
    const house = { time: start, power: [30_000, 30_000, 30_000], voltage: [230_000, 230_000, 230_000], imported: [0, 0], exported: [0, 0] } as const;
    await run(["decode", file(writeTelegram(house, "5.0")), "--json", "--fuse", "25"]);
    expect(lines()).toMatchObject([{ reading: null, refused: { rule: "over_fuse", misfit: 90_000 } }]);
  });
  it("a table for people; nothing found is 1, wrong usage is 2", async () => {
    expect(await run(["decode", `${VECTORS}esmr5_text.txt`])).toBe(0);
    expect(out).toContain("net         -3210 W");
    expect(out).toContain("VN1:0oRDoQEmoA");
    expect(await run(["decode", file(new Uint8Array(0))])).toBe(1);
    expect(await run(["decode", join(directory, "none")])).toBe(1);
    expect(await run(["decode"])).toBe(2);
    expect(await run(["decode", "x", "--crc", "maybe"])).toBe(2);
    expect(await run(["emulate"])).toBe(2);
  });
});
