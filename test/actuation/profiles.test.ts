/**
 * Each profile against frames worked out by hand from the maker's register document: given raw words,
 * these quantities; given a setpoint, these writes.
 */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Setpoint } from "../../src/allocation/decision.js";
import {
  decodeReadBack, matchesReadBack, planReads, planWatchdog, planWrites, readQuantities, usesSunSpec, type PlanContext,
} from "../../src/actuation/plan.js";
import type { Profile, RegisterTable } from "../../src/actuation/profile.js";
import { profileById, profiles } from "../../src/actuation/profiles/index.js";
import { NO_MODELS, type ModelMap } from "../../src/actuation/sunspec.js";

type Memory = Partial<Record<RegisterTable, Record<number, readonly number[]>>>;
function context(memory: Memory, models: ModelMap = NO_MODELS, rated: number | null = null): PlanContext {
  const words = new Map<string, number>();
  for (const [table, blocks] of Object.entries(memory)) {
    for (const [start, list] of Object.entries(blocks)) list.forEach((word, i) => words.set(`${table}${Number(start) + i}`, word));
  }
  return { models, rated, words: (table, address) => words.get(`${table}${address}`) ?? null };
}
const get = (id: string): Profile => profileById(id)!;
const amps = (value: number): Setpoint => ({ kind: "current", value });
const watts = (value: number): Setpoint => ({ kind: "power", value });
const production = (value: number): Setpoint => ({ kind: "production", value });
const writes = (profile: Profile, setpoint: Setpoint, given: PlanContext) => {
  const plan = planWrites(profile, setpoint, given);
  if (!plan.ok) throw new Error(JSON.stringify(plan.fault));
  return plan.writes.map(({ function: code, address, words }) => [code, address, ...words]);
};
const watchdog = (profile: Profile, safe: Setpoint, given: PlanContext) => {
  const plan = planWatchdog(profile, safe, given);
  if (!plan.ok) throw new Error(JSON.stringify(plan.fault));
  return plan.writes.map(({ function: code, address, words }) => [code, address, ...words]);
};
const none = context({});

