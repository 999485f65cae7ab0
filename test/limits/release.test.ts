import { describe, expect, it } from "vitest";
import { RAISE_DELAY_MAX_MS, RAISE_RAMP_MS } from "../../src/constants.js";
import { spread16, spreadOver } from "../../src/limits/spread.js";
import { capOf, House, relay, siteOf, T0, watts } from "./house.js";

const SERIAL = siteOf().serial;

/** A cap that has run its length; the link stays alive. */
function ended(duration: number, release: number | null = null): House {
  const house = new House();
  house.tick(house.token([capOf({ duration, release })], { exp: T0 + 30 * 86_400 }));
  house.run(duration);
  return house;
}

/** Into the ramp, to 5 kW. */
function toRamp(house: House): House {
  for (let i = 0; i < 9_000 && watts(house.limits.import)! < 5_000; i++) house.run(1);
  expect(house.limits.import).toMatchObject({ source: "release" });
  return house;
}

describe("release to no cap (CAPS, Life 4)", () => {
  it("D = 1.5 x the length: waits D·u at the old cap, then rises in a straight line over D/2, then none", () => {
    const house = ended(3_600);
    const d = 5_400;
    const wait = Math.floor(spreadOver(d * 1_000, SERIAL, "0000aaaa") / 1_000);
    house.run(wait);
    expect(house.limits.import).toMatchObject({ source: "release", watts: 2_000, id: "0000aaaa" });
    house.run(1_350);
    const half = watts(house.limits.import)!;
    expect(Math.abs(half - (2_000 + 17_250) / 2)).toBeLessThan(20);
    house.run(1_348);
    expect(house.limits.import.kind === "limit" && house.limits.import.source).toBe("release");
    house.run(4);
    expect(house.limits.import).toMatchObject({ source: "connection", watts: 17_250 });
    expect(house.kinds()).toEqual(expect.arrayContaining(["release_begins", "release_ends"]));
  });

  it("D is at most 3 h, and the event's own wish goes before the rule", () => {
    const begins = (house: House) => house.events.find((e) => e.kind === "release_begins");
    expect(begins(ended(4 * 3_600))).toMatchObject({ ramp: 5_400_000 });
    expect(begins(ended(600, 1_000))).toMatchObject({ ramp: 500_000 });
    const none = ended(600, 0);
    expect(none.limits.import).toMatchObject({ source: "connection" });
  });

  it("a cancel releases by the time the event was in force", () => {
    const house = new House();
    house.tick(house.token([capOf({ duration: 7_200 })]));
    house.run(600);
    house.tick(house.token([]));
    expect(house.events.find((e) => e.kind === "release_begins")).toMatchObject({ ramp: 450_000 });
  });

  it("a lower cap in the middle of the ramp falls at once; after it the old release is not shortened", () => {
    const house = toRamp(ended(3_600));
    const ramp = house.state.import.release!;
    const oldEnd = ramp.begin + ramp.delay + ramp.ramp;
    house.tick(house.token([capOf({ id: "bbbbbbbb", start: house.utc, duration: 10, importLimit: 1_000 })]));
    expect(house.limits.import).toMatchObject({ source: "cap", watts: 1_000 });
    house.run(10);
    expect(house.limits.import).toMatchObject({ source: "release", watts: 1_000 });
    const after = house.state.import.release!;
    expect(after.begin + after.delay + after.ramp).toBeGreaterThanOrEqual(oldEnd);
  });

  it("neighbours are spread over [0, D), the same house always at the same place", () => {
    const places = Array.from({ length: 2_000 }, (_, i) => spread16(`VN-${String(i).padStart(6, "0")}`, "0000aaaa"));
    const buckets = new Array<number>(10).fill(0);
    for (const u of places) {
      expect(u).toBeGreaterThanOrEqual(0);
      expect(u).toBeLessThan(65_536);
      buckets[Math.floor((u * 10) / 65_536)]!++;
    }
    for (const count of buckets) expect(Math.abs(count - 200)).toBeLessThan(60);
    expect(spread16("VN-000001", "x")).toBe(spread16("VN-000001", "x"));
    expect(spread16("a", "bc")).not.toBe(spread16("ab", "c"));
  });
});

