/** What the telegram tests share: files, lines, and everything a reader said of some bytes. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { TelegramReader, type CrcPolicy, type TelegramError, type TelegramResult } from "../../src/telegram/reader.js";
import type { Telegram } from "../../src/telegram/telegram.js";
import { closeTelegram } from "../../tools/emulators/p1_telegram.js";

export const VECTORS = new URL("../vectors/telegrams/", import.meta.url).pathname;
/** Real telegrams that are not part of the project: used where they lie beside it. */
export const REAL = new URL("../../../shared/telegrams/", import.meta.url).pathname;
export const realTelegrams = (): string[] => (existsSync(REAL) ? readdirSync(REAL).filter((name) => name.endsWith(".txt")) : []);

export const vector = (name: string): Uint8Array => new Uint8Array(readFileSync(`${VECTORS}${name}`));
export const latin = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));

/** A result that outlives the reader's own object. */
export type Kept = { kind: "telegram"; telegram: Telegram } | TelegramError;
export const keep = (result: TelegramResult): Kept => structuredClone(result);

export function readAll(bytes: Uint8Array, crc: CrcPolicy = "auto", chunk = bytes.length || 1): Kept[] {
  const reader = new TelegramReader({ crc });
  const results: Kept[] = [];
  for (let p = 0; p < bytes.length; p += chunk) reader.push(bytes.subarray(p, p + chunk), p, (result) => results.push(keep(result)));
  reader.flush(bytes.length, (result) => results.push(keep(result)));
  return results;
}

export function readOne(bytes: Uint8Array, crc: CrcPolicy = "auto"): Telegram {
  const results = readAll(bytes, crc);
  if (results.length !== 1 || results[0]!.kind !== "telegram") throw new Error(`not one telegram: ${JSON.stringify(results.map((one) => (one.kind === "error" ? one : one.kind)))}`);
  return results[0]!.telegram;
}

const BASE = ["/Ene5\\VNG-TEST", "", "1-3:0.2.8(50)", "0-0:1.0.0(240710143003S)", "1-0:1.7.0(01.234*kW)", "1-0:2.7.0(00.000*kW)"];

/** A telegram of DSMR 5 with these lines more, its CRC right. */
export const withLines = (...lines: string[]): Uint8Array => closeTelegram([...BASE, ...lines]);
/** As withLines, with the line of one code put in place of the base's. */
export function withInstead(line: string): Uint8Array {
  const code = line.slice(0, line.indexOf("(") + 1);
  return closeTelegram(BASE.map((one) => (one.startsWith(code) ? line : one)));
}
export const rules = (results: Kept[]): string[] => results.map((one) => (one.kind === "telegram" ? "telegram" : one.rule));