describe("chargers", () => {
  it("Alfen", () => {
    const alfen = get("alfen");
    const given = context({ holding: {
      306: [0x4366, 0x0000, 0x4365, 0x8000, 0x4364, 0xcccd], 320: [0x4120, 0, 0x411e, 0x6666, 0, 0], 344: [0x4590, 0x4000],
      374: [0x4132, 0xd687, 0, 0], 1201: [0x4332, 0, 0, 0, 0], 1210: [0x4120, 0],
    } });
    expect(readQuantities(alfen, NO_MODELS, given.words)).toMatchObject({
      voltage: [230_000, 229_500, 228_800], current: [10_000, 9_900, 0], power: 4_616, imported: 1_234_567, wants: true, fault: null,
    });
    expect(writes(alfen, amps(10_000), none)).toEqual([[16, 1210, 0x4120, 0]]);
    expect(writes(alfen, amps(0), none)).toEqual([[16, 1210, 0, 0]]);
    expect(writes(alfen, amps(5_900), none)).toEqual([[16, 1210, 0, 0]]);
    expect(decodeReadBack(alfen, given)).toBe(10_000);
    expect(matchesReadBack(alfen, amps(10_000), given)).toBe(true);
    expect(matchesReadBack(alfen, amps(16_000), given)).toBe(false);
  });
  it("ABB Terra AC", () => {
    const abb = get("abb_terra_ac");
    const given = context({ holding: {
      0x400c: [0, 0x8400], 0x400e: [0, 16_000], 0x4010: [0, 15_900, 0, 15_800, 0, 15_700], 0x4016: [0, 2301, 0, 2299, 0, 2310], 0x401c: [0, 10_950],
    } });
    expect(readQuantities(abb, NO_MODELS, given.words)).toMatchObject({
      wants: true, current: [15_900, 15_800, 15_700], voltage: [230_100, 229_900, 231_000], power: 10_950, fault: null,
    });
    expect(writes(abb, amps(16_000), none)).toEqual([[16, 0x4100, 0, 0x3e80]]);
    expect(writes(abb, amps(0), none)).toEqual([[16, 0x4100, 0, 0]]);
    expect(matchesReadBack(abb, amps(16_000), given)).toBe(true);
    expect(watchdog(abb, amps(0), none)).toEqual([[16, 0x4106, 60]]);
  });
  it("KEBA P30: off by its own register, one value a read, single writes", () => {
    const keba = get("keba_p30");
    const given = context({ holding: { 1004: [0, 7], 1008: [0, 8_000], 1010: [0, 7_990], 1012: [0, 8_010], 1020: [0x0054, 0x4100], 1036: [0x0012, 0xd687], 1040: [0, 230], 1042: [0, 231], 1044: [0, 229] } });
    expect(readQuantities(keba, NO_MODELS, given.words)).toMatchObject({
      wants: true, current: [8_000, 7_990, 8_010], power: 5_522, imported: 123_457, voltage: [230_000, 231_000, 229_000], fault: null,
    });
    // "Value 8000: the charging current is set to 8 A" (4.1).
    expect(writes(keba, amps(8_000), none)).toEqual([[6, 5004, 8000], [6, 5014, 1]]);
    expect(writes(keba, amps(0), none)).toEqual([[6, 5014, 0]]);
    expect(planReads(keba, NO_MODELS).every((block) => block.count === 2)).toBe(true);
    expect(watchdog(keba, amps(0), none)).toEqual([[6, 5016, 0], [6, 5018, 30]]);
    expect(matchesReadBack(keba, amps(8_000), given)).toBeNull();
  });
  it("Phoenix CHARX: whole amperes, down", () => {
    const charx = get("phoenix_charx");
    const given = context({ holding: {
      1232: [0x0003, 0x8270, 0x0003, 0x8270, 0x0003, 0x8270], 1238: [0, 6_010, 0xffff, 0xffff, 0, 5_990], 1244: [0x0015, 0x2cc8],
      1250: [0, 0, 0x0001, 0xe240], 1299: [0x4332], 1301: [6],
    } });
    expect(readQuantities(charx, NO_MODELS, given.words)).toMatchObject({
      voltage: [230_000, 230_000, 230_000], current: [6_010, null, 5_990], power: 1_388, imported: 123_456, wants: true, fault: null,
    });
    expect(writes(charx, amps(6_900), none)).toEqual([[16, 1301, 6]]);
    expect(matchesReadBack(charx, amps(6_900), given)).toBe(true);
    expect(watchdog(charx, amps(0), none)).toEqual([[16, 1306, 0, 30]]);
  });
  it("go-e: volatile current, off by force state", () => {
    const go = get("go_e");
    const given = context({ input: {
      100: [2], 108: [0, 232, 0, 231, 0, 230], 114: [0, 123, 0, 0, 0, 0], 120: [0x0005, 0x7e40], 128: [0, 360],
    }, holding: { 299: [12] } });
    // "123 equals 12.3 A", "360000 corresponds to 3.6 kW", "360 corresponds to 36 kWh".
    expect(readQuantities(go, NO_MODELS, given.words)).toMatchObject({
      wants: true, voltage: [232_000, 231_000, 230_000], current: [12_300, 0, 0], power: 3_600, imported: 36_000, fault: null,
    });
    expect(writes(go, amps(12_000), none)).toEqual([[16, 299, 12], [16, 337, 0]]);
    expect(writes(go, amps(0), none)).toEqual([[16, 337, 1]]);
    expect(matchesReadBack(go, amps(12_000), given)).toBe(true);
    expect(matchesReadBack(go, amps(0), given)).toBeNull();
  });
});

const fronius: ModelMap = [
  { id: 1, address: 40002, length: 65 }, { id: 103, address: 40069, length: 50 }, { id: 120, address: 40121, length: 26 },
  { id: 121, address: 40149, length: 30 }, { id: 123, address: 40237, length: 24 }, { id: 124, address: 40303, length: 24 },
];

