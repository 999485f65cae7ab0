import { describe, expect, it } from "vitest";
import { sgPersist, sgRestore } from "../../src/allocation/allocation.js";
import { ev, limit, sgPump, testLimits, testSite } from "../house.js";
import { Bench } from "./bench.js";

const MIN = 60;
const site = testSite([sgPump("pump")]);
const capped = (emergency = false) => testLimits(site, { import: limit(2_000), emergency });

/** Ticks until the pump's state changes; returns the seconds it took. */
function untilChange(bench: Bench, most: number): number {
  const before = bench.told();
  const from = bench.now;
  bench.run(most, () => bench.told() !== before);
  return (bench.now - from) / 1_000;
}

describe("SG Ready", () => {
  it("is blocked only when nothing else is left, within 10 s of the cap", () => {
    const bench = new Bench(testSite([ev("car"), sgPump("pump")]));
    bench.run(300);
    bench.limits = testLimits(bench.site, { import: limit(5_000) });
    bench.run(60);
    // The charger alone can make room: 3 kW of pump fit under 5 kW.
    expect([bench.told(0), bench.told(1)]).toEqual([0, 2]);
    bench.limits = testLimits(bench.site, { import: limit(2_000) });
    bench.run(4);
    expect(bench.words(1)).toBe("pump: blocked (state 1); nothing else is left to turn down: grid operator's cap 2 kW binds");
  });

  it("is not blocked by a peak of two seconds", () => {
    const bench = new Bench(site);
    bench.run(60);
    bench.limits = testLimits(site, { import: limit(4_000) });
    bench.load = [3_000, 0, 0];
    bench.run(2);
    bench.load = [0, 0, 0];
    bench.run(60);
    expect(bench.told()).toBe(2);
  });

  it("a block lasts ten minutes though the cap is gone, and ends within the spread after it fits", () => {
    const bench = new Bench(site);
    bench.run(10);
    bench.limits = capped();
    bench.run(10);
    expect(bench.told()).toBe(1);
    bench.limits = testLimits(site);
    expect(untilChange(bench, 1_800)).toBeGreaterThan(590);
    const ends = new Set(Array.from({ length: 12 }, (_, i) => {
      const other = new Bench({ ...site, serial: `VN${i}` });
      other.run(10);
      other.limits = capped();
      other.run(900);
      other.limits = testLimits(site);
      return untilChange(other, 1_800);
    }));
    expect(ends.size).toBeGreaterThan(6);
    for (const seconds of ends) {
      expect(seconds).toBeGreaterThanOrEqual(60);
      expect(seconds).toBeLessThanOrEqual(301);
    }
  });

  it("spends at most 90 min and two blocks without an emergency; the reserve with one; never more than 2 h", () => {
    const bench = new Bench(site);
    bench.run(10);
    bench.limits = capped();
    bench.run(10);
    expect(untilChange(bench, 7_200)).toBeGreaterThan(89 * MIN);
    expect(bench.words()).toContain("spent");
    bench.run(3_600);
    expect(bench.told()).toBe(2);
    expect(bench.words()).toBe("pump: normal (state 2); needed, but the blocks of these 24 hours are spent: the pump counts as uncontrolled");
    bench.limits = capped(true);
    expect(untilChange(bench, 60)).toBeLessThanOrEqual(2);
    const second = untilChange(bench, 7_200);
    expect(second).toBeGreaterThan(29 * MIN);
    expect(second).toBeLessThanOrEqual(30 * MIN + 10);
    bench.run(3_600);
    expect(bench.told()).toBe(2);
  });

  it("keeps ten minutes between blocks", () => {
    const bench = new Bench(site);
    bench.run(10);
    bench.limits = capped();
    bench.run(10);
    bench.limits = testLimits(site);
    untilChange(bench, 1_800);
    bench.limits = capped();
    bench.run(10);
    expect(bench.words()).toBe("pump: normal (state 2); needed, but blocks are at least ten minutes apart");
    expect(untilChange(bench, 1_200)).toBeGreaterThan(585);
  });

  it("holds a begun block over a stale meter for its ten minutes, then is normal", () => {
    const bench = new Bench(site);
    bench.run(10);
    bench.limits = capped();
    bench.run(10);
    bench.silent = true;
    const seconds = untilChange(bench, 1_800);
    expect(seconds).toBeGreaterThan(585);
    expect(seconds).toBeLessThan(600);
    expect(bench.told()).toBe(2);
  });

  it("is encouraged by surplus of its own power after a minute, and not flapped", () => {
    const bench = new Bench(site);
    bench.load = [-2_500, -2_500, -2_500];
    bench.run(30);
    expect(bench.told()).toBe(2);
    bench.run(120);
    expect(bench.words()).toBe("pump: encouraged (state 3); solar surplus");
    bench.load = [0, 0, 0];
    expect(untilChange(bench, 1_800)).toBeGreaterThan(400);
    expect(bench.told()).toBe(2);
  });

  it("counts by its nominal power under a limit for the controllable devices", () => {
    const bench = new Bench(testSite([ev("car"), sgPump("pump")]));
    bench.reportOver = (i) => (i === 1 ? { power: null } : {});
    bench.limits = testLimits(bench.site, { controllable: limit(7_200) });
    bench.run(100);
    expect([bench.told(0), bench.told(1)]).toEqual([6_000, 2]);
    bench.limits = testLimits(bench.site, { controllable: limit(2_000) });
    bench.run(10);
    expect([bench.told(0), bench.told(1)]).toEqual([0, 1]);
  });
});

