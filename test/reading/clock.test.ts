import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CLOCK_JUMP_MAX_S, CLOCK_REGAIN_MS, CLOCK_START_MS } from "../../src/constants.js";
import { clockPersist, clockRestore, clockStart, observeMeterTime, observeNetworkTime, observeToken, utc, type ClockState } from "../../src/reading/clock.js";
import { runs } from "../services/runs.js";

const T = Date.parse("2026-03-01T12:00:00Z") / 1000;
const DAY = 86_400;

/** The world's true time runs evenly from T; the meter shows it plus `meterError`. */
class World {
  now = 0;
  meterError = 0;
  state: ClockState;
  constructor(stored: { known: number | null; iat: number | null } | null = null) {
    this.state = clockStart(stored, 0);
  }
  get time(): number {
    return T + Math.floor(this.now / 1000);
  }
  meter(seconds: number, period = 1): this {
    for (let passed = 0; passed < seconds; passed += period) {
      this.now += period * 1000;
      this.state = observeMeterTime(this.state, this.time + this.meterError, this.now);
    }
    return this;
  }
  network(error = 0): this {
    this.state = observeNetworkTime(this.state, this.time + error, this.now);
    return this;
  }
  token(age = 0): this {
    this.state = observeToken(this.state, this.time - age, this.now);
    return this;
  }
  get utc(): number | null {
    return utc(this.state, this.now);
  }
}

const trusted = (stored: { known: number | null; iat: number | null } | null = null): World => new World(stored).meter(CLOCK_START_MS / 1000 + 2);

describe("trust at start", () => {
  it("after CLOCK_START_MS of even meter time, not before", () => {
    const world = new World().meter(CLOCK_START_MS / 1000);
    expect(world.utc).toBeNull();
    expect(world.state.reason).toBe("start");
    expect(world.meter(1).utc).toBe(world.time);
  });
  it("also at one telegram in 10 s", () => {
    const world = new World().meter(40, 10);
    expect(world.utc).toBe(world.time);
  });
  it("an uneven clock never", () => {
    const world = new World();
    for (let i = 0; i < 100; i++) {
      world.meterError = (i % 2) * 500;
      world.meter(1);
    }
    expect(world.utc).toBeNull();
  });
  it("not before the time last known, nor before a signed iat", () => {
    expect(trusted({ known: T + 3_600, iat: null }).state.reason).toBe("behind_stored");
    expect(trusted({ known: null, iat: T + 3_600 }).state.reason).toBe("behind_token");
    expect(trusted({ known: T - 3_600, iat: T - 100 }).utc).not.toBeNull();
  });
  it("years in the future: only when somebody agrees", () => {
    const stored = { known: T - 800 * DAY, iat: null };
    expect(trusted(stored).state.reason).toBe("far_ahead");
    expect(trusted(stored).network().meter(1).utc).not.toBeNull();
    expect(trusted(stored).token(3 * DAY).meter(1).utc).not.toBeNull();
    expect(trusted(stored).network(5_000).meter(600).utc).toBeNull();
  });
  it("a clock reset to 2000 is none", () => {
    const world = new World();
    world.meterError = -26 * 365 * DAY;
    expect(world.meter(700).utc).toBeNull();
  });
  it("network time alone is none", () => {
    const world = new World();
    for (let i = 0; i < 100; i++) {
      world.now += 60_000;
      world.network();
    }
    expect(world.utc).toBeNull();
  });
});

describe("while trusted", () => {
  it("runs on when telegrams stop, and gives true time", () => {
    const world = trusted();
    world.now += 5 * 3_600_000;
    expect(world.utc).toBe(world.time);
  });
  it("going back is not trusted, at once, and says so", () => {
    const world = trusted();
    world.meterError = -120;
    expect(world.meter(1).utc).toBeNull();
    expect(world.state.reason).toBe("went_back");
  });
  it("so is a jump of more than a day", () => {
    const world = trusted();
    world.meterError = CLOCK_JUMP_MAX_S + 60;
    expect(world.meter(1).utc).toBeNull();
    expect(world.state.reason).toBe("jumped");
  });
  it("one spoilt telegram: trusted again with the next", () => {
    for (const error of [-500, -9 * 365 * DAY, 30 * DAY, 3_600]) {
      const world = trusted();
      world.meterError = error;
      world.meter(1);
      world.meterError = 0;
      expect(world.meter(1).utc, `after ${error} s`).toBe(world.time);
    }
  });
  it("set forward by less than a day: at the second telegram that says so", () => {
    const world = trusted();
    world.meterError = 3_600;
    expect(world.meter(1).utc).toBe(world.time);
    expect(world.meter(1).utc).toBe(world.time + 3_600);
  });
  it("many small steps back do not add up unnoticed", () => {
    const world = trusted();
    let went = false;
    for (let i = 0; i < 20; i++) {
      world.meterError -= 20;
      world.meter(1);
      went ||= world.utc === null;
    }
    expect(went).toBe(true);
  });
  it("a crystal 50 ppm fast is followed, for a month", () => {
    const world = trusted();
    for (let hour = 0; hour < 720; hour++) {
      world.now += 3_600_000;
      // Our monotonic clock has run ahead of the meter by 50 ppm.
      world.meterError = -Math.floor((world.now * 50) / 1e9);
      world.meter(1);
      expect(world.utc).not.toBeNull();
    }
  });
  it("a signed iat ahead of it takes the trust away", () => {
    const world = trusted().token(-900);
    expect(world.utc).toBeNull();
    expect(world.state.reason).toBe("behind_token");
    expect(world.meter(700).utc).toBeNull();
  });
});

