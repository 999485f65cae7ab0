/** Telegrams and their errors as people and programs read them: `vangnet p1 decode`. */
import process from "node:process";
import { netPower, p1Reading, P1_METER_START, period, readingOf, type P1MeterState, type ReadingResult } from "../src/reading/p1_meter.js";
import type { Connection } from "../src/site.js";
import { failureLog, monthPeaks } from "../src/telegram/lists.js";
import type { TelegramResult } from "../src/telegram/reader.js";
import type { Telegram } from "../src/telegram/telegram.js";

export interface Printer {
  readonly telegrams: number;
  readonly errors: number;
  print(result: TelegramResult): void;
}

export function resultPrinter(options: { json: boolean; connection: Connection | null; write?: (text: string) => void }): Printer {
  const write = options.write ?? ((text) => { process.stdout.write(text); });
  let state: P1MeterState = P1_METER_START;
  const counts = { telegrams: 0, errors: 0 };
  return {
    get telegrams() { return counts.telegrams; },
    get errors() { return counts.errors; },
    print(result) {
      if (result.kind === "error") {
        counts.errors++;
        const { kind, rule, offset, start, at: _at, ...more } = result;
        write(options.json ? `${JSON.stringify({ kind, rule, offset, telegram: start, ...more })}\n` : `error  ${rule} at byte ${offset} (telegram at ${start})\n`);
        return;
      }
      counts.telegrams++;
      const { telegram } = result;
      let reading: ReadingResult;
      if (options.connection === null) reading = unchecked(telegram);
      else ({ state, result: reading } = p1Reading(state, telegram, options.connection));
      write(options.json ? `${JSON.stringify(telegramJson(telegram, reading))}\n` : telegramTable(telegram, reading));
    },
  };
}

function unchecked(telegram: Telegram): ReadingResult {
  const net = netPower(telegram);
  if (net === null) return { kind: "refused", rule: "no_power", misfit: 0, at: telegram.at };
  if (telegram.ambiguous) return { kind: "refused", rule: "ambiguous", misfit: 0, at: telegram.at };
  return { kind: "reading", reading: readingOf(telegram, net, period(telegram.version, false)) };
}

/** Integers as the core has them: W, Wh, mV, mA, litres; times are seconds since 1970. */
export function telegramJson(telegram: Telegram, reading: ReadingResult): object {
  const { bytes: _bytes, start, end, at: _at, faultCount, corruptCount: _corrupt, failureLogAt: _log, monthPeaksAt: _peaks, message, mbus, ...fields } = telegram;
  return {
    kind: "telegram",
    ...fields,
    length: end - start,
    utc: telegram.time === null ? null : new Date(telegram.time * 1000).toISOString(),
    message: message.text,
    failureLog: failureLog(telegram),
    monthPeaks: monthPeaks(telegram),
    mbus: mbus.map((device, index) => ({ channel: index + 1, ...device })).filter(({ type, id, value }) => type !== null || id !== null || value !== null),
    faultCount,
    ...(reading.kind === "reading" ? { reading: reading.reading, refused: null } : { reading: null, refused: { rule: reading.rule, misfit: reading.misfit } }),
  };
}

function telegramTable(telegram: Telegram, result: ReadingResult): string {
  const rows: [string, string][] = [];
  const add = (name: string, text: string | null): void => { if (text !== null) rows.push([name, text]); };
  const milli = (value: number | null, unit: string, decimals = 3): string | null => (value === null ? null : `${(value / 1000).toFixed(decimals)} ${unit}`);
  const phases = (values: readonly (number | null)[], unit: string, decimals: number): string | null =>
    values.every((value) => value === null) ? null : `${values.map((value) => (value === null ? "-" : (value / 1000).toFixed(decimals))).join("  ")} ${unit}`;

  add("meter", `${telegram.identification}${telegram.version === null ? "" : `, version ${telegram.version}`}${telegram.crc === "none" ? ", no CRC" : ""}`);
  add("equipment", telegram.equipmentId);
  add("time", telegram.time === null ? null : new Date(telegram.time * 1000).toISOString());
  if (result.kind === "refused") add("reading", `refused: ${result.rule}`);
  else {
    const { reading } = result;
    add("net", `${reading.net} W`);
    add("per phase", phases(reading.power, "kW", 3));
    add("current", phases(reading.current, "A", reading.currentWhole ? 0 : 2));
    add("voltage", phases(reading.voltage, "V", 1));
    add("imported", milli(reading.imported, "kWh"));
    add("exported", milli(reading.exported, "kWh"));
    add("quarter", milli(reading.quarterAverage, "kW"));
    add("month peak", milli(reading.monthPeak, "kW"));
  }
  for (const [index, device] of telegram.mbus.entries()) {
    if (device.value === null || device.unit === null) continue;
    const units = { l: "m3", MJ: "GJ", Wh: "kWh" } as const;
    add(`m-bus ${index + 1}`, `${milli(device.value, units[device.unit])} (type ${device.type ?? "?"}, ${device.id ?? "no id"})`);
  }
  if (telegram.message.text) add("text", telegram.message.text);
  for (const { rule, offset } of telegram.faults) add("unreadable", `${rule} at byte ${offset}`);
  return `telegram at byte ${telegram.offset}, ${telegram.end - telegram.start} bytes\n${rows.map(([name, text]) => `  ${name.padEnd(11)} ${text}\n`).join("")}`;
}
