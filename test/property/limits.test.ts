/**
 * The limits against a model that knows the true time and shares no code with them: whatever comes
 * in whatever order (tokens, lost clocks, reboots, silence, dead contacts), nothing is relaxed by a
 * loss, a reboot or a refusal.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DROOP_FLOOR_MV } from "../../src/constants.js";
import { DROOP_IMPORT, droopStart, droopStep } from "../../src/limits/droop.js";
import { limitsTick } from "../../src/limits/limits.js";
import type { CapEvent } from "../../src/token/cap.js";
import { capOf, House, readingOf, relay, siteOf, T0, watts } from "../limits/house.js";

const runs = (count: number): number => count * Number(process.env["VANGNET_RUNS"] ?? 1);
const INFINITE = Number.MAX_SAFE_INTEGER;

type Step =
  | { readonly kind: "pass"; readonly seconds: number; readonly every: number }
  | { readonly kind: "token"; readonly aud: number; readonly events: readonly (readonly [offset: number, duration: number, watts: number | null, id: number])[]; readonly life: number }
  | { readonly kind: "old" }
  | { readonly kind: "clock"; readonly on: boolean }
  | { readonly kind: "reboot"; readonly off: number }
  | { readonly kind: "contact"; readonly level: boolean | null }
  | { readonly kind: "telegrams"; readonly on: boolean };

const eventArb = fc.tuple(fc.integer({ min: -600, max: 1_800 }), fc.integer({ min: 1, max: 5_400 }),
  fc.option(fc.integer({ min: 0, max: 12_000 }), { freq: 6 }), fc.integer({ min: 0, max: 3 }));
const stepArb: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("pass" as const), seconds: fc.integer({ min: 1, max: 1_500 }), every: fc.constantFrom(1, 3, 10) }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("token" as const), aud: fc.integer({ min: 0, max: 1 }), events: fc.array(eventArb, { maxLength: 3 }), life: fc.constantFrom(120, 900, 86_400) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("old" as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("clock" as const), on: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("reboot" as const), off: fc.integer({ min: 0, max: 4_000 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("contact" as const), level: fc.constantFrom(true, false, null) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("telegrams" as const), on: fc.boolean() }) },
);

interface Said {
  readonly events: readonly CapEvent[];
  readonly exp: number;
}

/** What must bind, by the true time. */
class Model {
  readonly said: [Said[], Said[]] = [[], []];
  clock = true;
  /** The clock has been trusted since the last boot. */
  seen = true;
  bootAt: number;
  lastAlive: number;
  constructor(t: number) {
    this.bootAt = t;
    this.lastAlive = t;
  }

  hear(aud: number, events: readonly CapEvent[], exp: number): void {
    const said: Said = { events, exp };
    if (this.clock) this.said[aud] = [said];
    else this.said[aud]!.push(said);
  }

  trust(t: number): void {
    this.clock = true;
    this.seen = true;
    for (const aud of [0, 1]) {
      const newest = this.said[aud]!.at(-1);
      if (newest === undefined) continue;
      if (newest.exp > t) this.said[aud] = [newest];
    }
  }

  alive(t: number): boolean {
    return (this.clock || this.seen) && this.said.some((layers) => layers.length > 0 && layers[0]!.exp > t);
  }

  cap(t: number): number {
    let least = INFINITE;
    for (const layers of this.said) {
      for (const { events } of layers) {
        for (const e of events) {
          if (e.importLimit !== null && t >= e.start && t < e.start + e.duration) least = Math.min(least, e.importLimit);
        }
      }
    }
    return least;
  }

  bound(t: number): number {
    if (this.alive(t)) this.lastAlive = t;
    const cap = this.cap(t);
    // Where a stored cap must wait for a clock, the failsafe limit of the start stands in for it.
    const blind = !this.seen && t - this.bootAt <= 120;
    if (blind) return 4_200;
    const dead = !this.alive(t) && cap === INFINITE && t - Math.max(this.lastAlive, this.bootAt) < 7_200;
    return Math.min(cap, dead ? 4_200 : INFINITE);
  }
}

const limitOf = (house: House): number => watts(house.limits.import) ?? INFINITE;

