/**
 * `npm run bench`: what the core costs on this machine, beside the npm packages that do the same.
 * Only ratios within one run mean anything; the counts that do not depend on the machine are in
 * test/xs/budget.json. `--quick` takes about a tenth of the time.
 */
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { performance } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { verifyP256Sync } from "../hal/node/crypto.js";
import type { AcceptedToken } from "../src/token/cap.js";
import { checkClaims } from "../src/token/claims.js";
import { decodeToken, signedBytes } from "../src/token/decode.js";
import { checkKey, keyOfEntry, type TrustedKey } from "../src/token/keys.js";
import { TelegramReader } from "../src/telegram/reader.js";
import { P1_METER_START, p1Reading, type P1MeterState } from "../src/reading/p1_meter.js";
import { signatureInRange } from "../src/wire/p256.js";
import { BenchHouse, SITE_OF_SIX, SITE_OF_THREE } from "./bench_house.js";
import { writeTelegram } from "./emulators/p1_telegram.js";
import { encodeToken, newKey } from "./operator/encode.js";
import { publicEntry } from "./operator/files.js";

const quick = process.argv.includes("--quick");
const require = createRequire(import.meta.url);
const NOW = 1_768_496_400;

const out = (text: string): void => { process.stdout.write(`${text}\n`); };
const us = (ms: number): string => `${(ms * 1000).toFixed(ms < 0.1 ? 2 : 1)} µs`;

const ROUNDS = 10;

/**
 * Milliseconds of one call of each: the least of ten rounds, taken in turn, so that a machine busy
 * with something else spoils neither the figures nor what they are compared with.
 */
function timeInTurn(calls: readonly { readonly times: number; readonly call: () => void }[]): number[] {
  const least = calls.map(() => Infinity);
  for (let round = 0; round < ROUNDS; round++) {
    calls.forEach(({ times, call }, i) => {
      const began = performance.now();
      for (let k = 0; k < times; k++) call();
      least[i] = Math.min(least[i]!, (performance.now() - began) / times);
    });
  }
  return least;
}

const time = (times: number, call: () => void): number => timeInTurn([{ times, call }])[0]!;

// ---- Telegrams ----

const telegram = new Uint8Array(writeTelegram({
  time: NOW, power: [1234, 567, -890], voltage: [230_100, 229_400, 231_800], imported: [1_234_567, 7_654_321], exported: [12_345, 67_890],
  gas: { litres: 1_234_567, time: NOW - 200 },
}, "5.0"));
/** What follows the `!` and its four digits is line end, not telegram. */
const telegramEnd = telegram.indexOf(0x21) + 5;

class Ours {
  readonly #reader = new TelegramReader({ crc: "required" });
  #meter: P1MeterState = P1_METER_START;
  #at = 0;
  readings = 0;
  readonly #connection = { phases: 3, delta: false, fuse: 25_000, importMax: null, exportMax: null } as const;
  readonly #sink = (result: Parameters<Parameters<TelegramReader["push"]>[2]>[0]): void => {
    if (result.kind === "error") return;
    const read = p1Reading(this.#meter, result.telegram, this.#connection);
    this.#meter = read.state;
    if (read.result.kind === "reading") this.readings++;
  };

  push(bytes: Uint8Array): void {
    this.#reader.push(bytes, (this.#at += 1000), this.#sink);
  }
}

function benchTelegrams(): void {
  // p1-reader tells the console of each line it does not know.
  console.error = () => {};
  const ours = new Ours();
  const text = Buffer.from(telegram).toString("latin1");
  const theirs: [string, (text: string) => boolean][] = [];
  optional("dsmr-parser", () => {
    const parser = require("dsmr-parser") as { parse(text: string): { objects: object } };
    theirs.push(["dsmr-parser", (one) => Object.keys(parser.parse(one).objects).length > 0]);
  });
  optional("p1-reader", () => {
    const parsePacket = require("p1-reader/lib/parsePacket") as (text: string) => { timestamp: string | null };
    // As its reader does: cut at the stop character, and given out wherever there is a timestamp.
    theirs.push(["p1-reader", (one) => parsePacket(one.slice(0, one.lastIndexOf("!"))).timestamp !== null]);
  });
  for (const [name, parse] of theirs) if (!parse(text)) throw new Error(`${name} does not read the telegram of the benchmark`);
  const times = quick ? 1_000 : 10_000;
  const [mine, ...others] = timeInTurn([
    { times, call: () => ours.push(telegram) }, ...theirs.map(([, parse]) => ({ times: times / 10, call: () => { parse(text); } })),
  ]);
  if (ours.readings !== ROUNDS * times) throw new Error("the telegram of the benchmark was not read");
  out(`telegram (DSMR 5, 3 phases, ${telegram.length} bytes)  ${us(mine!)}  to a checked, plausible reading`);
  theirs.forEach(([name], i) => out(`  ${name.padEnd(12)} ${us(others[i]!)}  ${(others[i]! / mine!).toFixed(1)} times ours`));
  benchCorruption(theirs);
}

