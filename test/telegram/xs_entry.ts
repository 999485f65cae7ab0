/** Runs inside XS (test/xs/engine.ts): one reader, fed whole telegrams. */
import { P1_METER_START, p1Reading } from "../../src/reading/p1_meter.js";
import { TelegramReader } from "../../src/telegram/reader.js";

const machine: { reader: TelegramReader | null; bytes: Uint8Array } = { reader: null, bytes: new Uint8Array(0) };

/** Latin-1 text, so that only the decoding itself is measured by the calls that follow. */
export function prepare(text: string): number {
  machine.reader = new TelegramReader({ crc: "auto" });
  machine.bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) machine.bytes[i] = text.charCodeAt(i);
  return text.length;
}

export function nothing(): number {
  return 0;
}

/** Pushes the telegram `times` times; what the last said, as the core reads it. */
export function decode(times: number): unknown {
  let said: unknown = null;
  const sink = (result: Parameters<Parameters<TelegramReader["push"]>[2]>[0]): void => {
    if (result.kind === "error") said = result.rule;
    else if (times === 1) said = summary(result.telegram);
  };
  for (let i = 0; i < times; i++) machine.reader!.push(machine.bytes, i * 1000, sink);
  return said;
}

function summary(telegram: Parameters<typeof p1Reading>[1]): unknown {
  const { identification, version, time, equipmentId, mbus, message, faultCount } = telegram;
  const { result } = p1Reading(P1_METER_START, telegram, { phases: 3, delta: false, fuse: 25_000, importMax: null, exportMax: null });
  return { identification, version, time, equipmentId, mbus, message, faultCount, result };
}
export { summary };
