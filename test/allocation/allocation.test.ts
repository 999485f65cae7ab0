import { describe, expect, it } from "vitest";
import { battery, ev, inverter, limit, powerPump, testLimits, testSite } from "../house.js";
import { Bench } from "./bench.js";

const L1: [boolean, boolean, boolean] = [true, false, false];

describe("start", () => {
  it("waits for 60 s of room, begins at the minimum and rises by 0.2 A/s", () => {
    const bench = new Bench(testSite([ev("car")]));
    bench.tick();
    expect(bench.words()).toBe("car: off, 16.0 A asked; room for a start must hold for a minute");
    bench.run(59);
    expect(bench.told()).toBe(0);
    bench.tick();
    expect([bench.now, bench.told()]).toEqual([61_000, 6_000]);
    const from = bench.now;
    bench.run(200, () => bench.told() === 16_000);
    expect(bench.now - from).toBeGreaterThanOrEqual(50_000);
    expect(bench.words()).toBe("car: 16.0 A as asked");
  });

  it("needs 1.5 A above the minimum", () => {
    const bench = new Bench(testSite([ev("car")]));
    bench.load = [(24_000 - 7_400) * 0.23, 0, 0];
    expect(bench.run(300).told()).toBe(0);
    bench.load = [(24_000 - 7_600) * 0.23, 0, 0];
    expect(bench.run(300).told()).toBeGreaterThanOrEqual(6_000);
  });

  it("stays off for five minutes, and room that goes away resets the minute", () => {
    const bench = new Bench(testSite([ev("car")]));
    bench.run(120);
    bench.load = [5_000, 0, 0];
    bench.tick();
    expect(bench.told()).toBe(0);
    const off = bench.now;
    bench.load = [0, 0, 0];
    bench.run(600, () => bench.told() > 0);
    expect(bench.now - off).toBe(300_000);
    expect(bench.words()).toMatch(/^car: 6\.0 A/);
  });
});

describe("shares", () => {
  it("equals differ by at most a step", () => {
    const bench = new Bench(testSite([ev("a"), ev("b"), ev("c")]));
    bench.run(400);
    expect([bench.told(0), bench.told(1), bench.told(2)]).toEqual([8_000, 8_000, 8_000]);
    bench.load = [230 * 1.2, 0, 0];
    bench.run(60);
    expect([bench.told(0), bench.told(1), bench.told(2)].sort()).toEqual([7_000, 7_000, 8_000]);
  });

  it("the higher priority is filled first, the lower kept at its minimum", () => {
    const bench = new Bench(testSite([ev("low", { priority: 2 }), ev("high", { priority: 1 })]));
    bench.run(400);
    expect([bench.told(0), bench.told(1)]).toEqual([8_000, 16_000]);
    bench.load = [230 * 4, 0, 0];
    bench.run(5);
    expect([bench.told(0), bench.told(1)]).toEqual([6_000, 14_000]);
  });

  it("a phase that is full stops nobody on another", () => {
    const bench = new Bench(testSite([ev("one", { phases: L1 }), ev("three", { phases: [false, true, true] })]));
    bench.run(400);
    bench.load = [0, 0, 5_500];
    bench.tick();
    expect([bench.told(0), bench.told(1)]).toEqual([16_000, 0]);
    expect(bench.words(1)).toBe("three: off, 16.0 A asked; what main fuse leaves is below its minimum");
  });

  it("a start of a higher priority ends a lower one, but not within its on-time", () => {
    const bench = new Bench(testSite([ev("low", { priority: 2, phases: L1 }), ev("high", { priority: 1, phases: L1 })]));
    bench.reportOver = (i) => ({ wants: i === 0 || bench.now > 100_000 });
    bench.load = [230 * 14, 0, 0];
    bench.run(170);
    expect([bench.told(0) > 0, bench.told(1)]).toEqual([true, 0]);
    const low = bench.state.commanded[0]!.onSince!;
    bench.run(600, () => bench.told(1) > 0);
    expect(bench.told(0)).toBe(0);
    expect(bench.now - low).toBeGreaterThanOrEqual(300_000);
  });

  it("hands on what lies unused, and gives it back", () => {
    const bench = new Bench(testSite([ev("full", { priority: 1 }), ev("hungry", { priority: 2 })]));
    let appetite = 7_000;
    bench.draws = (i, setpoint) => (i === 0 ? Math.min(setpoint, appetite) : setpoint);
    bench.run(600);
    expect([bench.told(0), bench.told(1)]).toEqual([9_000, 15_000]);
    expect(bench.words(0)).toBe("full: 9.0 A, 16.0 A asked; draws less: the rest is handed on");
    appetite = 32_000;
    bench.run(300);
    expect([bench.told(0), bench.told(1)]).toEqual([16_000, 8_000]);
  });

  it("serves one that wants nothing nothing", () => {
    const bench = new Bench(testSite([ev("car")]));
    bench.reportOver = () => ({ wants: false });
    expect(bench.run(300).words()).toBe("car: off, 16.0 A asked; wants nothing");
  });
});

