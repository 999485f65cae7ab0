import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { budgetStart, budgetTick, type BudgetInput } from "../../src/budget/assess.js";
import type { Budget } from "../../src/budget/budget.js";
import type { Commanded } from "../../src/budget/commanded.js";
import { peakHold, peakStart } from "../../src/budget/peak_hold.js";
import type { Reading } from "../../src/reading/reading.js";
import type { Device, Site } from "../../src/site.js";
import { ev, inverter, limit, report, testLimits, testReading, testSite } from "../house.js";

const told = (setpoint: number, over: Partial<Commanded> = {}): Commanded => ({ setpoint, changedAt: null, recent: [], ...over });

function assess(reading: Reading | null, over: Partial<BudgetInput> & { devices?: readonly Device[]; site?: Partial<Site>; now?: number } = {}): Budget {
  const site = testSite(over.devices ?? [], over.site);
  return budgetTick(site, budgetStart(site), {
    reading, fresh: reading !== null, limits: over.limits ?? testLimits(site), reports: over.reports ?? [], commanded: over.commanded ?? [],
  }, over.now ?? reading?.at ?? 0).budget;
}

describe("signed phase current", () => {
  it("is the greater of |P|/V and I - 0.5 A, with the sign of P", () => {
    const budget = assess(testReading(0, [2_300, -2_300, 100], { current: [10_000, -12_000, 3_000] }));
    expect(budget.uncontrolled.milliamps).toEqual([10_000, -11_500, 2_500]);
  });

  it("takes hundredths of an ampere as they are", () => {
    expect(assess(testReading(0, [0, 0, 0], { current: [1_230, 0, 0], currentWhole: false })).uncontrolled.milliamps[0]).toBe(1_230);
  });

  it("PEERS: P1 currents unsigned during export", () => {
    // 20 A on the wire, but feeding in: it must not look like 20 A of load.
    const budget = assess(testReading(0, [-4_600, 0, 0], { current: [20_000, 0, 0] }));
    expect(budget.uncontrolled.milliamps[0]).toBe(-20_000);
    expect(budget.headroomPhase[0]).toBe(44_000);
  });

  it("PEERS: hard-coded 230 V", () => {
    const at = (volts: number) => assess(testReading(0, [4_600, 0, 0], { current: [null, null, null], voltage: [volts, volts, volts] })).uncontrolled.milliamps[0];
    expect([at(200_000), at(250_000)]).toEqual([23_000, 18_400]);
    // A charger's watts follow the voltage too.
    const site = testSite([ev("car")]);
    const budget = assess(testReading(0, [3_300, 3_300, 3_300], { voltage: [220_000, 220_000, 220_000], current: [null, null, null] }), { devices: site.devices, reports: [report()], commanded: [told(10_000)] });
    expect(budget.uncontrolled.watts).toBe(9_900 - 6_600);
  });

  it("PEERS: missing currents → full power", () => {
    const budget = assess(testReading(0, [4_140, 0, 0], { current: [null, null, null] }));
    expect(budget.uncontrolled.milliamps).toEqual([18_000, 0, 0]);
    expect(budget.headroomPhase).toEqual([6_000, 24_000, 24_000]);
  });

  it("spreads a lone net power over each phase, the whole of it, and credits no export", () => {
    const none: [null, null, null] = [null, null, null];
    const load = assess(testReading(0, [2_070, 0, 0], { power: none, current: none, voltage: none }));
    expect(load.uncontrolled.milliamps).toEqual([10_000, 10_000, 10_000]);
    const sun = assess(testReading(0, [-5_000, 0, 0], { power: none, current: none, voltage: none }));
    expect(sun.headroomPhase).toEqual([24_000, 24_000, 24_000]);
  });

  it("uses the voltage a charger reports where the meter has none, and 000.0 V is none", () => {
    const reading = testReading(0, [2_400, 0, 0], { current: [null, null, null], voltage: [0, null, null] });
    const budget = assess(reading, { devices: [ev("car")], reports: [report({ voltage: [240_000, 240_000, 240_000] })], commanded: [told(0)] });
    expect(budget.uncontrolled.milliamps[0]).toBe(10_000);
    expect(budget.voltage).toEqual([240_000, 240_000, 240_000]);
  });

  it("takes the strict side where nobody measures a voltage, bounded by the ampere shown", () => {
    const blind = assess(testReading(0, [2_070, -2_070, 0], { current: [null, null, null], voltage: [null, null, null] }));
    expect(blind.uncontrolled.milliamps.slice(0, 2)).toEqual([10_000, -8_181]);
    expect(assess(testReading(0, [2_070, 0, 0], { current: [8_000, 0, 0], voltage: [null, null, null] })).uncontrolled.milliamps[0]).toBe(9_000);
    // A current that cannot be true at any voltage is not believed.
    expect(assess(testReading(0, [2_070, 0, 0], { current: [0, 0, 0], voltage: [null, null, null] })).uncontrolled.milliamps[0]).toBe(10_000);
  });
});

