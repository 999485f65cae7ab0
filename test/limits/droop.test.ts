import { describe, expect, it } from "vitest";
import { DROOP_LOCKOUT_MAX_MS, DROOP_LOCKOUT_MIN_MS } from "../../src/constants.js";
import { DROOP_EXPORT, DROOP_IMPORT, droopStart, droopStep, type DroopLaw, type DroopState } from "../../src/limits/droop.js";
import { reportedVoltage, voltageNow } from "../../src/limits/voltage.js";
import { SILENT } from "../../src/reading/report.js";
import { House, readingOf, siteOf, watts } from "./house.js";

/** `seconds` of one voltage, a measurement a second. */
function feed(law: DroopLaw, state: DroopState, x: number, seconds: number, serial = "VN-0001"): DroopState {
  let s = state;
  const t0 = s.at ?? 0;
  for (let i = 1; i <= seconds; i++) s = droopStep(law, s, x, t0 + i * 1_000, serial);
  return s;
}

describe("voltage droop on import", () => {
  it("full above 222 V, nothing at 210 V, a straight line between, within the dither", () => {
    expect(feed(DROOP_IMPORT, droopStart(false), 230_000, 60).fraction).toBe(1_000);
    expect(feed(DROOP_IMPORT, droopStart(false), 216_000, 60).fraction).toBeGreaterThan(450);
    expect(feed(DROOP_IMPORT, droopStart(false), 216_000, 60).fraction).toBeLessThan(550);
    expect(feed(DROOP_IMPORT, droopStart(false), 209_000, 60).fraction).toBe(0);
  });

  it("falls with tau 20 s, rises with tau 600 s", () => {
    const full = feed(DROOP_IMPORT, droopStart(false), 230_000, 10);
    const down = feed(DROOP_IMPORT, full, 212_000, 20);
    expect(down.filtered! / 1e6).toBeGreaterThan(212 + 18 * 0.33);
    expect(down.filtered! / 1e6).toBeLessThan(212 + 18 * 0.42);
    const low = feed(DROOP_IMPORT, droopStart(false), 212_000, 10);
    const up = feed(DROOP_IMPORT, low, 230_000, 600);
    expect(up.filtered! / 1e6).toBeGreaterThan(212 + 18 * 0.60);
    expect(up.filtered! / 1e6).toBeLessThan(212 + 18 * 0.65);
  });

  it("below 207 V for 10 s gives the floor at once, and not before", () => {
    const full = feed(DROOP_IMPORT, droopStart(false), 230_000, 10);
    const nine = feed(DROOP_IMPORT, full, 206_900, 10);
    expect(nine.fraction).toBeGreaterThan(0);
    expect(feed(DROOP_IMPORT, nine, 206_900, 1).fraction).toBe(0);
  });

  it("after the floor a lockout of 5 to 15 min from the voltage's return, then a rise from the floor", () => {
    let s = feed(DROOP_IMPORT, droopStart(false), 205_000, 30);
    let locked = 0;
    while (s.floored) {
      s = feed(DROOP_IMPORT, s, 230_000, 1);
      locked++;
    }
    expect(locked * 1_000).toBeGreaterThan(DROOP_LOCKOUT_MIN_MS);
    expect(locked * 1_000).toBeLessThanOrEqual(DROOP_LOCKOUT_MAX_MS + 1_000);
    expect(s.fraction).toBeLessThan(50);
    expect(feed(DROOP_IMPORT, s, 230_000, 60).fraction).toBeGreaterThan(50);
    const other = feed(DROOP_IMPORT, feed(DROOP_IMPORT, droopStart(false), 205_000, 30, "VN-0002"), 230_000, 1, "VN-0002");
    const same = feed(DROOP_IMPORT, feed(DROOP_IMPORT, droopStart(false), 205_000, 30), 230_000, 1);
    expect(other.lockoutUntil).not.toBe(same.lockoutUntil);
  });

  it("a reboot while it acts begins at the floor", () => {
    const house = new House(siteOf({ hasOperator: false }));
    house.voltage = [216_000, 230_000, 230_000];
    house.run(120);
    const before = watts(house.limits.controllable)!;
    expect(house.limits.controllable).toMatchObject({ source: "voltage" });
    house.voltage = [231_000, 231_000, 231_000];
    house.reboot(5);
    expect(watts(house.limits.controllable)).toBe(0);
    house.run(60);
    expect(watts(house.limits.controllable)!).toBeLessThan(before);
  });

  it("a stale meter: the fraction stands, and never rises", () => {
    const house = new House(siteOf({ hasOperator: false }));
    house.voltage = [216_000, 230_000, 230_000];
    house.run(120);
    const before = watts(house.limits.controllable);
    house.voltage = null;
    house.run(3_600);
    expect(watts(house.limits.controllable)).toBe(before);
    expect(house.events).toContainEqual({ kind: "voltage", known: false });
    expect(house.limits.import).toMatchObject({ source: "failsafe", id: "no_voltage" });
  });

  it("a day without measurements does not let it leap upward", () => {
    const low = feed(DROOP_IMPORT, droopStart(false), 212_000, 10);
    const later = droopStep(DROOP_IMPORT, low, 235_000, low.at! + 86_400_000, "VN-0001");
    expect(later.filtered! - low.filtered!).toBeLessThan(500_000);
  });

  it("works in every state, on the controllable devices together", () => {
    const house = new House();
    house.voltage = [205_000, 230_000, 230_000];
    house.tick();
    for (const state of ["start", "failsafe", "autonomous"] as const) {
      house.run(state === "start" ? 30 : state === "failsafe" ? 120 : 7_200);
      expect(house.limits.state).toBe(state);
      expect(house.limits.controllable).toMatchObject({ source: "voltage", watts: 0 });
    }
  });
});