describe("shape", () => {
  it("goes down in the same tick and up after 10 s", () => {
    const bench = new Bench(testSite([ev("car")]));
    bench.run(300);
    bench.limits = testLimits(bench.site, { import: limit(6_000) });
    bench.tick();
    expect(bench.words()).toBe("car: 8.0 A, 16.0 A asked; grid operator's cap 6 kW binds");
    bench.limits = testLimits(bench.site);
    const at = bench.now;
    bench.run(60, () => bench.told() > 8_000);
    expect(bench.now - at).toBe(11_000);
    expect(bench.told()).toBe(10_000);
  });

  it("a cap below the minimum is off, and says so", () => {
    const bench = new Bench(testSite([ev("car")]));
    bench.run(300);
    bench.limits = testLimits(bench.site, { import: limit(4_000) });
    bench.tick();
    expect(bench.words()).toBe("car: off, 16.0 A asked; what grid operator's cap 4 kW leaves is below its minimum");
  });

  it("lets 6 A on three phases run and start under 4.2 kW for the controllable devices", () => {
    const bench = new Bench(testSite([ev("car")]));
    bench.limits = testLimits(bench.site, { controllable: limit(4_200, "contact") });
    expect(bench.run(100).told()).toBe(6_000);
  });

  it("still over after settling: halved, then off", () => {
    const bench = new Bench(testSite([ev("car", { phases: L1 })]));
    bench.run(200);
    expect(bench.told()).toBe(16_000);
    bench.draws = (_, setpoint) => (setpoint === 0 ? 0 : 27_000);
    const told: number[] = [];
    bench.run(40, () => { if (told.at(-1) !== bench.told()) told.push(bench.told()); return false; });
    told.push(bench.told());
    expect([...new Set(told)]).toEqual([16_000, 8_000, 0]);
    expect(bench.words()).toContain("does not follow its setpoint");
  });
});

describe("stale meter", () => {
  const site = testSite([ev("car"), battery("battery"), inverter("roof", { safe: 3_000 }), powerPump("pump", { phases: [false, false, true] })]);

  it("commands safe values from power-on to the first telegram", () => {
    const bench = new Bench(site);
    bench.silent = true;
    bench.run(30);
    expect(bench.decisions.map((one) => one.setpoint.value)).toEqual([0, 0, 3_000, 1_000]);
    expect(bench.words()).toBe("car: off, 16.0 A asked; no telegram yet: safe value");
  });

  it("rises no more after 5 periods, is safe within 10", () => {
    const bench = new Bench(site);
    bench.run(68);
    expect(bench.told()).toBe(6_000);
    bench.silent = true;
    bench.run(9);
    const before = bench.decisions.map((one) => one.setpoint.value);
    expect(before[0]).toBeGreaterThan(0);
    expect(bench.words()).toMatch(/telegrams are late: no rise/);
    bench.tick();
    expect(bench.decisions.map((one) => one.setpoint.value)).toEqual([0, 0, 3_000, 1_000]);
    expect(bench.words()).toBe("car: off, 16.0 A asked; no telegram for too long: safe value");
  });

  it("keeps a safe value below every limit that needs no meter; a minimum above it is off", () => {
    const bench = new Bench(site);
    bench.silent = true;
    bench.limits = testLimits(site, { import: limit(0), export: limit(1_500) });
    bench.run(3);
    expect(bench.decisions.map((one) => one.setpoint.value)).toEqual([0, 0, 1_500, 0]);
  });
});