describe("raise to a higher cap", () => {
  it("waits at most 60 s, then rises in a straight line over 300 s", () => {
    const house = new House();
    house.tick(house.token([capOf({ id: "aaaaaaaa", duration: 7_200 })]));
    house.run(100);
    house.tick(house.token([capOf({ id: "bbbbbbbb", duration: 7_200, importLimit: 8_000 })]));
    expect(watts(house.limits.import)).toBe(2_000);
    const wait = Math.floor(spreadOver(RAISE_DELAY_MAX_MS, SERIAL, "aaaaaaaa") / 1_000);
    expect(wait).toBeLessThan(60);
    house.run(wait);
    expect(watts(house.limits.import)).toBe(2_000);
    house.run(150);
    expect(Math.abs(watts(house.limits.import)! - 5_000)).toBeLessThanOrEqual(20);
    house.run(RAISE_RAMP_MS / 2_000 + 1);
    expect(house.limits.import).toMatchObject({ source: "cap", id: "bbbbbbbb", watts: 8_000 });
  });

  it("a higher goal in the middle of a raise never makes it jump", () => {
    const house = new House();
    house.tick(house.token([capOf({ duration: 7_200 })]));
    house.tick(house.token([capOf({ duration: 7_200, importLimit: 6_000 })]));
    house.run(200);
    let before = watts(house.limits.import)!;
    house.tick(house.token([capOf({ duration: 7_200, importLimit: 14_000 })]));
    for (let i = 0; i < 400; i++) {
      expect(watts(house.limits.import)! - before).toBeLessThanOrEqual(Math.ceil(14_000 / 300));
      before = watts(house.limits.import)!;
      house.run(1);
    }
    expect(before).toBe(14_000);
  });
});

describe("contacts and states are released like caps", () => {
  it("a relay that opens after an hour does not bring the house back at once", () => {
    const house = new House(siteOf({ hasOperator: false, inputs: [relay()] }));
    house.contacts = [true];
    house.run(3_600);
    expect(house.limits.import).toMatchObject({ source: "contact", id: "w4", watts: 4_200 });
    house.contacts = [false];
    house.run(1);
    expect(house.limits.import).toMatchObject({ source: "release", watts: 4_200 });
    expect(house.state.import.release!.ramp).toBeGreaterThanOrEqual(2_699_000);
  });

  it("after two hours in failsafe the release takes what a two-hour event would take", () => {
    const house = new House();
    house.tick();
    house.run(7_000);
    house.tick(house.token([]));
    expect(house.limits.state).toBe("controlled");
    expect(house.limits.import).toMatchObject({ source: "release", watts: 4_200 });
    expect(house.state.import.release!.ramp).toBeGreaterThan(5_000_000);
  });

  it("export, controllable devices and production each have a release of their own", () => {
    const house = new House(siteOf({ hasOperator: false, inputs: [relay({ importLimit: 3_000, exportLimit: 1_000, scope: "controllable" })] }));
    house.contacts = [true];
    house.tick(house.token([capOf({ importLimit: null, exportLimit: 500 })]));
    expect([house.limits.export, house.limits.controllable, house.limits.production].map(watts)).toEqual([500, 3_000, 1_000]);
    house.run(1_000);
    house.contacts = [false];
    house.tick(house.token([]));
    expect([house.limits.export, house.limits.controllable, house.limits.production].map((l) => l.kind === "limit" && l.source))
      .toEqual(["release", "release", "release"]);
    house.run(3 * 3_600);
    expect([house.limits.export, house.limits.controllable, house.limits.production].map(watts)).toEqual([17_250, null, null]);
  });
});

describe("a reboot in a release", () => {
  it("with the clock lost the release begins anew, below where it was", () => {
    const house = toRamp(ended(3_600));
    const before = watts(house.limits.import)!;
    house.clock = false;
    house.reboot(10);
    expect(watts(house.limits.import)).toBe(2_000);
    house.run(600);
    expect(watts(house.limits.import)!).toBeLessThanOrEqual(before);
  });

  it("with the clock the delay served counts, and the level never jumps", () => {
    const house = ended(3_600);
    house.run(60);
    house.reboot(4 * 3_600);
    expect(watts(house.limits.import)).toBe(2_000);
    house.run(60);
    expect(watts(house.limits.import)!).toBeLessThan(3_000);
    expect(watts(house.limits.import)!).toBeGreaterThan(2_000);
  });

  it("a cap that ended while the power was off is released by its true length", () => {
    const house = new House();
    house.tick(house.token([capOf({ duration: 3_600 })], { exp: T0 + 30 * 86_400 }));
    house.run(60);
    house.reboot(7_200);
    house.run(2);
    expect(house.limits.import).toMatchObject({ source: "release", watts: 2_000 });
    expect(house.state.import.release!.ramp).toBe(2_700_000);
  });
});