/** Every byte of the telegram changed, one at a time: all 255 values for ours, fewer for theirs. */
function benchCorruption(theirs: readonly (readonly [string, (text: string) => boolean])[]): void {
  const ours = new Ours();
  const spoilt = telegram.slice();
  let tried = 0;
  let accepted = 0;
  for (let p = 0; p < telegramEnd; p++) {
    for (let change = 1; change < 256; change += quick ? 16 : 1) {
      if (sameDigit(telegram[p]!, telegram[p]! ^ change) && p > telegramEnd - 5) continue;
      spoilt[p] = telegram[p]! ^ change;
      const before = ours.readings;
      ours.push(spoilt);
      ours.push(LINE_END);
      tried++;
      if (ours.readings !== before) accepted++;
    }
    spoilt[p] = telegram[p]!;
  }
  out(`  corrupted by one byte: ours accepts ${accepted} of ${tried}`);
  if (accepted > 0) process.exitCode = 1;
  for (const [name, parse] of theirs) {
    let passed = 0;
    let given = 0;
    for (let p = 0; p < telegramEnd; p++) {
      for (const change of quick ? [1] : [1, 2, 4, 16]) {
        if (sameDigit(telegram[p]!, telegram[p]! ^ change) && p > telegramEnd - 5) continue;
        spoilt[p] = telegram[p]! ^ change;
        given++;
        try {
          if (parse(Buffer.from(spoilt).toString("latin1"))) passed++;
        } catch { /* refused */ }
      }
      spoilt[p] = telegram[p]!;
    }
    out(`    ${name} accepts ${passed} of ${given}`);
  }
}

const LINE_END = Uint8Array.of(13, 10);
/** A CRC digit in the other case is the same digit. */
const sameDigit = (a: number, b: number): boolean => String.fromCharCode(a).toLowerCase() === String.fromCharCode(b).toLowerCase();

function benchHeap(): void {
  const collect = (globalThis as { gc?: () => void }).gc;
  const ours = new Ours();
  const count = quick ? 100_000 : 1_000_000;
  for (let i = 0; i < 20_000; i++) ours.push(telegram);
  collect?.();
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < count; i++) ours.push(telegram);
  collect?.();
  const grown = process.memoryUsage().heapUsed - before;
  out(`heap after ${count.toLocaleString("en")} telegrams  ${grown < 0 ? "" : "+"}${(grown / 1024).toFixed(1)} KiB${collect ? "" : " (without --expose-gc: not collected)"}`);
}

// ---- Tokens ----

function benchTokens(): void {
  const key = newKey("operator");
  const keys: TrustedKey[] = [keyOfEntry({ ...publicEntry(key), audiences: undefined, not_before: undefined, not_after: undefined })];
  const event = { start: NOW, duration: 7_200, importLimit: 4_200, exportLimit: null, emergency: false, controllable: false, release: null };
  const bytes = encodeToken({ aud: "all", seq: 1, iat: NOW, exp: NOW + 900, events: [{ id: "0a0b0c0d", ...event }, { id: "0a0b0c0e", ...event }] }, key);
  const check = () => {
    const decoded = decodeToken(bytes);
    if (!decoded.ok || !checkKey(keys, decoded.token, "mqtt", NOW).ok || !signatureInRange(decoded.token.message.signature)
      || !checkClaims(decoded.token, { ean: null, msr: null }, NOW, null).ok) throw new Error("the token of the benchmark was refused");
    return decoded.token;
  };
  out(`token (${bytes.length} bytes, 2 events)  ${us(time(quick ? 2_000 : 20_000, check))}  decoded and checked`);
  const verified = time(quick ? 50 : 500, () => {
    const token = check();
    if (!verifyP256Sync(keys[0]!.point, signedBytes(token), token.message.signature)) throw new Error("bad signature");
  });
  out(`  with its P-256 signature (node:crypto)  ${us(verified)}`);
}

// ---- Ticks ----

function benchTicks(): void {
  const token: AcceptedToken = {
    kid: "0101010101010101", role: "operator", aud: "all", seq: 1, iat: NOW, exp: NOW + 30 * 86_400, clockTrusted: true, channel: "mqtt", hash: "00112233445566ff",
    events: [{ id: "0a0b0c0d", start: NOW + 3_600, duration: 7_200, importLimit: 4_200, exportLimit: null, emergency: false, controllable: false, release: null }],
  };
  for (const [name, site] of [["six devices", SITE_OF_SIX], ["three devices", SITE_OF_THREE]] as const) {
    const house = new BenchHouse(site, NOW);
    const seconds = quick ? 8_640 : 86_400;
    const second = time(seconds, () => house.run(1, token));
    out(`tick with ${name}  ${us(house.tickTime(quick ? 5_000 : 20_000))}`);
    out(`  the core and a plain house: ${Math.round(1000 / second).toLocaleString("en")} times real time, ${(1000 / second / 86_400).toFixed(2)} house-days a second`);
  }
}

/** `vangnet start --fast` in a process of its own: sockets, broker, Modbus, evidence and the house, all in virtual time. */
function benchServices(): void {
  const vangnet = fileURLToPath(new URL("./vangnet.mjs", import.meta.url));
  const seconds = quick ? 7_200 : 86_400;
  const { stdout, status } = spawnSync(process.execPath, [vangnet, "start", "--fast", "--no-view", "--seed", "1", "--for", `${seconds}`], { encoding: "utf8" });
  const times = /: (\d+) times real time/.exec(stdout)?.[1];
  out(`whole controller with all services and the simulated home  ${times === undefined ? "failed" : `${Number(times).toLocaleString("en")} times real time`} (${seconds.toLocaleString("en")} s, ${status === 0 ? "caps obeyed" : "CAPS NOT OBEYED"})`);
  if (status !== 0) process.exitCode = 1;
}

function optional(name: string, use: () => void): void {
  try {
    use();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "MODULE_NOT_FOUND") throw error;
    out(`  ${name} is not installed (npm ci without --omit=dev has it)`);
  }
}

benchTelegrams();
benchHeap();
benchTokens();
benchTicks();
benchServices();
