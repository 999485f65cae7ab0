import { describe, expect, it } from "vitest";
import { STORE_VALUE_BYTES_MAX, TOKEN_EVENTS_MAX } from "../../src/constants.js";
import { limitsPersist, limitsRestore, limitsStart, limitsTick } from "../../src/limits/limits.js";
import { par14aLimit, par14aSite } from "../../src/limits/par14a.js";
import { tariffStep, type TariffState } from "../../src/limits/tariff.js";
import { describeLimit, describeLimitsEvent, describeWatts } from "../../src/limits/words.js";
import { BATTERY, capOf, EV, House, PUMP, readingOf, relay, siteOf, T0, watts } from "./house.js";

describe("section 14a EnWG", () => {
  it("follows the table: one device 4.2 kW, three 10.5 kW, ten 4.2 + 9 x 0.45 x 4.2", () => {
    expect([1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((n) => par14aLimit(n, 0)))
      .toEqual([4_200, 7_560, 10_500, 13_020, 15_120, 16_800, 18_060, 18_900, 19_320, 21_210]);
    expect(par14aLimit(0, 0)).toBe(0);
  });

  it("heat pumps above 11 kW count with 0.4 x their power where that is more", () => {
    expect(par14aLimit(1, 10_400)).toBe(4_200);
    expect(par14aLimit(1, 20_000)).toBe(8_000);
    expect(par14aSite([EV, BATTERY, PUMP])).toBe(10_500);
    expect(par14aSite([EV, { ...PUMP, nominal: 11_000 }])).toBe(7_560);
    expect(par14aSite([EV, { ...PUMP, nominal: 15_000 }])).toBe(6_000 + 3_360);
  });

  it("a dim of 4.2 kW means the sum for all devices, 0 W stays 0 W, and nothing of it touches the net power", () => {
    const site = siteOf({ par14a: true, hasOperator: false, inputs: [relay({ importLimit: null, scope: "controllable" })] });
    const house = new House(site);
    house.contacts = [true];
    house.run(1);
    expect(house.limits.controllable).toMatchObject({ watts: 10_500, source: "contact" });
    expect(watts(house.limits.import)).toBe(17_250);
    house.tick(house.token([capOf({ importLimit: 4_200, controllable: true })]));
    expect(watts(house.limits.controllable)).toBe(10_500);
    house.tick(house.token([capOf({ importLimit: 0, controllable: true })]));
    expect(watts(house.limits.controllable)).toBe(0);
  });
});

describe("capacity tariff", () => {
  const at = (seconds: number, over = {}) => readingOf({ at: seconds * 1_000, meterTime: T0 + seconds, ...over });

  it("limit = (target energy - used) / time left, from the meter's running mean", () => {
    // Half the quarter at 4 kW on a target of 3 kW: (3 x 900 - 4 x 450) / 450 = 2 kW.
    expect(tariffStep(3_000, null, at(450, { quarterAverage: 2_000 })).limit).toBe(2_000);
    expect(tariffStep(3_000, null, at(450, { quarterAverage: 3_500 })).limit).toBe(0);
    expect(tariffStep(1_000, null, at(0, { quarterAverage: 0 })).limit).toBe(2_500);
    expect(tariffStep(3_000, null, at(0, { quarterAverage: 0, monthPeak: 4_400 })).limit).toBe(4_400);
  });

  it("integrates the register, else the power, and begins anew with the meter's quarter", () => {
    let byPower: TariffState | null = null;
    let byRegister: TariffState | null = null;
    for (let s = 0; s <= 450; s++) {
      byPower = tariffStep(3_000, byPower, at(s, { net: 4_000 }));
      byRegister = tariffStep(3_000, byRegister, at(s, { imported: 1_000 + Math.floor((4_000 * s) / 3_600) }));
    }
    expect(byPower!.limit).toBe(2_000);
    expect(Math.abs(byRegister!.limit - 2_000)).toBeLessThan(20);
    for (let s = 451; s <= 900; s++) byPower = tariffStep(3_000, byPower, at(s, { net: 2_000 }));
    expect(byPower!).toMatchObject({ used: 0, limit: 3_000 });
    expect(tariffStep(3_000, byPower, at(901, { net: -5_000 })).used).toBe(0);
  });

  it("seen for the first time in the middle of a quarter it takes the target as used; without a meter clock the target is the limit", () => {
    expect(tariffStep(3_000, null, at(600)).limit).toBe(3_000);
    expect(tariffStep(3_000, null, readingOf({ meterTime: null })).limit).toBe(3_000);
  });

  it("the last seconds of a quarter do not turn a rest of energy into a great power", () => {
    expect(tariffStep(3_000, null, at(899, { quarterAverage: 2_000 })).limit).toBe(15_000);
  });
});

describe("the tightest binds, with its source", () => {
  it("0 is a number, none only where nothing limits", () => {
    const open = siteOf({ hasOperator: false, connection: { phases: 3, delta: false, fuse: 25_000, importMax: null, exportMax: null } });
    const house = new House(open);
    house.run(60);
    expect([house.limits.import, house.limits.export, house.limits.controllable, house.limits.production]).toEqual(Array(4).fill({ kind: "none" }));
    const owner = new House({ ...open, ownerImport: 0, ownerExport: 0 });
    owner.run(60);
    expect(owner.limits.import).toMatchObject({ watts: 0, source: "owner" });
    expect(owner.limits.export).toMatchObject({ watts: 0, source: "owner" });
  });

  it("fuse less its margin, phases that do not exist 0; all that was weighed is shown", () => {
    const house = new House(siteOf({ tariffTarget: 4_000, ownerImport: 9_000 }));
    expect(house.tick().fuse).toEqual([24_000, 24_000, 24_000]);
    expect(house.limits.weighed.map((l) => l.kind === "limit" && l.source)).toEqual(["start", "tariff", "owner", "connection"]);
    const single = new House(siteOf({ connection: { phases: 1, delta: false, fuse: 35_000, importMax: null, exportMax: null } }));
    expect(single.tick().fuse).toEqual([34_000, 0, 0]);
  });
});

describe("words", () => {
  it("say what limits and until when", () => {
    expect(describeLimit({ kind: "limit", watts: 4_200, source: "cap", id: "a1", until: T0 + 8_100 })).toBe("grid operator's cap 4.2 kW until 19:15 UTC");
    expect(describeLimit({ kind: "limit", watts: 0, source: "contact", id: "w4", until: null })).toBe("contact w4 limits to 0 W");
    expect(describeLimit({ kind: "none" })).toBe("no limit");
    expect([0, 999, 1_000, 17_250, 10_005].map(describeWatts)).toEqual(["0 W", "999 W", "1 kW", "17.25 kW", "10.005 kW"]);
    const house = new House(siteOf({ inputs: [relay()] }));
    house.contacts = [null];
    house.tick(house.token([capOf({ duration: 10 })]));
    house.run(1_000);
    const lines = house.events.map(describeLimitsEvent);
    expect(lines).toContain("contact w4 unreadable: counts as active");
    expect(lines).toContain("cap 0000aaaa in force, import 2 kW, 17:00 UTC to 17:00 UTC");
  });
});

describe("what is stored", () => {
  it("changes only with the revision: a steady house, or a ramp under way, writes nothing", () => {
    const house = new House();
    house.tick(house.token([capOf({ duration: 3_600 })], { exp: T0 + 86_400 }));
    house.run(3_700);
    const { revision } = house.state;
    const text = limitsPersist(house.state);
    house.run(40);
    expect(house.limits.import).toMatchObject({ source: "release" });
    expect(house.state.revision).toBe(revision);
    expect(limitsPersist(house.state)).toBe(text);
  });

  it("no line is longer than a value of the store, even with 16 events of the longest kind, held and waiting", () => {
    const house = new House();
    const events = Array.from({ length: TOKEN_EVENTS_MAX }, (_, i) => capOf({
      id: `ffffffffffffff${String(i).padStart(2, "0")}`, start: 4_000_000_000 + i, duration: 2_147_483_647, importLimit: 100_000,
      exportLimit: 100_000, emergency: true, controllable: true, release: 2_147_483_647,
    }));
    house.tick(house.token(events));
    house.clock = false;
    house.tick(house.token(events.map((e, i) => ({ ...e, id: `eeeeeeeeeeeeee${String(i).padStart(2, "0")}` })), { exp: 4_000_000_000 }));
    const lines = limitsPersist(house.state).split("\n");
    expect(lines).toHaveLength(3);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(STORE_VALUE_BYTES_MAX);
  });

  it("a damaged or missing line is counted, costs no other one, and leaves the house in failsafe until a new token", () => {
    const house = new House();
    house.tick(house.token([capOf({ duration: 36_000 })]), house.token([capOf({ importLimit: 5_000, duration: 36_000 })], { aud: "msr:MSR1" }));
    const lines = limitsPersist(house.state).split("\n");
    for (const broken of [[lines[0], "[garbage", lines[2]], [lines[0], lines[2]], ["", lines[1], lines[2]], ["{}", lines[2]]]) {
      const restored = limitsRestore(broken.join("\n"));
      expect(restored.damaged).toBeGreaterThan(0);
      expect(restored.links.length).toBeGreaterThan(0);
      const again = new House(siteOf(), T0 + 60, broken.join("\n"));
      again.tick();
      expect(again.run(120).state).toBe("failsafe");
      again.tick(again.token([], { seq: 99 }));
      expect(again.limits.state).toBe("limited");
    }
    expect(limitsRestore(null)).toMatchObject({ damaged: 0, links: [] });
  });

  it("the state is plain data: through JSON and back the next tick is the same", () => {
    const house = new House(siteOf({ inputs: [relay()], tariffTarget: 4_000 }));
    house.contacts = [null];
    house.tick(house.token([capOf({ start: T0 + 5 })]));
    house.run(10);
    const input = { utc: house.utc, tokens: [], contacts: [false], reading: readingOf({ at: house.now, meterTime: house.utc }) };
    const copy = JSON.parse(JSON.stringify(house.state)) as typeof house.state;
    expect(copy).toEqual(house.state);
    expect(limitsTick(house.site, copy, input, house.now + 1_000)).toEqual(limitsTick(house.site, house.state, input, house.now + 1_000));
  });

  it("a steady tick keeps its sub-objects", () => {
    const house = new House();
    house.tick(house.token([capOf()]));
    house.run(3);
    const before = house.state;
    house.run(1);
    for (const key of ["links", "import", "export", "controllable", "production", "contacts"] as const) expect(house.state[key]).toBe(before[key]);
    expect(limitsStart(house.site, limitsRestore(null), 0).import).toBe(limitsStart(house.site, limitsRestore(null), 0).import);
  });
});
