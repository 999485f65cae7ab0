import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TelegramReader, type TelegramResult } from "../../src/telegram/reader.js";
import { crcX25 } from "../../src/wire/crc16.js";
import { runs } from "../services/runs.js";
import { keep, latin, readAll, readOne, rules, vector, withLines, type Kept } from "./read.js";

const good = vector("esmr5_text.txt");
const old = vector("dsmr22.txt");
const join = (...parts: Uint8Array[]): Uint8Array => Uint8Array.from(parts.flatMap((part) => [...part]));
const text = (bytes: Uint8Array): string => String.fromCharCode(...bytes);
const spoilt = (bytes: Uint8Array, from: string, to: string): Uint8Array => latin(text(bytes).replace(from, to));

describe("CRC", () => {
  it("one to four digits in either case, also right against the next telegram", () => {
    const one = text(good);
    expect(rules(readAll(latin(one.replace(/!(....)/, (_, crc: string) => `!${crc.toLowerCase()}`))))).toEqual(["telegram"]);
    expect(rules(readAll(join(vector("heat_unpadded_crc.txt"), good)))).toEqual(["telegram", "telegram"]);
    expect(rules(readAll(latin(one.trimEnd() + one)))).toEqual(["telegram", "telegram"]);
    expect(rules(readAll(latin(text(vector("heat_unpadded_crc.txt")).trimEnd() + one)))).toEqual(["telegram", "telegram"]);
  });
  it("a wrong one is refused with both values and the byte after the !", () => {
    const results = readAll(spoilt(good, "03.210*kW", "03.211*kW"));
    expect(results).toMatchObject([{ kind: "error", rule: "crc_mismatch", start: 0, offset: text(good).indexOf("!") + 1, stated: parseInt(text(good).slice(-6), 16) }]);
  });
  it("digits that are none", () => expect(rules(readAll(latin(text(good).replace(/!../, "!G1"))))).toEqual(["bad_crc_digits"]));
  it("X-25 (Holley) is named, not taken", () => {
    const body = text(good).slice(0, -6);
    const crc = crcX25(latin(body), 0, body.length).toString(16).padStart(4, "0");
    expect(rules(readAll(latin(`${body}${crc}\r\n`)))).toEqual(["crc_x25"]);
  });
});

describe("meters without a CRC", () => {
  it("required: never; none: at once", () => {
    expect(rules(readAll(old, "required"))).toEqual(["no_crc"]);
    expect(rules(readAll(old, "none"))).toEqual(["telegram"]);
  });
  it("auto: from the fourth alike telegram on", () => {
    expect(rules(readAll(join(old, old, old, old, old)))).toEqual(["no_crc", "no_crc", "no_crc", "telegram", "telegram"]);
  });
  it("auto: another meter, or a broken telegram, starts the count again", () => {
    const other = vector("dsmr30.txt");
    expect(rules(readAll(join(old, old, old, other, old, old, old, old))).slice(-4)).toEqual(["no_crc", "no_crc", "no_crc", "telegram"]);
    const broken = spoilt(old, "0001.23*kW", "0001.2x*kW");
    expect(rules(readAll(join(old, old, old, broken, old)))).toEqual(["no_crc", "no_crc", "no_crc", "malformed", "no_crc"]);
  });
  it("auto: never once a CRC was seen, and never from a newer meter's shape", () => {
    expect(rules(readAll(join(good, old, old, old, old, old)))).toEqual(["telegram", ...Array(5).fill("no_crc")]);
    const bare = latin(text(good).replace(/!..../, "!"));
    expect(rules(readAll(join(bare, bare, bare, bare, bare, bare)))).toEqual(Array(6).fill("no_crc"));
  });
  it("none: a CRC that is there must still be right, and every line well formed", () => {
    expect(rules(readAll(spoilt(good, "03.210*kW", "03.211*kW"), "none"))).toEqual(["crc_mismatch"]);
    expect(readAll(spoilt(old, "1-0:2.7.0(0000.00*kW)", "1-0:2.7.0(0000.00*kW"), "none")).toMatchObject([{ rule: "malformed", fault: { rule: "bad_structure" } }]);
  });
  it("the text message of the first one accepted counts as changed", () => {
    const message = latin(text(vector("dsmr30.txt")));
    const last = readAll(join(message, message, message, message)).at(-1)!;
    expect(last).toMatchObject({ kind: "telegram", telegram: { message: { text: "Storing op 3 juli", changed: true } } });
  });
});