describe("the rolling log", () => {
  function blockedOnce(): Bench {
    const bench = new Bench(site);
    bench.run(10);
    bench.limits = capped();
    bench.run(10);
    return bench;
  }

  it("is to be stored in the tick a block begins and ends", () => {
    const bench = blockedOnce();
    expect(bench.persisted).toBe(1);
    expect(sgPersist(bench.state)).toMatch(/^\[\["pump",\[\[17000000\d\d,null\]\]\]\]$/);
    bench.limits = testLimits(site);
    untilChange(bench, 1_800);
    expect(bench.persisted).toBe(2);
  });

  it("comes back over a reboot: what was spent stays spent", () => {
    const before = blockedOnce();
    untilChange(before, 7_200);
    const after = new Bench(site, sgRestore(sgPersist(before.state)));
    after.utc = before.utc! + 60;
    after.limits = capped();
    after.run(3_600);
    expect(after.told()).toBe(2);
    after.limits = capped(true);
    after.run(5);
    expect(after.told()).toBe(1);
  });

  it("with the clock lost counts as spent, until a clock tells otherwise", () => {
    const before = blockedOnce();
    const after = new Bench(site, sgRestore(sgPersist(before.state)));
    after.utc = null;
    after.limits = capped(true);
    after.run(600);
    expect(after.words()).toContain("spent");
    after.utc = before.utc! + 90_000;
    after.run(5);
    expect(after.told()).toBe(1);
  });

  it("that is unreadable, or was written without a clock, counts as spent for 24 h", () => {
    for (const text of ["", "{}", "[[1,[]]]", '[["pump",[[5]]]]', '[["pump",[[-1,2]]]]', '[["pump",[[null,null]]]]']) {
      const bench = new Bench(site, sgRestore(text));
      bench.limits = capped(true);
      bench.run(30);
      expect([text, bench.told()]).toEqual([text, 2]);
    }
    const fresh = new Bench(site, sgRestore(null));
    fresh.limits = capped();
    fresh.run(30);
    expect(fresh.told()).toBe(1);
  });

  it("whose blocks lie ahead of the clock, or never ended, counts them as just ended", () => {
    const bench = new Bench(site, sgRestore('[["pump",[[1700090000,null]]]]'));
    bench.limits = capped(true);
    bench.run(30);
    expect(bench.told()).toBe(2);
  });
});
