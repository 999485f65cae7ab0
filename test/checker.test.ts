import { describe, expect, it } from "vitest";
import type { Setpoint } from "../src/allocation/decision.js";
import type { Limits } from "../src/limits/limit.js";
import { Checker } from "../tools/rig/checker.js";
import { battery, ev, limit, report, sgPump, testLimits, testReading, testSite, type HouseOptions } from "./house.js";
import { runHouse, type Run } from "./property/run_house.js";

/** A judge that never finds anybody guilty is worth nothing: each fault here must be caught by its invariant. */
const site = testSite([ev("car"), ev("second", { priority: 2 }), battery("battery"), sgPump("pump", { priority: 4 })]);
const house: HouseOptions = {
  seed: 7, period: 1_000, base: 800, swing: 100, appliance: 1 / 150, applianceWatts: 2_500,
  measures: [true, true, true, true], sun: 0, appetite: [1, 1, 1, 1], meter: "dsmr5",
};
const capped = (second: number): Limits => testLimits(site, second > 900 && second < 1_500 ? { import: limit(5_000) } : {});

type Tamper = NonNullable<Run["tamper"]>;
const change = (device: number, edit: (value: number, second: number) => number): Tamper => (setpoints, second) =>
  setpoints.map((one, i) => (i === device ? { ...one, value: edit(one.value, second) } as Setpoint : one));

function found(over: Partial<Run>): number[] {
  const breaches = runHouse({ site, house, seconds: 1_800, limitsAt: capped, ...over }).breaches;
  return [...new Set(breaches.map((one) => one.invariant))];
}

/** Setpoints as they were some seconds ago. */
function late(seconds: number): Tamper {
  const past: (readonly Setpoint[])[] = [];
  return (setpoints) => {
    past.push(setpoints);
    return past[Math.max(0, past.length - 1 - seconds)]!;
  };
}