describe("voltage as a witness", () => {
  const three = siteOf();
  it("a phase of 000.0 V is a missing wire, a delta net no witness, a single-phase house has one phase", () => {
    expect(voltageNow(three, readingOf({ voltage: [0, 229_000, 231_000] }), null, 0)).toMatchObject({ lowest: 229_000, highest: 231_000 });
    const delta = siteOf({ connection: { ...three.connection, delta: true } });
    expect(voltageNow(delta, readingOf({ voltage: [133_800, 128_500, 128_500] }), null, 0)).toBeNull();
    const single = siteOf({ connection: { ...three.connection, phases: 1 } });
    expect(voltageNow(single, readingOf({ voltage: [228_000, 60_000, null] }), null, 0)).toMatchObject({ lowest: 228_000, highest: 228_000 });
    expect(voltageNow(three, readingOf({ voltage: [null, 0, null] }), null, 0)).toBeNull();
  });

  it("a charger's voltage is used where the meter has none, and only while it is fresh", () => {
    const dsmr4 = readingOf({ voltage: [null, null, null], period: 10_000 });
    const reports = [SILENT, { ...SILENT, online: true, at: 5_000, voltage: [226_000, 227_000, null] as const }];
    expect(voltageNow(three, dsmr4, reportedVoltage(reports, 6_000), 6_000)).toEqual({ lowest: 226_000, highest: 227_000, at: 5_000 });
    expect(reportedVoltage(reports, 15_001)).toBeNull();
    expect(voltageNow(three, readingOf(), reportedVoltage(reports, 6_000), 6_000)).toMatchObject({ lowest: 230_000 });
  });
});

describe("the export mirror", () => {
  it("PEERS: supply at 250–256 V, nothing can react: production is turned down from 253 V, to nothing at 257.6 V", () => {
    const house = new House(siteOf({ hasOperator: false }));
    house.voltage = [240_000, 250_000, 240_000];
    house.run(300);
    expect(house.limits.production.kind).toBe("none");
    house.voltage = [240_000, 256_000, 240_000];
    house.run(300);
    // 1.6 of 4.6 V are left, give or take the dither of 0.5 V, of 6 kW PV and 4 kW battery.
    expect(house.limits.production).toMatchObject({ source: "voltage" });
    expect(watts(house.limits.production)!).toBeGreaterThan(2_300);
    expect(watts(house.limits.production)!).toBeLessThan(4_700);
    expect(house.limits.controllable.kind).toBe("none");
    house.voltage = [240_000, 259_000, 240_000];
    house.run(300);
    expect(watts(house.limits.production)).toBe(0);
  });

  it("beyond 260.6 V for 10 s: the floor at once", () => {
    const calm = feed(DROOP_EXPORT, droopStart(false), -240_000, 10);
    expect(feed(DROOP_EXPORT, calm, -261_000, 11).fraction).toBe(0);
  });
});

describe("stability in the loop (CONTROL: tau_up > 2·K·delay)", () => {
  /** Feeder at full load drops K x 12 V; devices follow the fraction `delay` seconds late. Swing of the last half hour. */
  function swing(law: DroopLaw, gain: number, delay: number): number {
    const past: number[] = new Array<number>(delay).fill(1_000);
    let state = droopStart(false);
    let least = 1_000;
    let most = 0;
    for (let t = 1; t <= 3 * 3_600; t++) {
      const load = past[past.length - delay]!;
      const volts = 232_000 - Math.round((gain * 12_000 * load) / 1_000);
      state = droopStep({ ...law, trip: 0 }, state, Math.max(211_500, volts), t * 1_000, "VN-0001");
      past.push(state.fraction);
      if (t > 2.5 * 3_600) {
        least = Math.min(least, state.fraction);
        most = Math.max(most, state.fraction);
      }
    }
    return most - least;
  }

  it("does not hunt for K of 6 to 12 and delays up to 20 s", () => {
    for (const gain of [6, 9, 12]) for (const delay of [5, 10, 20]) expect(swing(DROOP_IMPORT, gain, delay)).toBeLessThan(30);
  });

  it("the same loop hunts without the filter: the measure can fail", () => {
    expect(swing({ ...DROOP_IMPORT, tauDown: 1, tauUp: 1 }, 9, 10)).toBeGreaterThan(300);
  });
});
