import { describe, expect, it } from "vitest";
import { failureLog, monthPeaks } from "../../src/telegram/lists.js";
import { TelegramReader } from "../../src/telegram/reader.js";
import { readOne, realTelegrams, REAL, vector, withInstead, withLines } from "./read.js";
import { readFileSync } from "node:fs";

/** Times worked out by Node's own calendar. */
const utc = (text: string): number => Date.parse(text) / 1000;
const gone = [null, null, null];

describe("telegrams of each version", () => {
  it("DSMR 2.2: no CRC, no clock; gas on a line of its own, in summer time by the rule", () => {
    const t = readOne(vector("dsmr22.txt"), "none");
    expect(t).toMatchObject({ crc: "none", version: null, time: null, equipmentId: "K8VNG22000000001", tariff: 2, breaker: 1, limiterPower: 999_000, faultCount: 0 });
    expect(t.power).toEqual({ import: 1_230, export: 0, importPerPhase: gone, exportPerPhase: gone });
    expect(t.energy.import.tariff).toEqual([123_456, 234_567, null, null]);
    expect(t.mbus[0]).toEqual({ type: 3, id: "VNGGAS22", value: 456_789, unit: "l", time: utc("2024-07-02T11:00:00+02:00") });
  });

  it("DSMR 3.0: a text message, a code, a limiter in amperes", () => {
    const t = readOne(vector("dsmr30.txt"), "none");
    expect(t).toMatchObject({ equipmentId: "K8VNG30000000002", limiterCurrent: 25_000, limiterPower: null, code: "12345678", message: { text: "Storing op 3 juli", changed: true } });
    expect(t.mbus[0]).toMatchObject({ value: 1_234_560, time: utc("2024-01-15T13:00:00+01:00") });
  });

  it("DSMR 4.2: three phases, one exporting; an id that is no ASCII stays as it stands", () => {
    const t = readOne(vector("dsmr42_3phase.txt"));
    expect(t).toMatchObject({ crc: "checked", version: 42, time: utc("2024-03-26T19:45:12+01:00"), equipmentId: `3960${"9876".repeat(7)}12`, failures: 9, longFailures: 3, currentWhole: true });
    expect(t.power).toEqual({ import: 0, export: 1_411, importPerPhase: [612, 0, 0], exportPerPhase: [0, 1_289, 234] });
    expect(t.current).toEqual([3_000, 5_000, 1_000]);
    expect(t.voltage).toEqual(gone);
    expect(t.sags).toEqual([0, 1, 2]);
    expect(t.swells).toEqual([0, 1, 2]);
    expect(failureLog(t)).toEqual([
      { end: utc("2021-07-04T10:30:15+02:00"), duration: 3_605 }, { end: utc("2000-01-01T00:00:07+01:00"), duration: 2_147_483_647 },
    ]);
  });

  it("ESMR 5: single phase, volts, a cap in the text message", () => {
    const t = readOne(vector("esmr5_text.txt"));
    expect(t).toMatchObject({ identification: "Ene5\\XS210 ESMR 5.0", version: 50, message: { text: "VN1:0oRDoQEmoA", changed: true } });
    expect(t.voltage).toEqual([241_700, null, null]);
    expect(t.power.exportPerPhase).toEqual([3_210, null, null]);
    expect(t.sags).toEqual([4, null, null]);
  });

  it("e-MUCS: 0.01 A, quarter-hour mean, swapped month peak, a dead phase, 0xB3 for ³, peaks", () => {
    const t = readOne(vector("emucs_3phase.txt"));
    expect(t).toMatchObject({ version: 50217, quarterAverage: 1_052, fuse: 999_000, currentWhole: false, faultCount: 0 });
    expect(t.monthPeak).toEqual({ power: 4_064, time: utc("2024-11-02T11:45:00+01:00") });
    expect(t.current).toEqual([4_520, 5_210, 520]);
    expect(t.voltage).toEqual([232_900, 228_100, 0]);
    expect(t.mbus[0]).toMatchObject({ type: 3, id: "7FLO0000000027", value: 92_287, unit: "l" });
    expect(t.mbus[1]).toMatchObject({ type: 7, id: "8SET0000000073", value: 8_579, unit: "l" });
    expect(monthPeaks(t)).toEqual([{ power: 0, time: null }, { power: 4_927, time: utc("2024-10-16T13:00:00+02:00") }]);
  });

  it("Hungary: totals, volts and amperes without power per phase, another 98.1.0", () => {
    const t = readOne(vector("hungary.txt"));
    expect(t).toMatchObject({ version: null, equipmentId: "890000000000001", fuse: 200_000, limiterPower: 90_000, faultCount: 0 });
    expect(t.energy.import).toEqual({ total: 273_640, tariff: [147_719, 125_921, null, null] });
    expect(t.power).toMatchObject({ import: 0, export: 2_801, importPerPhase: gone });
    expect(monthPeaks(t)).toBeNull();
  });

  it("Austria: whole Wh and W", () => {
    const t = readOne(vector("austria_integer.txt"));
    expect(t.power.import).toBe(1_286);
    expect(t.energy.import.total).toBe(7_545_766);
    expect(t.energy.export.tariff).toEqual([0, 58, null, null]);
  });

  it("a heat meter: two CRC digits in lower case, GJ", () => {
    expect(readOne(vector("heat_unpadded_crc.txt")).mbus[0]).toEqual({ type: 4, id: "621848012D2C0B0C", value: 140_860, unit: "MJ", time: utc("2026-02-15T20:05:23+01:00") });
  });

  it("a dead M-Bus device and a message of 0xFF are named, not believed; volts may be whole", () => {
    const t = readOne(vector("two_mbus_dead_first.txt"));
    expect(t.mbus[0]).toEqual({ type: 3, id: null, value: null, unit: null, time: null });
    expect(t.mbus[1]).toMatchObject({ id: "VNGGAS51", value: 246_138 });
    expect(t.faults.map(({ rule }) => rule)).toEqual(["bad_date", "bad_unit"]);
    expect(t.message).toEqual({ text: "", changed: true });
    expect(t.voltage).toEqual([230_000, 229_000, 223_000]);
  });
});

