/** Rows of PEERS.md, "Their bugs, as cases for our tests", that touch the limits. */
import { describe, expect, it } from "vitest";
import { capOf, House, relay, siteOf, T0, watts } from "./house.js";

describe("bugs of the nearest projects", () => {
  it("PEERS: active cap of 0 W treated as unlimited", () => {
    const house = new House();
    house.tick(house.token([capOf({ importLimit: 0, exportLimit: 0 })]));
    expect(house.limits.import).toMatchObject({ kind: "limit", watts: 0, source: "cap" });
    expect(house.limits.export).toMatchObject({ kind: "limit", watts: 0, source: "cap" });
    expect(house.limits.state).toBe("limited");
  });

  it("PEERS: open-ended cap rejected the first time", () => {
    const house = new House();
    house.tick(house.token([capOf({ duration: Number.MAX_SAFE_INTEGER - T0 })]));
    expect(watts(house.limits.import)).toBe(2_000);
    house.runWithLink(7_200, [capOf({ duration: Number.MAX_SAFE_INTEGER - T0 })]);
    expect(watts(house.limits.import)).toBe(2_000);
  });

  it("PEERS: failsafe entered, not enforced; second failsafe never entered; failsafe never left", () => {
    const house = new House();
    house.tick(house.token([], { exp: T0 + 60 }));
    for (let round = 0; round < 3; round++) {
      house.run(60);
      expect(house.limits.state).toBe("failsafe");
      expect(watts(house.limits.import)!).toBeLessThanOrEqual(4_200);
      house.run(100);
      expect(watts(house.limits.import)!).toBeLessThanOrEqual(4_200);
      house.tick(house.token([], { exp: house.utc + 60 }));
      expect(house.limits.state).toBe("controlled");
    }
    house.runWithLink(4 * 3_600);
    expect(house.limits.import).toMatchObject({ source: "connection" });
  });

  it("PEERS: false failsafe 10 s after connecting", () => {
    const house = new House();
    house.run(5);
    house.tick(house.token([]));
    house.run(890);
    expect(house.events.filter((e) => e.kind === "state").map((e) => e.to)).toEqual(["controlled"]);
    // Nor after a reboot: the stored token is still a promise, and the broker only repeats it.
    house.reboot(5);
    expect(house.limits.state).toBe("controlled");
  });

  it("PEERS: disconnect clears the cap", () => {
    const house = new House();
    house.tick(house.token([capOf({ importLimit: 3_000, duration: 7_200 })]));
    for (let i = 0; i < 7_199; i += 60) {
      house.run(Math.min(60, 7_199 - i));
      expect(house.limits.import).toMatchObject({ watts: 3_000, source: "cap" });
    }
  });

  it("PEERS: cap lost at reboot", () => {
    for (const clock of [true, false]) {
      const house = new House();
      house.tick(house.token([capOf({ duration: 3_600 })]));
      house.run(600);
      house.clock = clock;
      house.reboot(20);
      expect(house.limits.import).toMatchObject({ watts: 2_000, source: "cap" });
      house.run(2_900);
      expect(house.limits.import).toMatchObject({ watts: 2_000, source: "cap" });
    }
  });

  it("PEERS: a cap that had yet to begin is lost at reboot", () => {
    for (const clock of [true, false]) {
      const house = new House();
      house.tick(house.token([capOf({ start: T0 + 1_800 })]));
      house.run(1_000);
      house.clock = clock;
      house.reboot(20);
      house.run(800);
      expect(house.limits.import).toMatchObject({ watts: 2_000, source: "cap" });
    }
  });

  it("PEERS: relay input unreadable → last value for ever; missing input → no limit", () => {
    const house = new House(siteOf({ hasOperator: false, inputs: [relay(), relay({ id: "s1", importLimit: 3_000 })] }));
    house.contacts = [false, false];
    house.run(60);
    expect(house.limits.import).toMatchObject({ source: "connection" });
    house.contacts = [null, false];
    house.run(1);
    expect(house.limits.import).toMatchObject({ source: "contact", id: "w4", watts: 4_200 });
    house.contacts = [];
    house.run(1);
    expect(house.limits.import).toMatchObject({ source: "contact", id: "s1", watts: 3_000 });
    expect(house.events).toContainEqual({ kind: "contact", id: "s1", state: "unreadable" });
    house.contacts = [false, false];
    house.run(900);
    expect(house.limits.import).toMatchObject({ source: "connection" });
  });

  it("PEERS: hard minimum of 4,500 W against a cap of 4.2 kW", () => {
    for (const cap of [0, 1, 1_000, 4_199, 4_200, 4_500]) {
      const house = new House();
      house.tick(house.token([capOf({ importLimit: cap })]));
      expect(watts(house.limits.import)).toBe(cap);
    }
  });

  it("PEERS: safety check skipped while the clock is unsynchronised", () => {
    const house = new House(siteOf({ inputs: [relay({ importLimit: 3_500 })] }));
    house.clock = false;
    house.tick();
    expect(watts(house.limits.import)).toBe(4_200);
    house.contacts = [true];
    house.run(1);
    expect(watts(house.limits.import)).toBe(3_500);
    house.tick(house.token([capOf({ importLimit: 1_500 })]));
    expect(watts(house.limits.import)).toBe(1_500);
    house.voltage = [205_000, 205_000, 205_000];
    house.run(12);
    expect(watts(house.limits.controllable)).toBe(0);
  });
});
