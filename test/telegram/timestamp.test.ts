import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { timestamp, timestampWithoutLetter } from "../../src/telegram/timestamp.js";
import { localTime } from "../../tools/emulators/p1_telegram.js";
import { runs } from "../services/runs.js";
import { latin } from "./read.js";

describe("local time with its letter", () => {
  it("the doubled hour of October and the missing one of March", () => {
    expect(timestamp(latin("241027023000S"), 0)).toBe(Date.UTC(2024, 9, 27, 0, 30) / 1000);
    expect(timestamp(latin("241027023000W"), 0)).toBe(Date.UTC(2024, 9, 27, 1, 30) / 1000);
    expect(timestamp(latin("240331015959W"), 0)! + 1).toBe(timestamp(latin("240331030000S"), 0));
    expect(timestamp(latin("000229120000W"), 0)).toBe(Date.UTC(2000, 1, 29, 11) / 1000);
    expect(timestamp(latin("230229120000W"), 0)).toBeNull();
  });
  it("property: agrees with the host's calendar of Amsterdam, 2000 to 2069", () => {
    fc.assert(fc.property(fc.integer({ min: Date.UTC(2000, 0, 1) / 1000, max: Date.UTC(2069, 11, 31) / 1000 }), (time) => {
      expect(timestamp(latin(localTime(time)), 0)).toBe(time);
    }), { numRuns: runs(300) });
  });
  it("property: without the letter too, but for the hour that comes twice", () => {
    fc.assert(fc.property(fc.integer({ min: Date.UTC(2000, 0, 1) / 1000, max: Date.UTC(2037, 11, 31) / 1000 }), (time) => {
      const local = localTime(time);
      const read = timestampWithoutLetter(latin(local), 0)!;
      if (read !== time) expect(localTime(read).slice(0, 12)).toBe(local.slice(0, 12)); // the doubled hour
      expect([time, time + 3_600]).toContain(read);
    }), { numRuns: runs(300) });
  });
});