describe("the checker", () => {
  it("finds nothing in the law as it is", () => expect(found({ silent: (second) => second > 600 && second < 640 })).toEqual([]));

  it("catches a setpoint between off and the minimum (1)", () => expect(found({ tamper: change(0, (value) => (value === 6_000 ? 4_000 : value)) })).toContain(1));
  it("catches a setpoint off its grid (1)", () => expect(found({ tamper: change(0, (value) => (value > 6_000 ? value + 300 : value)) })).toContain(1));
  it("catches raising to the minimum although the limit is lower (2)", () => expect(found({ tamper: change(0, (value) => Math.max(value, 6_000)), limitsAt: () => testLimits(site, { import: limit(2_000) }) })).toContain(2));
  it("catches limits that act a tick late (2)", () => expect(found({ tamper: late(1) })).toContain(2));
  it("catches a cap of 0 W taken for none (2)", () => {
    let real: Limits = testLimits(site);
    const judge = new Checker(site);
    const checker = runHouse({ site, house, seconds: 400, limitsAt: () => (real = testLimits(site)), each: ({ second, decisions, reading }) => {
      judge.observe({ now: second * 1_000, reading, limits: { ...real, import: limit(0) }, reports: site.devices.map(() => report()), setpoints: decisions.map((one) => one.setpoint) });
    } });
    expect(checker.breaches).toEqual([]);
    expect(judge.breaches.map((one) => one.invariant)).toContain(2);
  });
  it("catches a battery that charges past the limit (2)", () => expect(found({ tamper: change(2, (value, second) => (second > 900 ? 3_000 : value)) })).toContain(2));
  it("catches setpoints that stay when telegrams stop (3)", () => expect(found({ silent: (second) => second > 500, tamper: ((last: readonly Setpoint[] | null) => (setpoints: readonly Setpoint[], second: number) => (last = second > 505 && last !== null ? last : setpoints))(null) })).toContain(3));
  it("catches a rise by more than 3 A, or too soon (4)", () => {
    expect(found({ tamper: change(0, (value) => (value > 6_000 ? 16_000 : value)) })).toContain(4);
  });
  it("catches a start within the off-time (5)", () => expect(found({ tamper: change(0, (value, second) => (second % 100 < 10 ? 0 : value)) })).toContain(5));
  it("catches a device told to stop that goes on (6)", () => {
    // What is commanded is right; the wire to the device carries something else, and the device does not measure.
    const judge = new Checker(site);
    for (let second = 0; second < 60; second++) {
      const watts: [number, number, number] = [3_000, 3_000, 3_000];
      judge.observe({
        now: second * 1_000, limits: testLimits(site, { import: limit(5_000) }), reading: testReading(second * 1_000, watts),
        reports: site.devices.map((_, i) => report(i === 0 ? { power: 8_000 } : i === 2 ? { power: 0 } : { power: 0, current: [0, 0, 0] })),
        setpoints: [{ kind: "current", value: 12_000 }, { kind: "current", value: 0 }, { kind: "power", value: 0 }, { kind: "sg_ready", value: 2 }],
      });
    }
    expect(judge.breaches.map((one) => one.invariant)).toContain(6);
  });
  it("catches a block that is too short, too soon, too many or too long (8)", () => {
    const blocks = (pattern: (second: number) => boolean, seconds: number, emergency = false) => {
      const judge = new Checker(site);
      for (let second = 0; second < seconds; second++) {
        judge.observe({
          now: second * 1_000, limits: testLimits(site, { emergency }), reading: testReading(second * 1_000, [0, 0, 0]), reports: site.devices.map(() => report()),
          setpoints: [{ kind: "current", value: 0 }, { kind: "current", value: 0 }, { kind: "power", value: 0 }, { kind: "sg_ready", value: pattern(second) ? 1 : 2 }],
        });
      }
      return judge.breaches.map((one) => one.detail);
    };
    expect(blocks((second) => second > 10 && second < 500, 600).join()).toMatch(/unblocked after/);
    expect(blocks((second) => second % 900 < 650, 1_000).join()).toMatch(/after the last block/);
    expect(blocks((second) => second % 1_300 < 650, 3_000).join()).toMatch(/reserved block/);
    expect(blocks((second) => second % 1_300 < 650, 4_500, true).join()).toMatch(/block 4/);
    expect(blocks((second) => second < 5_500, 5_500).join()).toMatch(/reserved 30 min/);
    expect(blocks((second) => second < 7_300, 7_300, true).join()).toMatch(/blocked 72\d+ ms/);
    expect(blocks((second) => second % 1_300 < 650, 2_600)).toEqual([]);
  });
  it("remembers blocks over a restart (8)", () => {
    const judge = new Checker(site);
    let now = 0;
    for (let boot = 0; boot < 4; boot++) {
      for (let second = 0; second < 1_400; second++, now += 1_000) {
        judge.observe({
          now, limits: testLimits(site, { emergency: true }), reading: testReading(now, [0, 0, 0]), reports: site.devices.map(() => report()),
          setpoints: [{ kind: "current", value: 0 }, { kind: "current", value: 0 }, { kind: "power", value: 0 }, { kind: "sg_ready", value: second < 700 ? 1 : 2 }],
        });
      }
      judge.restart(now);
    }
    expect(judge.breaches.map((one) => one.detail).join()).toMatch(/block 4 in 24 h/);
  });
  it("catches a device that is not written (10)", () => {
    const judge = new Checker(site);
    const step = (second: number) => judge.observe({
      now: second * 1_000, limits: testLimits(site), reading: testReading(second * 1_000, [0, 0, 0]), reports: site.devices.map(() => report()), written: second % 10 === 0 ? [0, 1, 2] : [],
      setpoints: [{ kind: "current", value: 0 }, { kind: "current", value: 0 }, { kind: "power", value: 0 }, { kind: "sg_ready", value: 2 }],
    });
    const all = Array.from({ length: 30 }, (_, second) => step(second)).flat();
    expect(new Set(all.map((one) => one.detail.split(" ")[0]))).toEqual(new Set(["pump"]));
  });
  it("catches the lower priority being served first (11)", () => {
    const quiet = { ...house, swing: 0, appliance: 0, measures: [false, false, false, false] };
    const swap: Tamper = (setpoints) => [setpoints[1]!, setpoints[0]!, ...setpoints.slice(2)];
    expect(found({ house: quiet, tamper: swap, limitsAt: () => testLimits(site) })).toContain(11);
  });
  it("catches a setpoint that wanders though nothing changes (12)", () => {
    const quiet = { ...house, swing: 0, appliance: 0 };
    expect(found({ house: quiet, limitsAt: () => testLimits(site), tamper: change(0, (value, second) => (second > 900 && second % 60 < 30 ? Math.max(6_000, value - 1_000) : value)) })).toContain(12);
  });
  it("catches a device above its safe value before the first telegram (14)", () => expect(found({ tamper: change(0, (value, second) => (second === 1 ? 6_000 : value)) })).toContain(14));
});