describe("inverters and batteries", () => {
  const memory: Memory = { holding: {
    // Model 103: A, currents, A_SF -2; voltages, V_SF -1; W, W_SF 0; Wh, WH_SF 0.
    40071: [3000, 1000, 990, 1010, 0xfffe, 0xffff, 0xffff, 0xffff, 2301, 2302, 2299, 0xffff, 6900, 0, 5000, 0xfffe, 0xffff, 0x8000, 0xffff, 0x8000, 0xffff, 0x8000, 0x0001, 0x86a0, 0],
    40151: [800], 40171: [1],                   // 121 WMax 800 x 10 = 8 kW
    40242: [10_000, 0, 0, 0, 1], 40260: [0xfffe], // 123 WMaxLimPct in 0.01 %
    40305: [500], 40321: [1], 40311: [7_560], 40325: [0xfffe], 40315: [0, 0], 40328: [0xfffe],
  } };
  const given = context(memory, fronius, 8_000);
  it("SunSpec inverter: production counts negative, the limit is a percentage rounded down", () => {
    const inverter = get("sunspec_inverter");
    expect(readQuantities(inverter, fronius, given.words)).toMatchObject({
      current: [-10_000, -9_900, -10_100], voltage: [230_100, 230_200, 229_900], power: -6_900, exported: 100_000, fault: null,
    });
    expect(writes(inverter, production(8_000), given)).toEqual([[16, 40242, 10_000], [16, 40244, 0], [16, 40246, 1]]);
    // 1,000 / 8,000 = 12.5 %; 999 / 8,000 = 12.4875 % -> 12.48 %.
    expect(writes(inverter, production(1_000), given)[0]).toEqual([16, 40242, 1_250]);
    expect(writes(inverter, production(999), given)[0]).toEqual([16, 40242, 1_248]);
    expect(writes(inverter, production(0), given)[0]).toEqual([16, 40242, 0]);
    expect(writes(inverter, production(99_000), given)[0]).toEqual([16, 40242, 10_000]);
    expect(decodeReadBack(inverter, given)).toBe(8_000);
    expect(matchesReadBack(inverter, production(8_000), given)).toBe(true);
    expect(matchesReadBack(inverter, production(4_000), given)).toBe(false);
  });
  it("SunSpec inverter: the rated power is the device's own, the site's only where it has none", () => {
    const inverter = get("sunspec_inverter");
    const without = fronius.filter((model) => model.id !== 121);
    expect(writes(inverter, production(1_000), context(memory, without, 10_000))[0]).toEqual([16, 40242, 1_000]);
    expect(planWrites(inverter, production(1_000), context(memory, without, null))).toEqual({ ok: false, fault: { rule: "rated_unknown" } });
    expect(planWrites(inverter, production(1_000), context({ holding: { 40260: [0xfffe] } }, fronius, 10_000)))
      .toEqual({ ok: false, fault: { rule: "not_read", table: "holding", address: 40151 } });
    expect(planWrites(inverter, production(1_000), context(memory, [], 10_000))).toEqual({ ok: false, fault: { rule: "model_missing", model: 123 } });
  });
  it("SunSpec storage (124): both rates in one request, mirrored", () => {
    const battery = get("sunspec_battery");
    expect(readQuantities(battery, fronius, given.words)).toMatchObject({ stateOfCharge: 756, power: null, fault: null });
    expect(writes(battery, watts(2_500), given)).toEqual([[16, 40315, 0xec78, 5_000], [16, 40320, 1], [16, 40308, 3]]);
    expect(writes(battery, watts(-1_000), given)[0]).toEqual([16, 40315, 2_000, 0xf830]);
    expect(writes(battery, watts(0), given)[0]).toEqual([16, 40315, 0, 0]);
    expect(matchesReadBack(battery, watts(0), given)).toBe(true);
    expect(watchdog(battery, watts(0), given)).toEqual([[16, 40318, 60]]);
  });
  const der: ModelMap = [
    { id: 1, address: 2, length: 66 }, { id: 701, address: 70, length: 153 }, { id: 702, address: 225, length: 50 },
    { id: 704, address: 277, length: 57 }, { id: 713, address: 336, length: 7 },
  ];
  const derGiven = context({ holding: {
    80: [0xf830], 186: [0], // 701 W -2,000 (absorbs), W_SF
    251: [500], 270: [1], 331: [0xffff], 332: [0], 340: [55], 344: [0], // WMax 5 kW, WMaxLimPct_SF -1, WSet_SF 0, SoC 55 %
  } }, der, 5_000);
  it("SunSpec 701-704: reverts to the safe value", () => {
    const inverter = get("sunspec_inverter_700");
    expect(writes(inverter, production(1_234), derGiven)).toEqual([[16, 292, 246], [16, 294, 1], [16, 291, 1]]);
    expect(watchdog(inverter, production(1_500), derGiven)).toEqual([[16, 293, 300], [16, 295, 0, 60]]);
    const battery = get("sunspec_battery_700");
    expect(readQuantities(battery, der, derGiven.words)).toMatchObject({ power: 2_000, stateOfCharge: 550 });
    expect(writes(battery, watts(1_000), derGiven)).toEqual([[16, 300, 1, 0xffff, 0xfc18], [16, 307, 1], [16, 299, 1]]);
    expect(watchdog(battery, watts(0), derGiven)).toEqual([[16, 303, 0, 0], [16, 308, 0, 60]]);
  });
  it("Victron ESS: one phase, and spread over three", () => {
    const single = get("victron_ess"), three = get("victron_ess_3p");
    const words = context({ holding: { 3: [2305, 2301, 2298], 6: [105, 0xff9c, 0], 12: [240, 0xff1a, 0], 30: [805], 37: [1_500], 40: [0], 41: [0] } });
    expect(readQuantities(single, NO_MODELS, words.words)).toMatchObject({ voltage: [230_500, null, null], current: [10_500, null, null], power: 2_400, stateOfCharge: 805, fault: null });
    expect(readQuantities(three, NO_MODELS, words.words)).toMatchObject({ current: [10_500, -10_000, 0], phasePower: [2_400, -2_300, 0], power: 100 });
    expect(writes(single, watts(1_500), none)).toEqual([[16, 37, 1_500]]);
    expect(writes(single, watts(-1_500), none)).toEqual([[16, 37, 0xfa24]]);
    expect(writes(three, watts(1_000), none)).toEqual([[16, 37, 333], [16, 40, 333, 333]]);
    expect(writes(three, watts(-1_000), none)).toEqual([[16, 37, 0xfeb2], [16, 40, 0xfeb2, 0xfeb2]]);
    expect(matchesReadBack(single, watts(1_500), words)).toBe(true);
  });
});