describe.skipIf(realTelegrams().length === 0)("real telegrams beside the project", () => {
  const power: Record<string, [number | null, number | null]> = {
    "at-sagemcom-integer-units.txt": [286, 0], "be-emucs171-fluvius-3phase.txt": [338, 0], "be-emucs171-fluvius.txt": [0, 0],
    "dsmr22-iskra.txt": [1_010, 0], "dsmr30-iskra.txt": [1_190, 0], "dsmr42-kaifa-3phase.txt": [2_027, 0], "dsmr50-3phase.txt": [244, 0],
    "dsmr50-iskra-two-mbus.txt": [111, 0], "hu-eon.txt": [0, 2_601], "unpadded-crc.txt": [null, null],
  };
  it.each(realTelegrams())("%s", (name) => {
    const t = readOne(new Uint8Array(readFileSync(`${REAL}${name}`)), name.startsWith("dsmr2") || name.startsWith("dsmr3") ? "none" : "required");
    expect([t.power.import, t.power.export]).toEqual(power[name]);
    expect(t.corruptCount).toBe(0);
  });
});

describe("numbers", () => {
  const importOf = (value: string): number | null => readOne(withInstead(`1-0:1.7.0(${value})`)).power.import;

  it.each([
    ["00.000*kW", 0], ["12.345*kW", 12_345], ["1.2*kW", 1_200], ["7*kW", 7_000], ["0.1239*kW", 123], ["000000286*W", 286], ["12.9*W", 12],
  ])("%s is %i W", (value, watts) => expect(importOf(value)).toBe(watts));

  it.each(["0x.417*kW", "0x1.417*kW", "", "*kW", ".5*kW", "5.*kW", "-1.000*kW", "+1.000*kW", "1e3*kW", " 1.000*kW", "1.000 *kW", "1,000*kW", "1.0.0*kW", "NaN*kW", "0000000000000001.000*kW"])(
    "%j is absent and named, never 0", (value) => {
      const t = readOne(withInstead(`1-0:1.7.0(${value})`));
      expect(t.power.import).toBeNull();
      expect(t.faults[0]!.rule).toBe("bad_number");
    });

  it.each(["1.000*kX", "1.000*kWh", "1.000*V", "1.000", "1.000*"])("%j has no unit of power", (value) => {
    const t = readOne(withInstead(`1-0:1.7.0(${value})`));
    expect(t.power.import).toBeNull();
    expect(t.faultCount).toBe(1);
  });

  it("names the byte that did not fit, counted in the whole input", () => {
    const noise = Uint8Array.from([0, 200, 13, 10]);
    const bytes = withInstead("1-0:1.7.0(01.x34*kW)");
    const t = readOne(Uint8Array.from([...noise, ...bytes]));
    const text = String.fromCharCode(...noise, ...bytes);
    expect(t.faults).toEqual([{ rule: "bad_number", offset: text.indexOf("x34") }]);
  });

  it.each(["1-0:1.7.0(01.234*kW", "1-0:1.7.0(01.234*kW)x", "1-0:1.7.0(01.234*kW)(1)"])("%s lacks its form", (line) => {
    const t = readOne(withInstead(line));
    expect(t.power.import).toBeNull();
    expect(t.faults[0]!.rule).toBe("bad_structure");
  });

  it("two lines with two values for one quantity: ambiguous; with one value: fine", () => {
    expect(readOne(withLines("1-0:1.7.0(01.234*kW)")).ambiguous).toBe(false);
    const t = readOne(withLines("1-0:1.7.0(01.235*kW)"));
    expect(t.ambiguous).toBe(true);
    expect(t.faults[0]!.rule).toBe("duplicate");
  });

  it.each(["632525252525W", "700101010000W", "240230120000W", "240710243000S", "240710143003X", "24071014300S", "2407101430o3S"])(
    "%s is no date", (time) => expect(readOne(withInstead(`0-0:1.0.0(${time})`)).time).toBeNull());
});

