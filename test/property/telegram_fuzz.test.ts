/**
 * Telegrams with bytes mutated, half of them with the CRC made right again: no crash, and nothing
 * implausible gets through. What is plausible is written here anew, from the telegram's text, by
 * regular expressions: this file shares no code with the decoder or with reading/plausible.ts.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { P1_METER_START, p1Reading, type P1MeterState } from "../../src/reading/p1_meter.js";
import type { Reading } from "../../src/reading/reading.js";
import { TelegramReader } from "../../src/telegram/reader.js";
import { closeTelegram } from "../../tools/emulators/p1_telegram.js";
import { runs } from "../services/runs.js";
import { vector } from "../telegram/read.js";

const connection = { phases: 3 as const, delta: false, fuse: 25_000, importMax: null, exportMax: null };
const names = ["esmr5_text.txt", "emucs_3phase.txt", "dsmr42_3phase.txt"] as const;

interface Mutation { at: number; to: number; kind: "set" | "insert" | "remove" }

function mutate(bytes: Uint8Array, mutations: readonly Mutation[], rightCrc: boolean): Uint8Array {
  const body = [...bytes.subarray(0, bytes.length - 7)]; // without !, CRC and line end
  for (const { at, to, kind } of mutations) {
    const index = at % body.length;
    if (kind === "set") body[index] = to;
    else body.splice(index, kind === "remove" ? 1 : 0, ...(kind === "insert" ? [to] : []));
  }
  if (rightCrc) {
    const text = String.fromCharCode(...body);
    return closeTelegram([text.endsWith("\r\n") ? text.slice(0, -2) : text]);
  }
  return Uint8Array.from([...body, ...bytes.subarray(bytes.length - 7)]);
}

/** A value the text itself states, in thousandths; null where the line is not exactly that. */
function stated(text: string, code: string, unit: string): number | null {
  const lines = text.split(/\r?\n/).filter((line) => line.startsWith(`${code}(`));
  const match = lines.length === 1 ? new RegExp(`^\\((\\d+)(?:\\.(\\d+))?\\*${unit}\\)\\r?$`).exec(lines[0]!.slice(code.length)) : null;
  return match ? Number(match[1]) * 1000 + Number((match[2] ?? "").padEnd(3, "0").slice(0, 3)) : null;
}

function check(reading: Reading, text: string): void {
  const most = 3 * 253 * 25 * 2.5;
  expect(Number.isInteger(reading.net)).toBe(true);
  expect(Math.abs(reading.net)).toBeLessThanOrEqual(most);
  const imported = stated(text, "1-0:1.7.0", "kW");
  const exported = stated(text, "1-0:2.7.0", "kW");
  if (imported !== null && exported !== null) expect(reading.net).toBe(imported - exported);
  for (let phase = 0; phase < 3; phase++) {
    const { power, current, voltage } = reading;
    for (const value of [power[phase]!, current[phase]!, voltage[phase]!]) expect(value === null || Number.isInteger(value)).toBe(true);
    expect(Math.abs(power[phase] ?? 0)).toBeLessThanOrEqual(most / 3 + 1);
    expect(Math.abs(current[phase] ?? 0)).toBeLessThanOrEqual(62_500);
    expect(voltage[phase] ?? 0).toBeLessThanOrEqual(300_000);
  }
  const phases = reading.power.filter((value) => value !== null);
  if (phases.length === 3) {
    const sum = phases.reduce((a, b) => a + b, 0);
    expect(Math.abs(sum - reading.net)).toBeLessThanOrEqual(Math.max(1_000, 0.31 * Math.max(Math.abs(sum), Math.abs(reading.net))));
  }
  for (const value of [reading.imported, reading.exported, reading.meterTime]) expect(value === null || Number.isInteger(value)).toBe(true);
}

const mutation: fc.Arbitrary<Mutation> = fc.record({
  at: fc.nat(1 << 20),
  // Digits and signs of the format do the most harm: half of what is written.
  to: fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(...[..."0123456789.()*-:/!\r\nkWhVA"].map((c) => c.charCodeAt(0)))),
  kind: fc.constantFrom("set", "set", "set", "insert", "remove"),
});

describe("mutated telegrams", () => {
  it("property: no crash, the reader goes on, nothing implausible is acted on", () => {
    let accepted = 0;
    fc.assert(fc.property(
      fc.constantFrom(...names),
      fc.array(fc.tuple(fc.array(mutation, { minLength: 1, maxLength: 4 }), fc.boolean()), { minLength: 1, maxLength: 8 }),
      (name, spoilt) => {
        const good = vector(name);
        const reader = new TelegramReader({ crc: "auto" });
        let state: P1MeterState = P1_METER_START;
        let at = 0;
        let last = 0;
        const push = (bytes: Uint8Array): void => {
          at += 1_000;
          reader.push(bytes, at, (result) => {
            if (result.kind === "error") return;
            const judged = p1Reading(state, result.telegram, connection);
            state = judged.state;
            if (judged.result.kind === "refused") return;
            accepted++;
            last = at;
            check(judged.result.reading, String.fromCharCode(...result.telegram.bytes.subarray(result.telegram.start, result.telegram.end)));
          });
        };
        push(good);
        for (const [mutations, rightCrc] of spoilt) push(mutate(good, mutations, rightCrc));
        // Whatever was sent, two good telegrams later the meter is read again.
        push(good);
        push(good);
        push(good);
        expect(last).toBe(at);
      }), { numRuns: runs(250) });
    expect(accepted).toBeGreaterThan(500);
  });
});