describe("trust regained", () => {
  it("after going back: even for CLOCK_REGAIN_MS", () => {
    const world = trusted();
    world.meterError = -3_600;
    world.meter(1);
    // The last known time is hours behind: nothing stands against it.
    world.state = { ...world.state, known: T - 7 * 3_600 };
    expect(world.meter(CLOCK_REGAIN_MS / 1000 - 1).utc).toBeNull();
    expect(world.meter(2).utc).toBe(world.time - 3_600);
  });
  it("after a jump of days: only with network time or a fresh token", () => {
    const jumped = (): World => {
      const world = trusted().token(60);
      world.meterError = 5 * DAY;
      return world.meter(3_600);
    };
    expect(jumped().utc).toBeNull();
    expect(jumped().network(5 * DAY).meter(1).utc).not.toBeNull();
    expect(jumped().network(0).meter(100).utc).toBeNull();
    expect(jumped().token(-5 * DAY + 10).meter(1).utc).not.toBeNull();
    expect(jumped().token(0).meter(100).utc).toBeNull();
  });
});

describe("a meter without a clock", () => {
  it("network time that a fresh signed iat confirms", () => {
    expect(new World().network().token(60).utc).toBe(T);
    expect(new World().token(60).network().utc).toBe(T);
  });
  it("neither alone, nor the two apart", () => {
    expect(new World().token(0).utc).toBeNull();
    expect(new World().network(2 * 3_600).token(0).utc).toBeNull();
    expect(new World().network(-2 * 3_600).token(0).utc).toBeNull();
    expect(new World({ known: T + DAY, iat: null }).network().token(0).utc).toBeNull();
  });
});

describe("over a reboot", () => {
  it("the text comes back as it went", () => {
    expect(clockRestore(clockPersist(trusted().token(50).state, 0))).toEqual({ known: expect.any(Number), iat: T + 22 - 50 });
    expect(clockRestore(clockPersist(clockStart(null, 0), 0))).toEqual({ known: null, iat: null });
  });
  it("a text that is not ours is none", () => {
    for (const text of [null, "", "1", "2,1,1", "1,x,y", "1,-5,1e99", "1,,,"]) {
      const stored = clockRestore(text);
      expect(stored === null || (stored.known === null && stored.iat === null), String(text)).toBe(true);
    }
  });
  it("is written some four times a day, not each second", () => {
    const world = trusted();
    const texts = new Set([clockPersist(world.state, 0)]);
    for (let i = 0; i < 24 * 60; i++) {
      world.meter(60, 60);
      texts.add(clockPersist(world.state, 0));
    }
    expect(texts.size).toBe(5);
  });
});

it("property: whatever is observed, trusted time is never before a signed iat, and nothing is mutated", () => {
  const step = fc.record({ kind: fc.constantFrom("meter", "meter", "network", "token", "wait"), value: fc.integer({ min: -2 * DAY, max: 2 * DAY }), even: fc.boolean() });
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    let now = 0;
    let state = clockStart(null, 0);
    for (const { kind, value, even } of steps) {
      now += kind === "wait" ? Math.abs(value) * 10 : 5_000;
      const time = T + Math.floor(now / 1000) + (even ? 0 : value);
      const before = JSON.stringify(state);
      const old = state;
      if (kind === "meter") state = observeMeterTime(state, time, now);
      else if (kind === "network") state = observeNetworkTime(state, time, now);
      else if (kind === "token") state = observeToken(state, time, now);
      expect(JSON.stringify(old)).toBe(before);
      const given = utc(state, now);
      if (given !== null) expect(given).toBeGreaterThanOrEqual((state.iat ?? 0) - 300);
      expect(state.trusted).toBe(state.reason === null);
    }
  }), { numRuns: runs(300) });
});