describe("what controlled devices draw", () => {
  const reading = testReading(20_000, [4_600, 0, 0], { current: [20_000, 0, 0] });
  const car = ev("car", { phases: [true, false, false] });
  const at = (commanded: Commanded, current: number | null, online = true) =>
    assess(reading, { devices: [car], reports: [report({ online, current: [current, null, null] })], commanded: [commanded] }).uncontrolled.milliamps[0];

  it("is measured once settled, whatever was commanded", () => expect(at(told(16_000), 10_000)).toBe(10_000));
  it("is the highest of measured, commanded and commanded before while it settles", () => {
    const recent = [{ value: 16_000, until: 15_000 }];
    expect(at(told(6_000, { changedAt: 15_000, recent }), 10_000)).toBe(4_000);
    expect(at(told(6_000, { changedAt: 10_000, recent: [{ value: 16_000, until: 10_000 }] }), 10_000)).toBe(10_000);
  });
  it("is what was commanded where it does not measure", () => expect(at(told(8_000), null)).toBe(12_000));
  it("is nothing while it is offline: it is in the meter's value", () => expect(at(told(16_000), 16_000, false)).toBe(20_000));
  it("is nothing once it was switched off and draws all the same: the others make room", () => {
    expect(at(told(0, { changedAt: 0 }), 8_000)).toBe(20_000);
    // A standby draw is its own.
    expect(at(told(0, { changedAt: 0 }), 400)).toBe(19_600);
    // Just switched off it is settling, unless it was found before not to follow.
    const recent = [{ value: 16_000, until: 15_000 }];
    expect(at(told(0, { changedAt: 15_000, recent }), 16_000)).toBe(4_000);
    expect(at(told(0, { changedAt: 15_000, recent, derateTo: 3_000 }), 16_000)).toBe(20_000);
  });
  it("settles for 25 s at a slow meter", () => {
    const slow = assess({ ...reading, period: 10_000 }, { devices: [car], reports: [report()], commanded: [told(6_000, { changedAt: 0, recent: [{ value: 16_000, until: 0 }] })] });
    expect([slow.settle, slow.uncontrolled.milliamps[0]]).toEqual([25_000, 4_000]);
  });
  it("leaves PV in the load for import, and takes it out for export", () => {
    const devices = [inverter("roof")];
    const site = testSite(devices);
    const budget = assess(testReading(0, [-1_000, -1_000, -1_000]), { devices, reports: [report({ power: -6_000 })], commanded: [told(8_000)], limits: testLimits(site, { export: limit(2_000), import: limit(5_000) }) });
    expect(budget.uncontrolled.watts).toBe(-3_000);
    // Load is 3 kW: 2 kW of export and those 3 kW may be produced, less the margin.
    expect(budget.headroomExport).toBe(4_900);
    expect(budget.headroom).toBe(7_900);
  });
});

describe("headroom", () => {
  const site = testSite([]);
  it("is limit - held - 100 W, null where no limit binds, and negative where it is exceeded", () => {
    const reading = testReading(0, [1_000, 0, 0]);
    expect(assess(reading).headroom).toBeNull();
    expect(assess(reading, { limits: testLimits(site, { import: limit(4_200) }) }).headroom).toBe(3_100);
    expect(assess(reading, { limits: testLimits(site, { import: limit(0) }) }).headroom).toBe(-1_100);
  });
  it("of the controllable devices is their limit, and PV that is used now adds room", () => {
    const limits = testLimits(site, { controllable: limit(4_200) });
    expect(assess(testReading(0, [1_000, 0, 0]), { limits }).headroomControllable).toBe(4_200);
    expect(assess(testReading(0, [-1_500, 0, 0]), { limits }).headroomControllable).toBe(5_700);
  });
  it("has freshness by the meter's own period: 5 and 10", () => {
    const reading = testReading(0, [0, 0, 0], { period: 10_000 });
    expect([49_999, 50_000, 99_999, 100_000].map((now) => assess(reading, { now }).freshness)).toEqual(["fresh", "ageing", "ageing", "stale"]);
    expect(assess(null).freshness).toBe("never");
  });
});

describe("peak-hold", () => {
  it("holds for 30 s, then falls with a time constant of 30 s, to the value and no further", () => {
    let state = peakStart([10_000], 0);
    const at: number[] = [];
    for (let now = 1_000; now <= 400_000; now += 1_000) {
      state = peakHold(state, [0], now);
      at.push(state.held[0]!);
    }
    expect(at[29]).toBe(10_000);
    const start = at.findIndex((value) => value < 10_000);
    expect(start).toBeGreaterThanOrEqual(30);
    expect(start).toBeLessThanOrEqual(40);
    expect(Math.abs(at[start + 29]! - 10_000 / Math.E)).toBeLessThan(200);
    expect(at.at(-1)).toBe(0);
  });

  it("is never below anything of the last 30 s, and never above everything ever seen", () => {
    fc.assert(fc.property(fc.array(fc.record({ value: fc.integer({ min: -20_000, max: 20_000 }), wait: fc.integer({ min: 1, max: 25_000 }) }), { minLength: 1, maxLength: 60 }), (steps) => {
      let now = 0;
      let state = peakStart([steps[0]!.value], now);
      const seen = [{ at: 0, value: steps[0]!.value }];
      for (const { value, wait } of steps) {
        now += wait;
        state = peakHold(state, [value], now);
        seen.push({ at: now, value });
        const window = seen.filter((one) => now - one.at <= 30_000);
        expect(state.held[0]!).toBeGreaterThanOrEqual(Math.max(...window.map((one) => one.value)));
        expect(state.held[0]!).toBeLessThanOrEqual(Math.max(...seen.map((one) => one.value)));
      }
    }));
  });
});