describe("lenient where it is safe", () => {
  it.each(["1-0:32.7.0(231.4*V)", "1-0:32.7.0*255(231.4*V)", "1-0:32.7.0(0231.4*V)"])("%s", (line) => expect(readOne(withLines(line)).voltage[0]).toBe(231_400));
  it("m³ in Latin-1, UTF-8 or as m3", () => {
    for (const unit of ["m3", "m\xb3", "m\xc2\xb3"]) expect(readOne(withLines(`0-1:24.2.1(240710143000S)(00050.505*${unit})`)).mbus[0]!.value).toBe(50_505);
  });
  it("unknown codes are passed over, broken lines are named", () => {
    const t = readOne(withLines("1-0:99.99.9(anything at all)", "garbage", "0-0:96.50.1(1)"));
    expect(t.unknownLines).toBe(2);
    expect(t.faults.map(({ rule }) => rule)).toEqual(["bad_line"]);
  });
  it("lines may come in any order and end in LF alone", () => {
    const text = "/X\n\n1-0:2.7.0(00.000*kW)\n1-0:1.7.0(00.417*kW)\n!";
    const t = readOne(Uint8Array.from(`${text}\n`, (c) => c.charCodeAt(0)), "none");
    expect(t.power.import).toBe(417);
  });
});

describe("text message", () => {
  const hex = (text: string): string => [...text].map((c) => c.charCodeAt(0).toString(16).padStart(2, "0")).join("");
  const message = (text: string): Uint8Array => withLines(`0-0:96.13.0(${hex(text)})`);
  const feed = (reader: TelegramReader, bytes: Uint8Array): { text: string | null; changed: boolean } => {
    let last = { text: null as string | null, changed: false };
    reader.push(bytes, 0, (result) => { if (result.kind === "telegram") last = { ...result.telegram.message }; });
    return last;
  };

  it("is given as changed once, and again when it is another", () => {
    const reader = new TelegramReader();
    expect(feed(reader, message("one"))).toEqual({ text: "one", changed: true });
    expect(feed(reader, message("one"))).toEqual({ text: "one", changed: false });
    expect(feed(reader, message("onf"))).toEqual({ text: "onf", changed: true });
    expect(feed(reader, message(""))).toEqual({ text: "", changed: true });
    reader.forgetMessage();
    expect(feed(reader, message(""))).toEqual({ text: "", changed: true });
  });
  it("1,024 characters are read whole, more are refused by name", () => {
    const long = "VN1:".padEnd(1_024, "abcdefgh");
    expect(readOne(message(long)).message.text).toBe(long);
    const t = readOne(message(`${long}x`));
    expect(t.message.text).toBeNull();
    expect(t.faults[0]!.rule).toBe("too_long");
  });
  it("digits that are no hex leave it absent, and the line before it is not lost", () => {
    for (const bad of ["4", "4G", "zz", "\xff\xff"]) {
      const t = readOne(withLines(`0-0:96.13.0(${bad})`, "1-0:32.7.0(231.0*V)"));
      expect(t.message).toEqual({ text: null, changed: false });
      expect(t.faults[0]!.rule).toBe("bad_hex");
      expect(t.voltage[0]).toBe(231_000);
    }
  });
  it("0xFF and 0x00 that fill it up are not text", () => {
    expect(readOne(withLines("0-0:96.13.0(4142FFFFFF00)")).message.text).toBe("AB");
  });
});
