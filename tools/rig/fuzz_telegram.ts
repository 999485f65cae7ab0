/**
 * Telegrams with bytes mutated, half with the CRC made right again. What is plausible is written here
 * anew, from the telegram's own text: no code of the decoder or of reading/plausible.ts.
 */
import { P1_METER_START, p1Reading, type P1MeterState } from "../../src/reading/p1_meter.js";
import type { Reading } from "../../src/reading/reading.js";
import { TelegramReader } from "../../src/telegram/reader.js";
import { closeTelegram, P1_VERSIONS, writeTelegram } from "../emulators/p1_telegram.js";
import { mutated, type Fuzz, type Fuzzer } from "./fuzz.js";
import type { Dice } from "./plan.js";

const FUSE_A = 25;
const connection = { phases: 3 as const, delta: false, fuse: FUSE_A * 1000, importMax: null, exportMax: null };
/** 2.5 times the fuse at 253 V: beyond it no value is believed at once. */
const MOST_W = 3 * 253 * FUSE_A * 2.5;
const SLASH = 0x2f;
const SPICE = [..."0123456789.()*-:/!\r\nkWhVA"].map((c) => c.charCodeAt(0));

export const telegrams: Fuzzer = {
  name: "telegrams", change: 1_000_000, release: 100_000_000,
  make(dice): Fuzz {
    const version = P1_VERSIONS[dice.weighted([1, 1, 3, 4, 2])]!;
    const withCrc = version !== "2.2" && version !== "3.0";
    const power = [dice.between(-3_000, 4_000), dice.between(-500, 4_000), dice.between(0, 3_000)];
    const good = writeTelegram({
      time: 1_768_496_400, power, voltage: [230_100, 229_400, 231_800], imported: [1_234_567, 7_654_321], exported: [12_345, 67_890],
      gas: dice.chance(500) ? { litres: 1_234_567, time: 1_768_496_200 } : null, text: dice.chance(300) ? "VN1:hallo" : "",
    }, version);
    const bytes = Uint8Array.from(good);
    const body = bytes.subarray(0, bytes.indexOf(0x21));
    const tail = bytes.subarray(bytes.indexOf(0x21));
    const reader = new TelegramReader({ crc: "auto", crcSeen: withCrc });
    const seen = { readings: 0, implausible: 0, confirmed: 0, errors: 0 };
    let state: P1MeterState = P1_METER_START;
    let isDoubted = false, at = 0, last = -1, wrong: string | null = null;
    const push = (some: Uint8Array): void => {
      if (some[0] === SLASH) at += 1_000;
      reader.push(some, at, (result) => {
        if (result.kind === "error") return void seen.errors++;
        const judged = p1Reading(state, result.telegram, connection);
        state = judged.state;
        if (judged.result.kind === "refused") {
          isDoubted = true;
          return void seen.implausible++;
        }
        seen.readings++;
        last = at;
        const { bytes: raw, start, end } = result.telegram;
        const odd = check(judged.result.reading, latin(raw.subarray(start, end)));
        // What two telegrams in a row say is the house, not the line: believed then, and only then.
        if (odd !== null && !isDoubted) wrong ??= odd;
        if (odd !== null) seen.confirmed++;
        isDoubted = odd !== null;
      });
    };
    for (let i = 0; i < 6; i++) push(bytes);
    return {
      seen,
      trial(own: Dice) {
        const spoilt = mutated(body, own, SPICE);
        if (withCrc && own.chance(500)) {
          const text = latin(spoilt);
          push(closeTelegram([text.endsWith("\r\n") ? text.slice(0, -2) : text]));
        } else {
          push(spoilt);
          push(tail);
        }
        if (own.chance(20)) push(bytes);
        return wrong;
      },
      // Whatever was sent: some good telegrams later the meter is read again.
      after() {
        for (let i = 0; i < 8; i++) push(bytes);
        return wrong ?? (last === at ? null : `not read again: last good at ${last}, now ${at}`);
      },
    };
  },
};

const latin = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");

const IMPORT = /^1-0:1\.7\.0\((\d+)(?:\.(\d+))?\*kW\)\r?$/;
const EXPORT = /^1-0:2\.7\.0\((\d+)(?:\.(\d+))?\*kW\)\r?$/;

/** A value the text itself states, in thousandths; null where the line is not exactly that, once. */
function stated(text: string, code: string, form: RegExp): number | null {
  const at = text.indexOf(`\n${code}`);
  if (at < 0 || text.indexOf(`\n${code}`, at + 1) >= 0) return null;
  const end = text.indexOf("\n", at + 1);
  const match = form.exec(text.slice(at + 1, end < 0 ? undefined : end));
  return match === null ? null : Number(match[1]) * 1000 + Number((match[2] ?? "").padEnd(3, "0").slice(0, 3));
}

function check(reading: Reading, text: string): string | null {
  const { net, power, current, voltage } = reading;
  for (const value of [net, ...power, ...current, ...voltage, reading.imported, reading.exported, reading.meterTime]) {
    if (value !== null && !Number.isInteger(value)) return `${value} is no integer`;
  }
  if (Math.abs(net) > MOST_W) return `net ${net} W believed`;
  const imported = stated(text, "1-0:1.7.0(", IMPORT), exported = stated(text, "1-0:2.7.0(", EXPORT);
  if (imported !== null && exported !== null && net !== imported - exported) return `net ${net} W, the text says ${imported} − ${exported}`;
  for (let p = 0; p < 3; p++) {
    if (Math.abs(power[p] ?? 0) > MOST_W / 3 + 1) return `L${p + 1} ${power[p]} W believed`;
    if (Math.abs(current[p] ?? 0) > FUSE_A * 2_500) return `L${p + 1} ${current[p]} mA believed`;
    if ((voltage[p] ?? 0) > 300_000 || (voltage[p] ?? 0) < 0) return `L${p + 1} ${voltage[p]} mV believed`;
  }
  if (power[0] !== null && power[1] !== null && power[2] !== null) {
    const sum = power[0]! + power[1]! + power[2]!;
    if (Math.abs(sum - net) > Math.max(1_000, 0.31 * Math.max(Math.abs(sum), Math.abs(net)))) return `phases give ${sum} W, the meter ${net}`;
  }
  return null;
}