describe("batteries and inverters", () => {
  it("a battery takes the rest and discharges into a shortage in the same tick", () => {
    const bench = new Bench(testSite([ev("car", { phases: L1 }), battery("battery")]));
    bench.limits = testLimits(bench.site, { import: limit(5_000) });
    bench.run(400);
    expect([bench.told(0), bench.told(1)]).toEqual([16_000, 5_000 - 100 - 3_680]);
    bench.load = [0, 6_000, 0];
    bench.tick();
    expect(bench.told(0)).toBe(0);
    expect(bench.words(1)).toBe("battery: discharges 1.1 kW; covers a shortage: grid operator's cap 5 kW binds");
  });

  it("an empty one does not, a full one does not charge", () => {
    const bench = new Bench(testSite([battery("battery")]));
    bench.limits = testLimits(bench.site, { import: limit(1_000) });
    bench.load = [2_000, 0, 0];
    bench.reportOver = () => ({ stateOfCharge: 0 });
    expect(bench.run(20).told()).toBe(0);
    bench.load = [0, 0, 0];
    bench.reportOver = () => ({ stateOfCharge: 1_000 });
    expect(bench.run(200).words()).toBe("battery: 0 W, 3 kW asked; wants nothing");
  });

  it("curtails PV to the export limit and the load, at once, and a production limit whatever the load", () => {
    const bench = new Bench(testSite([inverter("roof")]));
    bench.run(60);
    expect(bench.told()).toBe(8_000);
    bench.load = [500, 500, 500];
    bench.limits = testLimits(bench.site, { export: limit(2_000) });
    bench.tick();
    // At once to what was safe in the last half minute, then up to what the load of now allows.
    expect(bench.told()).toBe(1_890);
    expect(bench.run(200).told()).toBeGreaterThan(3_400 - 345);
    expect(bench.told()).toBeLessThanOrEqual(3_400);
    bench.limits = testLimits(bench.site, { production: limit(0, "contact") });
    bench.tick();
    expect(bench.words()).toBe("roof: produces at most 0 W of 8 kW; contact e1 limits to 0 W binds");
  });
});

describe("PEERS", () => {
  it("PEERS: active cap of 0 W treated as unlimited", () => {
    const bench = new Bench(testSite([ev("car"), battery("battery"), powerPump("pump")]));
    bench.run(400);
    bench.limits = testLimits(bench.site, { import: limit(0) });
    bench.tick();
    expect([bench.told(0), bench.told(2)]).toEqual([0, 0]);
    expect(bench.told(1)).toBeLessThanOrEqual(0);
  });

  it("PEERS: raised to 6 A although the cap is lower", () => {
    for (let watts = 0; watts < 4_200; watts += 300) {
      const bench = new Bench(testSite([ev("car")]));
      bench.run(200);
      bench.limits = testLimits(bench.site, { import: limit(watts) });
      expect(bench.run(200).told()).toBe(0);
    }
  });

  it("PEERS: grid meter lost → stays at 3 × 16 A", () => {
    const bench = new Bench(testSite([ev("car")]));
    bench.run(300);
    expect(bench.told()).toBe(16_000);
    bench.silent = true;
    expect(bench.run(10).told()).toBe(0);
    expect(bench.run(3_600).told()).toBe(0);
  });

  it("PEERS: overload on L3 stops a charger on L1", () => {
    const bench = new Bench(testSite([ev("car", { phases: L1 })]));
    bench.run(200);
    bench.load = [0, 0, 9_000];
    expect(bench.run(120).told()).toBe(16_000);
  });

  it("PEERS: stop/start instead of throttling; stepping faster than the meter updates", () => {
    const bench = new Bench(testSite([ev("car", { phases: L1 })]));
    bench.run(200);
    let changes = 0;
    let before = bench.told();
    for (let second = 0; second < 3_600; second++) {
      // A cooker that goes on and off every 20 s.
      bench.load = [second % 40 < 20 ? 3_000 : 300, 0, 0];
      bench.tick();
      expect(bench.told()).toBeGreaterThan(0);
      if (bench.told() !== before) changes += 1;
      before = bench.told();
    }
    expect(changes).toBeLessThan(10);
  });

  it("PEERS: one device offline at start stops everything", () => {
    const bench = new Bench(testSite([ev("dead"), ev("car"), battery("battery")]));
    bench.reportOver = (i) => (i === 0 ? { online: false } : {});
    bench.run(300);
    expect([bench.told(0), bench.told(1)]).toEqual([0, 16_000]);
    expect(bench.told(2)).toBeGreaterThan(0);
    expect(bench.words(0)).toBe("dead: off, 16.0 A asked; does not answer: safe value");
  });

  it("PEERS: battery charging from the grid exceeds the limit", () => {
    const bench = new Bench(testSite([battery("battery")]));
    bench.load = [1_500, 0, 0];
    bench.limits = testLimits(bench.site, { import: limit(3_000) });
    expect(bench.run(300).told()).toBe(3_000 - 100 - 1_500);
  });

  it("PEERS: hard minimum of 4,500 W against a cap of 4.2 kW", () => {
    const bench = new Bench(testSite([powerPump("pump", { minimum: 500, maximum: 6_000 })]));
    bench.limits = testLimits(bench.site, { controllable: limit(4_200) });
    expect(bench.run(300).told()).toBe(4_200);
  });
});