describe("resynchronisation", () => {
  it("cut off, then a new /", () => {
    for (const cut of [1, 5, 30, 300, good.length - 20]) {
      expect(rules(readAll(join(good.subarray(0, cut), good))), `cut at ${cut}`).toEqual(["truncated", "telegram"]);
      expect(rules(readAll(join(old.subarray(0, Math.min(cut, 300)), old), "none")), `cut at ${cut}`).toEqual(["truncated", "telegram"]);
    }
  });
  it("overflow, and then the next one", () => {
    const endless = join(latin("/XXX5\r\n\r\n"), new Uint8Array(20_000).fill(0x30));
    expect(rules(readAll(join(endless, good)))).toEqual(["overflow", "telegram"]);
    const long = withLines(...Array.from({ length: 230 }, (_, i) => `1-0:99.9.${i}(000000000000000000)`));
    expect(long.length).toBeLessThan(8_192);
    expect(rules(readAll(long))).toEqual(["telegram"]);
    // Cut off, and then one that fits on its own only.
    expect(rules(readAll(join(good.subarray(0, 400), long)))).toEqual(["truncated", "telegram"]);
  });
  it("noise, a spoilt CRC, a restart and an overflow: exactly the four telegrams between them", () => {
    const noise = Uint8Array.from({ length: 300 }, (_, i) => (i * 89) & 0xff).filter((byte) => byte !== 0x2f && byte !== 0xdb);
    const input = join(noise, good, spoilt(good, "241.7", "240.7"), good, good.subarray(0, 400), good, latin("/"), new Uint8Array(9_000).fill(0x41), good);
    expect(rules(readAll(input)).filter((rule) => rule === "telegram")).toHaveLength(4);
    expect(rules(readAll(input)).filter((rule) => rule !== "telegram")).toEqual(["crc_mismatch", "truncated", "overflow"]);
  });
  it("slashes without end cost no more than other noise", () => {
    const reader = new TelegramReader();
    const slashes = new Uint8Array(100_000).fill(0x2f);
    const before = performance.now();
    for (let i = 0; i < 10; i++) reader.push(slashes, 0, () => {});
    expect(performance.now() - before).toBeLessThan(1_000);
    expect(readAll(join(slashes, good)).filter(({ kind }) => kind === "telegram")).toHaveLength(1);
  });

  it("property: whatever the order, the chunks and the harm, every whole telegram comes out once", () => {
    const vectors = [good, vector("emucs_3phase.txt"), vector("dsmr42_3phase.txt"), vector("heat_unpadded_crc.txt")];
    const part = fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom(...vectors).map((bytes) => ({ bytes, good: 1 })) },
      fc.tuple(fc.constantFrom(...vectors), fc.nat(10_000)).map(([bytes, at]) => ({ bytes: bytes.subarray(0, 1 + (at % (bytes.length - 8))), good: 0 })),
      fc.tuple(fc.constantFrom(...vectors), fc.nat(10_000), fc.integer({ min: 0, max: 7 })).map(([bytes, at, bit]) => {
        const copy = bytes.slice();
        copy[1 + (at % (copy.length - 8))]! ^= 1 << bit;
        return { bytes: copy, good: 0 };
      }),
      fc.uint8Array({ maxLength: 400 }).map((bytes) => ({ bytes, good: 0 })),
      fc.integer({ min: 8_000, max: 12_000 }).map((length) => ({ bytes: new Uint8Array(length).fill(0x20), good: 0 })),
    );
    fc.assert(fc.property(fc.array(part, { maxLength: 12 }), fc.integer({ min: 1, max: 3_000 }), (parts, chunk) => {
      const results = readAll(join(...parts.map(({ bytes }) => bytes)), "required", chunk);
      expect(results.filter(({ kind }) => kind === "telegram")).toHaveLength(parts.reduce((sum, one) => sum + one.good, 0));
    }), { numRuns: runs(200) });
  });

  it("property: the chunks do not matter", () => {
    const input = join(latin("\x00noise"), good, good.subarray(0, 333), vector("emucs_3phase.txt"), spoilt(good, "241.7", "240.7"), vector("heat_unpadded_crc.txt"));
    const timeless = (results: Kept[]): unknown => results.map((one) => (one.kind === "error" ? { ...one, at: 0 } : { ...one.telegram, at: 0, bytes: null }));
    const whole = timeless(readAll(input));
    fc.assert(fc.property(fc.integer({ min: 1, max: 600 }), (chunk) => {
      expect(timeless(readAll(input, "auto", chunk))).toEqual(whole);
    }), { numRuns: runs(30) });
  });
});

describe("an encrypted port", () => {
  const body = Uint8Array.from({ length: 700 }, (_, i) => (i * 7) & 0xff); // with / and ! in it
  const frame = join(Uint8Array.from([0xdb, 0x08]), latin("SAGabcd/"), Uint8Array.from([0x82, body.length >> 8, body.length & 0xff]), body);
  it("is refused by name, once a frame, and read past", () => {
    for (const chunk of [1, 7, 5_000]) expect(rules(readAll(join(frame, frame, good), "auto", chunk))).toEqual(["encrypted", "encrypted", "telegram"]);
  });
  it("noise that begins alike hides no telegram", () => {
    expect(rules(readAll(join(Uint8Array.from([0xdb]), good)))).toEqual(["telegram"]);
    expect(rules(readAll(join(Uint8Array.from([0xdb, 0x08, 1, 2, 3]), good)))).toEqual(["telegram"]);
  });
});

describe("bookkeeping", () => {
  it("counts each rule, faults and noise; errors carry offsets in the whole input", () => {
    const reader = new TelegramReader();
    const results: Kept[] = [];
    const note = (result: TelegramResult): void => { results.push(keep(result)); };
    reader.push(latin("abc"), 1, note);
    reader.push(good, 2, note);
    reader.push(vector("two_mbus_dead_first.txt"), 3, note);
    reader.push(spoilt(good, "241.7", "240.7"), 4, note);
    expect(reader.counts).toMatchObject({ telegrams: 2, crc_mismatch: 1, faults: 2, noise: 3, truncated: 0 });
    expect(results[0]).toMatchObject({ telegram: { offset: 3, at: 2 } });
    expect(results[2]).toMatchObject({ start: 3 + good.length + vector("two_mbus_dead_first.txt").length, at: 4 });
  });
  it("the raw bytes stand in the telegram from / to the last CRC digit", () => {
    const t = readOne(good);
    expect(text(t.bytes.subarray(t.start, t.end))).toBe(text(good).trimEnd());
  });
  it("a buffer of the caller's bounds the telegram", () => {
    const reader = new TelegramReader({ buffer: new Uint8Array(128) });
    const results: string[] = [];
    reader.push(good, 0, (result) => results.push(result.kind === "error" ? result.rule : "telegram"));
    expect(results).toEqual(["overflow"]);
  });
});