function play(steps: readonly Step[]): void {
  const house = new House(siteOf({ inputs: [relay({ importLimit: 5_500 })] }));
  const model = new Model(T0);
  house.tick();
  const check = (what: string): void => {
    const bound = Math.min(model.bound(house.utc), house.contacts[0] === false ? INFINITE : 5_500);
    expect(limitOf(house), `${what} at ${house.utc - T0} s, state ${house.limits.state}`).toBeLessThanOrEqual(bound);
  };
  for (const step of steps) {
    const before = limitOf(house);
    switch (step.kind) {
      case "pass":
        for (let s = 0; s < step.seconds; s += step.every) {
          house.pass(step.every);
          house.tick();
          check("as time passes");
        }
        break;
      case "token": {
        const events = step.events.map(([offset, duration, importLimit, id]) =>
          capOf({ id: `0000000${id}`, start: house.utc + offset, duration, importLimit }))
          .filter((event, i, all) => all.findIndex((other) => other.id === event.id) === i);
        house.tick(house.token(events, { aud: step.aud === 0 ? "all" : "msr:MSR1", exp: house.utc + step.life }));
        model.hear(step.aud, events, house.utc + step.life);
        check("after a token");
        if (!house.clock) expect(limitOf(house), "a token without a clock only tightens").toBeLessThanOrEqual(before);
        break;
      }
      case "old": {
        // What a reboot found to be over has gone a tick later.
        house.tick();
        const { links } = house.state;
        for (const { aud } of links) house.tick(house.token([], { seq: 0, aud }));
        expect(house.state.links, "an old token changes nothing").toBe(links);
        expect(limitOf(house)).toBeLessThanOrEqual(before);
        break;
      }
      case "clock":
        if (step.on === house.clock) break;
        house.clock = step.on;
        if (step.on) model.trust(house.utc);
        else model.clock = false;
        house.tick();
        if (!step.on) expect(limitOf(house), "a lost clock relaxes nothing").toBeLessThanOrEqual(before);
        check("after the clock changed");
        break;
      case "reboot":
        house.reboot(step.off);
        model.bootAt = house.utc;
        model.seen = house.clock;
        if (house.clock) model.trust(house.utc);
        expect(limitOf(house), "a reboot relaxes nothing").toBeLessThanOrEqual(before);
        check("after a reboot");
        break;
      case "contact":
        house.contacts = [step.level];
        house.tick();
        if (step.level === null) expect(limitOf(house), "an unreadable contact relaxes nothing").toBeLessThanOrEqual(before);
        break;
      case "telegrams":
        house.voltage = step.on ? [230_000, 231_000, 232_000] : null;
        house.tick();
        if (!step.on) expect(limitOf(house), "silence relaxes nothing").toBeLessThanOrEqual(before);
        break;
    }
  }
}

