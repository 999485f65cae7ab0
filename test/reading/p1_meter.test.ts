import { describe, expect, it } from "vitest";
import { STALE_SAFE_PERIODS } from "../../src/constants.js";
import { modbusReading } from "../../src/reading/modbus_meter.js";
import { P1_METER_START, p1Reading, type P1MeterState, type ReadingResult } from "../../src/reading/p1_meter.js";
import { PLAUSIBLE_START } from "../../src/reading/plausible.js";
import type { Connection } from "../../src/site.js";
import type { Telegram } from "../../src/telegram/telegram.js";
import { writeTelegram, type P1MeterState as House, type P1Version } from "../../tools/emulators/p1_telegram.js";
import { readOne, vector, withInstead, withLines } from "../telegram/read.js";

const three: Connection = { phases: 3, delta: false, fuse: 25_000, importMax: null, exportMax: null };
const one: Connection = { ...three, phases: 1 };
const start = Date.parse("2026-01-15T12:00:00Z") / 1000;

/** A meter's telegrams one after another, judged by one state. */
class Meter {
  state: P1MeterState = P1_METER_START;
  at = 0;
  readonly #version: P1Version;
  readonly #connection: Connection;
  constructor(version: P1Version = "5.0", connection = three) {
    this.#version = version;
    this.#connection = connection;
  }
  say(house: Partial<House>, periodMs = this.#version === "5.0" || this.#version === "BE" ? 1_000 : 10_000): ReadingResult {
    this.at += periodMs;
    const text = writeTelegram({
      time: start + Math.trunc(this.at / 1000), power: [300, 200, 100], voltage: [230_000, 231_000, 229_000],
      imported: [1_000_000, 2_000_000], exported: [0, 0], ...house,
    }, this.#version);
    return this.hear(readOne(text, "none"));
  }
  hear(telegram: Telegram): ReadingResult {
    const { state, result } = p1Reading(this.state, { ...telegram, at: this.at }, this.#connection);
    this.state = state;
    return result;
  }
}

const verdict = (result: ReadingResult): string | number => (result.kind === "reading" ? result.reading.net : result.rule);
const of = (telegram: Telegram, connection = three): ReadingResult => p1Reading(P1_METER_START, telegram, connection).result;

describe("a telegram's figures as a Reading", () => {
  it("gives each current the sign of its phase's power", () => {
    expect(of(readOne(vector("dsmr42_3phase.txt")))).toMatchObject({ reading: { net: -1_411, power: [612, -1_289, -234], current: [3_000, -5_000, -1_000], currentWhole: true, period: 10_000 } });
  });
  it("without phase powers, the total's sign where the currents can only add up that way", () => {
    expect(of(readOne(vector("hungary.txt")))).toMatchObject({ reading: { net: -2_801, current: [-4_000, -5_000, -3_000], power: [null, null, null] } });
    const mixed = { ...readOne(vector("hungary.txt")), current: [10_000, 6_000, 1_000] } as Telegram;
    expect(of(mixed)).toMatchObject({ reading: { current: [10_000, 6_000, 1_000] } });
  });
  it("sums the tariffs, or takes the total; absent stays null", () => {
    expect(of(readOne(vector("emucs_3phase.txt")))).toMatchObject({ reading: { imported: 2_571_562, exported: 300_005, quarterAverage: 1_052, monthPeak: 4_064, period: 1_000, currentWhole: false } });
    expect(of(readOne(vector("hungary.txt")))).toMatchObject({ reading: { imported: 273_640, exported: 527_177, quarterAverage: null, monthPeak: null } });
    expect(of(readOne(withLines()))).toMatchObject({ reading: { imported: null, exported: null, voltage: [null, null, null], current: [null, null, null], meterTime: Date.UTC(2024, 6, 10, 12, 30, 3) / 1000 } });
  });
  it("a dead phase stays 0 V: a case for the droop, not an error", () => {
    expect(of(readOne(vector("emucs_3phase.txt")))).toMatchObject({ kind: "reading", reading: { voltage: [232_900, 228_100, 0] } });
  });
  it("refuses what has no power, or two", () => {
    expect(verdict(of(readOne(vector("heat_unpadded_crc.txt"))))).toBe("no_power");
    expect(verdict(of(readOne(withInstead("1-0:2.7.0(0x.417*kW)"))))).toBe("no_power");
    expect(verdict(of(readOne(withInstead("1-0:1.7.0(0x.417*kW)"))))).toBe("no_power");
    expect(verdict(of(readOne(withLines("1-0:1.7.0(02.000*kW)"))))).toBe("ambiguous");
  });
  it("a meter that tells no version is one of 10 s until it speaks each second", () => {
    const meter = new Meter();
    const telegram = { ...readOne(vector("hungary.txt")) };
    const periods: number[] = [];
    for (let i = 0; i < 8; i++) {
      meter.at += 1_000;
      const result = meter.hear(telegram);
      periods.push(result.kind === "reading" ? result.reading.period : -1);
    }
    expect(periods[0]).toBe(10_000);
    expect(periods.at(-1)).toBe(1_000);
  });
});

describe("plausibility", () => {
  it("beyond the fuse: refused, believed when the next telegram says the same, and from then on", () => {
    const meter = new Meter();
    const much = { power: [17_000, 17_000, 17_000] };
    expect(verdict(meter.say({}))).toBe(600);
    expect(verdict(meter.say(much))).toBe("over_fuse");
    expect(verdict(meter.say({}))).toBe(600);
    expect(verdict(meter.say(much))).toBe("over_fuse");
    expect(verdict(meter.say(much))).toBe(51_000);
    expect(verdict(meter.say({ power: [17_100, 17_000, 17_000] }))).toBe(51_100);
  });
  it("a fuse that carries 160 % is a day in winter, not an error", () => {
    expect(verdict(new Meter().say({ power: [9_200, 9_200, 9_200] }))).toBe(27_600);
  });
  it("a current or a voltage that cannot be", () => {
    expect(verdict(new Meter().say({ current: [963_000, 1_000, 1_000] }))).toBe("over_fuse");
    expect(verdict(new Meter().say({ voltage: [930_000, 230_000, 230_000] }))).toBe("voltage");
  });
  it("phases that do not add up: refused, unless they never do", () => {
    const meter = new Meter();
    const say = (watts: number): ReadingResult => {
      meter.at += 1_000;
      return meter.hear({ ...readOne(vector("emucs_3phase.txt")), power: { import: watts, export: 0, importPerPhase: [500, 500, 500], exportPerPhase: [0, 0, 0] } });
    };
    expect(verdict(say(1_500))).toBe(1_500);
    expect(verdict(say(9_500))).toBe("phase_sum");
    expect(verdict(say(1_501))).toBe(1_501);
    // Values far apart, so that none confirms the one before.
    expect([4_000, 9_000, 4_000, 9_000, 4_000].map((watts) => verdict(say(watts))).slice(-2)).toEqual([9_000, 4_000]);
  });
  it("a 3 x 230 V net is not asked for it", () => {
    const odd = { ...readOne(vector("emucs_3phase.txt")), power: { import: 9_000, export: 0, importPerPhase: [1_000, 1_000, 1_000] as const, exportPerPhase: [0, 0, 0] as const } };
    expect(verdict(of(odd, { ...three, delta: true }))).toBe(9_000);
  });
  it("a phase's power beyond its volts and amperes", () => {
    const odd = { ...readOne(vector("emucs_3phase.txt")), power: { import: 6_000, export: 0, importPerPhase: [5_800, 100, 100] as const, exportPerPhase: [0, 0, 0] as const } };
    expect(verdict(of(odd))).toBe("phase_power");
  });
  it("without phases a leap waits for the next telegram; with phases that add up it does not", () => {
    const blind = new Meter("3.0", one);
    expect(verdict(blind.say({ power: [500] }))).toBe(500);
    expect(verdict(blind.say({ power: [5_500] }))).toBe("step");
    expect(verdict(blind.say({ power: [5_600] }))).toBe(5_600);
    const seeing = new Meter("5.0");
    seeing.say({});
    expect(verdict(seeing.say({ power: [5_700, 5_700, 5_700] }))).toBe(17_100);
  });
  it("a leap after a long silence is no leap", () => {
    const meter = new Meter("3.0", one);
    meter.say({ power: [500] });
    expect(verdict(meter.say({ power: [5_500] }, STALE_SAFE_PERIODS * 10_000))).toBe(5_500);
  });
  it("registers neither go back nor run ahead, but a new meter is believed", () => {
    const meter = new Meter();
    meter.say({});
    expect(verdict(meter.say({ imported: [999_000, 2_000_000] }))).toBe("energy_step");
    expect(verdict(meter.say({}))).toBe(600);
    expect(verdict(meter.say({ imported: [9_000_000, 2_000_000] }))).toBe("energy_step");
    expect(verdict(meter.say({}))).toBe(600);
    const fresh = { imported: [0, 0] as [number, number] };
    expect([verdict(meter.say(fresh)), verdict(meter.say(fresh)), verdict(meter.say(fresh))]).toEqual(["energy_step", 600, 600]);
  });
  it("does not mutate its state", () => {
    const frozen = Object.freeze({ ...P1_METER_START, plausible: Object.freeze(PLAUSIBLE_START) });
    expect(p1Reading(frozen, readOne(withLines()), three).result.kind).toBe("reading");
  });
});

describe("a Modbus meter", () => {
  const quantities = {
    at: 1_000, period: 1_000, net: null, power: [1_000, -500, 200] as const, current: [4_400, 2_200, 1_000] as const,
    voltage: [231_000, 232_000, 230_000] as const, imported: 5_000, exported: 100,
  };
  it("sums its phases and signs its currents", () => {
    expect(modbusReading(PLAUSIBLE_START, quantities, three).result).toMatchObject({ reading: { source: "modbus", net: 700, current: [4_400, -2_200, 1_000], currentWhole: false, meterTime: null } });
  });
  it("signed currents of a meter that has them come out the same", () => {
    expect(modbusReading(PLAUSIBLE_START, { ...quantities, current: [4_400, -2_200, 1_000] }, three).result).toMatchObject({ reading: { current: [4_400, -2_200, 1_000] } });
  });
  it("a missing phase is no reading of the house; on a single-phase connection it is", () => {
    const partial = { ...quantities, power: [1_000, null, null] as const };
    expect(modbusReading(PLAUSIBLE_START, partial, three).result).toMatchObject({ kind: "refused", rule: "no_power" });
    expect(modbusReading(PLAUSIBLE_START, partial, one).result).toMatchObject({ reading: { net: 1_000 } });
  });
  it("is held against the fuse like any other", () => {
    expect(modbusReading(PLAUSIBLE_START, { ...quantities, net: 999_999 }, three).result).toMatchObject({ rule: "over_fuse", misfit: 999_999 });
  });
});