describe("meters", () => {
  it("Eastron SDM630", () => {
    const meter = get("eastron_sdm630");
    const given = context({ input: {
      0: [0x4366, 0x3333, 0x4365, 0x8000, 0x4364, 0xcccd, 0x40a0, 0, 0, 0, 0x3f80, 0, 0x448f, 0xe000, 0, 0, 0xc364, 0xcccd],
      0x34: [0x4465, 0xc000], 0x48: [0x42f6, 0xe979, 0x4000, 0],
    } });
    expect(readQuantities(meter, NO_MODELS, given.words)).toEqual({
      voltage: [230_200, 229_500, 228_800], current: [5_000, 0, 1_000], phasePower: [1_151, 0, -229], power: 919,
      wants: null, stateOfCharge: null, imported: 123_456, exported: 2_000, fault: null,
    });
    expect(planReads(meter, NO_MODELS)).toEqual([
      { table: "input", start: 0, count: 18 }, { table: "input", start: 0x34, count: 2 }, { table: "input", start: 0x48, count: 4 },
    ]);
  });
  it("SunSpec meter, in both signs", () => {
    const models: ModelMap = [{ id: 203, address: 40069, length: 105 }];
    const given = context({ holding: {
      40071: [150, 50, 0xffce, 50, 0xffff], 40076: [2300, 2301, 2302, 2299], 40084: [0xffff], 40087: [3000, 1000, 0xfc18, 1000, 0],
      40107: [0, 500], 40115: [0, 700], 40123: [1],
    } }, models);
    expect(readQuantities(get("sunspec_meter"), models, given.words)).toMatchObject({
      current: [5_000, -5_000, 5_000], voltage: [230_100, 230_200, 229_900], power: 3_000, phasePower: [1_000, -1_000, 1_000], exported: 5_000, imported: 7_000, fault: null,
    });
    expect(readQuantities(get("sunspec_meter_reversed"), models, given.words)).toMatchObject({ power: -3_000, current: [-5_000, 5_000, -5_000] });
  });
});

describe("every profile", () => {
  it("has an id of its own and names its source", () => {
    expect(new Set(profiles.map((profile) => profile.id)).size).toBe(profiles.length);
    for (const profile of profiles) expect(profile.document.length, profile.id).toBeGreaterThan(30);
  });
  it("stands in docs/profiles.md", () => {
    const text = readFileSync("docs/profiles.md", "utf8");
    for (const profile of profiles) expect(text).toContain(`| \`${profile.id}\` |`);
  });
  it("is refused a setpoint of another kind", () => {
    for (const profile of profiles) {
      const wrong = profile.setpoint === "A" ? watts(1_000) : amps(6_000);
      expect(planWrites(profile, wrong, none), profile.id).toMatchObject({ ok: false, fault: { rule: "setpoint_kind" } });
    }
  });
  it("reads nothing over its bounds, and SunSpec only through its models", () => {
    for (const profile of profiles) {
      const blocks = planReads(profile, NO_MODELS);
      if (usesSunSpec(profile)) expect(blocks, profile.id).toEqual([]);
      for (const block of blocks) expect(block.count).toBeLessThanOrEqual(profile.readMax ?? 125);
    }
  });
  it("falls no higher than the safe value when it has a watchdog", () => {
    for (const profile of profiles) {
      if (profile.watchdog === undefined || profile.watchdog.to === "safe") continue;
      expect(profile.watchdog.to, profile.id).toBeLessThanOrEqual(0);
    }
  });
});