describe("limits, any sequence of events", () => {
  it("nothing is relaxed by a loss, a reboot or a refusal; every cap binds through its own time", () => {
    fc.assert(fc.property(fc.array(stepArb, { minLength: 3, maxLength: 25 }), play), { numRuns: runs(150) });
  });

  it("invariant 7: never above the old cap before the delay, then non-decreasing to the end of the ramp", () => {
    fc.assert(fc.property(fc.string({ minLength: 1, maxLength: 12, unit: "grapheme-ascii" }), fc.integer({ min: 0, max: 16_000 }),
      fc.integer({ min: 60, max: 4 * 3_600 }), fc.option(fc.integer({ min: 0, max: 7_200 })), (serial, cap, duration, release) => {
        const house = new House(siteOf({ serial, hasOperator: false }));
        house.tick(house.token([capOf({ importLimit: cap, duration, release })], { exp: T0 + 30 * 86_400 }));
        house.run(duration);
        const d = release ?? Math.min(10_800, 1.5 * duration);
        let last = limitOf(house);
        let rising = -1;
        for (let t = 1; t <= 1.5 * d + 2; t++) {
          house.run(1);
          const level = limitOf(house);
          expect(level).toBeGreaterThanOrEqual(last);
          if (level > cap && rising < 0) rising = t;
          last = level;
        }
        expect(last).toBe(17_250);
        if (cap < 16_000 && d > 60) {
          expect(rising).toBeGreaterThanOrEqual(0);
          expect(rising).toBeLessThanOrEqual(d + Math.ceil(d / 2 / (17_250 - cap)) + 2);
        }
      }), { numRuns: runs(25) });
  });

  it("invariant 13: no token raises a limit that another source holds lower", () => {
    fc.assert(fc.property(fc.array(fc.option(fc.integer({ min: 0, max: 20_000 })), { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 0, max: 10_000 }), fc.integer({ min: 0, max: 10_000 }), (caps, owner, contact) => {
        const house = new House(siteOf({ ownerImport: owner, inputs: [relay({ importLimit: contact })] }));
        house.contacts = [true];
        for (const importLimit of caps) {
          house.tick(house.token([capOf({ importLimit, duration: 86_400 })]));
          expect(limitOf(house)).toBeLessThanOrEqual(Math.min(owner, contact, importLimit ?? INFINITE));
          house.run(400);
          expect(limitOf(house)).toBeLessThanOrEqual(Math.min(owner, contact, importLimit ?? INFINITE));
        }
      }), { numRuns: runs(60) });
  });

  it("invariant 6, its part here: a cap that tightens is the limit in the same tick, whatever is being released", () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 12_000 }), fc.integer({ min: 1, max: 900 })), { minLength: 2, maxLength: 12 }), (caps) => {
      const house = new House();
      for (const [importLimit, seconds] of caps) {
        house.tick(house.token([capOf({ importLimit, duration: 86_400 })]));
        expect(limitOf(house)).toBeLessThanOrEqual(importLimit);
        house.run(seconds);
        expect(limitOf(house)).toBeLessThanOrEqual(importLimit);
      }
    }), { numRuns: runs(60) });
  });

  it("invariant 9: same state, input and now give the same outcome, and nothing is mutated", () => {
    const deepFreeze = <T>(value: T): T => {
      if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
        Object.freeze(value);
        for (const part of Object.values(value)) deepFreeze(part);
      }
      return value;
    };
    fc.assert(fc.property(fc.array(fc.tuple(eventArb, fc.boolean(), fc.integer({ min: 0, max: 1_000 })), { minLength: 1, maxLength: 15 }), (list) => {
      const house = new House(deepFreeze(siteOf({ inputs: [relay()], tariffTarget: 4_000 })));
      for (const [[offset, duration, importLimit], clock, seconds] of list) {
        house.pass(seconds);
        const token = house.token([capOf({ start: house.utc + offset, duration, importLimit })]);
        const input = deepFreeze({
          utc: clock ? house.utc : null, tokens: [token], contacts: [clock ? false : null],
          reading: readingOf({ at: house.now, meterTime: house.utc, net: offset }),
        });
        const a = limitsTick(house.site, deepFreeze(house.state), input, house.now);
        expect(JSON.stringify(limitsTick(house.site, house.state, input, house.now))).toBe(JSON.stringify(a));
        house.state = a.state;
      }
    }), { numRuns: runs(60) });
  });

  it("invariant 12, droop: within [0, 1000], steady after constant input, at the floor below 207 V for 10 s", () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.integer({ min: 50_000, max: 300_000 }), fc.integer({ min: 1, max: 40 })), { maxLength: 20 }),
      fc.integer({ min: 50_000, max: 206_999 }), fc.constantFrom("a", "VN-7", "zzzz"), (voltages, low, serial) => {
        let state = droopStart(false);
        let t = 0;
        for (const [x, seconds] of voltages) {
          for (let s = 0; s < seconds; s++) {
            state = droopStep(DROOP_IMPORT, state, x, (t += 1_000), serial);
            expect(Number.isInteger(state.fraction) && state.fraction >= 0 && state.fraction <= 1_000).toBe(true);
            expect(Number.isSafeInteger(state.filtered)).toBe(true);
          }
        }
        for (let s = 0; s <= 10; s++) state = droopStep(DROOP_IMPORT, state, low, (t += 1_000), serial);
        expect(state.fraction).toBe(0);
        expect(state.filtered!).toBeLessThanOrEqual((DROOP_FLOOR_MV + 500) * 1_000);
      }), { numRuns: runs(150) });
  });
});
