import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { openSync, readSync, closeSync, createReadStream, statSync } from "node:fs";
import { mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { nodePlatform, type NodePlatform } from "../../hal/node/platform.js";
import { LINE_SETTINGS, P1Port, type LineSetting, type P1Source } from "../../src/services/p1_port.js";
import { TelegramReader, type CrcPolicy } from "../../src/telegram/reader.js";
import { Household } from "../emulators/household.js";
import { P1Meter, splitTelegrams, type P1MeterOptions } from "../emulators/p1_meter.js";
import { P1_LINES, type P1Version } from "../emulators/p1_telegram.js";
import { resultPrinter, type Printer } from "../p1_print.js";

const usage = `Usage:
  vangnet p1 decode SOURCE [--json] [--crc auto|required|none] [--follow] [--count N] [--fuse A --phases N]
      SOURCE: a file, - for standard input, a serial device, or tcp://host:port
      --json     one line per telegram or error, with its byte offset in the input
      --crc      none: a DSMR 2.2 or 3.0 meter, which sends no CRC. auto (default) accepts one after four alike
      --follow   a file: wait for more. tcp: connect again when it ends
      --fuse     hold each reading against a main fuse of so many amperes, and against the one before
      --line     a serial device's setting, such as 115200-8N1; default: found by trying
  vangnet p1 emulate --pty | --device PATH | --tcp PORT [--file F | --household SEED] [--version 2.2|3|4|5|be] [--text T]
      plays a smart meter at its own pace; exit code 1 where the source is not there
`;

export async function run(args: string[]): Promise<number> {
  const [what, ...rest] = args;
  if (what === "decode") return decode(rest);
  if (what === "emulate") return emulate(rest);
  (what === "--help" || what === "help" ? process.stdout : process.stderr).write(usage);
  return what === "--help" || what === "help" ? 0 : 2;
}

// ---- decode ----
async function decode(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args, allowPositionals: true,
    options: {
      json: { type: "boolean", default: false }, crc: { type: "string", default: "auto" }, follow: { type: "boolean", default: false },
      count: { type: "string" }, fuse: { type: "string" }, phases: { type: "string", default: "3" }, line: { type: "string" }, help: { type: "boolean", default: false },
    },
  });
  if (values.help) return say(process.stdout, usage, 0);
  const source = positionals[0];
  const crc = values.crc;
  if (source === undefined || positionals.length > 1 || (crc !== "auto" && crc !== "required" && crc !== "none")) return say(process.stderr, usage, 2);
  const count = values.count === undefined ? Infinity : Number(values.count);
  const fuse = values.fuse === undefined ? null : Number(values.fuse);
  const phases = Number(values.phases);
  if (!(count > 0) || (fuse !== null && !(fuse > 0)) || (phases !== 1 && phases !== 3)) return say(process.stderr, usage, 2);
  const printer = resultPrinter({ json: values.json, connection: fuse === null ? null : { phases, delta: false, fuse: Math.round(fuse * 1000), importMax: null, exportMax: null } });

  const live = liveSource(source, values.line);
  if (typeof live === "string") return say(process.stderr, `${live}\n`, 2);
  if (live !== null) return decodeLive(live, crc, count, printer, values.follow);
  return decodeBytes(source, crc, count, printer, values.follow);
}

/** A port to be opened, null for a file or standard input, or what is wrong. */
function liveSource(source: string, line: string | undefined): P1Source | null | string {
  if (source.startsWith("tcp://")) {
    const url = URL.canParse(source) ? new URL(source) : null;
    const port = Number(url?.port);
    if (url === null || url.hostname === "" || !(port > 0)) return `${source}: tcp://host:port is asked`;
    return { kind: "tcp", host: url.hostname, port };
  }
  let setting: LineSetting | null = null;
  if (line !== undefined) {
    setting = LINE_SETTINGS.find((one) => `${one.baud}-${one.dataBits}${one.parity === "none" ? "N" : "E"}1` === line.toUpperCase()) ?? null;
    if (setting === null) return `--line ${line}: one of 115200-8N1, 9600-7E1, 115200-7E1 is asked`;
  }
  if (source === "-") return null;
  const stat = statSync(source, { throwIfNoEntry: false });
  return stat?.isCharacterDevice() ? { kind: "serial", device: source, setting } : null;
}

function decodeLive(source: P1Source, crc: CrcPolicy, count: number, printer: Printer, follow: boolean): Promise<number> {
  return withPlatform((platform, done) => {
    const check = (): void => { if (printer.telegrams >= count) done(); };
    const port = new P1Port(platform, {
      source, crc,
      onTelegram: (telegram) => { printer.print({ kind: "telegram", telegram }); check(); },
      onError: (error) => printer.print(error),
      onState: (state) => {
        if (state.kind === "closed") {
          process.stderr.write(`p1: ${state.reason}\n`);
          if (!follow) done();
        } else if (state.setting !== null) process.stderr.write(`p1: ${state.found ? "telegrams at" : "trying"} ${state.setting.baud} ${state.setting.dataBits}${state.setting.parity === "none" ? "N" : "E"}1\n`);
      },
    });
    return () => port.close();
  }).then(() => (printer.telegrams > 0 && printer.errors === 0 ? 0 : 1));
}

async function decodeBytes(source: string, crc: CrcPolicy, count: number, printer: Printer, follow: boolean): Promise<number> {
  const reader = new TelegramReader({ crc });
  let at = 0;
  const push = (bytes: Uint8Array): boolean => {
    reader.push(bytes, at++, (result) => { if (printer.telegrams < count) printer.print(result); });
    return printer.telegrams < count;
  };
  try {
    if (source === "-") {
      for await (const chunk of process.stdin) if (!push(chunk as Uint8Array)) break;
    } else if (follow) await followFile(source, push);
    else for await (const chunk of createReadStream(source)) if (!push(chunk as Uint8Array)) break;
  } catch (error) {
    return say(process.stderr, `${source}: ${(error as NodeJS.ErrnoException).code === "ENOENT" ? "no such file" : (error as Error).message}\n`, 1);
  }
  if (printer.telegrams < count) reader.flush(at, (result) => printer.print(result));
  if (printer.telegrams === 0 && printer.errors === 0) process.stderr.write(`${source === "-" ? "standard input" : source}: no telegram in it\n`);
  if (reader.counts.no_crc > 0 && printer.telegrams === 0) process.stderr.write("A DSMR 2.2 or 3.0 meter sends no CRC: --crc none accepts its telegrams.\n");
  return printer.telegrams > 0 && printer.errors === 0 ? 0 : 1;
}

/** Until interrupted or told to stop: what is there, then what is appended. */
async function followFile(path: string, push: (bytes: Uint8Array) => boolean): Promise<void> {
  const file = openSync(path, "r");
  const chunk = new Uint8Array(65_536);
  let stop = false;
  const interrupted = (): void => { stop = true; };
  process.once("SIGINT", interrupted).once("SIGTERM", interrupted);
  try {
    while (!stop) {
      const length = readSync(file, chunk);
      if (length > 0) stop = !push(chunk.subarray(0, length)) || stop;
      else await new Promise((resolve) => setTimeout(resolve, 200));
    }
  } finally {
    closeSync(file);
    process.off("SIGINT", interrupted).off("SIGTERM", interrupted);
  }
}

// ---- emulate ----
const VERSIONS: Record<string, P1Version> = { "2.2": "2.2", 2: "2.2", 3: "3.0", "3.0": "3.0", 4: "4.2", "4.2": "4.2", 5: "5.0", "5.0": "5.0", be: "BE" };

async function emulate(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      pty: { type: "boolean", default: false }, device: { type: "string" }, tcp: { type: "string" }, file: { type: "string" },
      household: { type: "string", default: "1" }, version: { type: "string", default: "5" }, text: { type: "string", default: "" },
      period: { type: "string" }, count: { type: "string" }, help: { type: "boolean", default: false },
    },
  });
  if (values.help) return say(process.stdout, usage, 0);
  const version = VERSIONS[values.version.toLowerCase()];
  const outputs = Number(values.pty) + Number(values.device !== undefined) + Number(values.tcp !== undefined);
  const count = values.count === undefined ? Infinity : Number(values.count);
  if (version === undefined || outputs !== 1 || !(count > 0)) return say(process.stderr, usage, 2);

  let recorded: Uint8Array[] | null = null;
  if (values.file !== undefined) {
    recorded = splitTelegrams(await readFile(values.file));
    if (recorded.length === 0) return say(process.stderr, `${values.file}: no telegram in it\n`, 1);
  }
  const household = new Household(Number(values.household), Math.trunc(Date.now() / 1000));
  household.text = values.text;
  const telegrams: P1MeterOptions["telegrams"] = recorded === null ? { state: () => household.at(Math.trunc(Date.now() / 1000)) } : { recorded };

  const pty = values.pty ? await openPty() : null;
  if (typeof pty === "string") return say(process.stderr, `${pty}\n`, 1);
  const line = P1_LINES[version];
  try {
    await withPlatform((platform, done) => {
      const meter = new P1Meter(platform, {
        version, telegrams,
        output: values.tcp !== undefined ? { kind: "tcp", port: Number(values.tcp), address: "127.0.0.1" } : { kind: "serial", device: pty?.inner ?? values.device! },
        ...(values.period === undefined ? {} : { periodMs: Number(values.period) }),
        onSent: () => { if (meter.sent >= count) done(); },
        onError: (error) => { process.stderr.write(`p1 emulate: ${String(error)}\n`); done(); },
      });
      pty?.process.once("exit", done);
      const where = (): string => (values.tcp !== undefined ? `tcp://127.0.0.1:${meter.port}` : pty?.outer ?? values.device!);
      platform.timer.set(() => process.stdout.write(`P1 ${version} on ${where()}${values.tcp === undefined ? `, ${line.baud} ${line.dataBits}${line.parity === "none" ? "N" : "E"}1` : ""}\n`), 50);
      return () => meter.close();
    });
  } finally {
    pty?.close();
  }
  return 0;
}

/** A pair of ptys joined by socat, or why there is none. */
export async function openPty(): Promise<{ inner: string; outer: string; process: ChildProcess; close(): void } | string> {
  const directory = mkdtempSync(join(tmpdir(), "vangnet-p1-"));
  const inner = join(directory, "meter");
  const outer = join(directory, "p1");
  const child = spawn("socat", ["-d", "-d", `pty,raw,echo=0,link=${inner}`, `pty,raw,echo=0,link=${outer}`], { stdio: ["ignore", "ignore", "pipe"] });
  const close = (): void => {
    child.kill();
    rmSync(directory, { recursive: true, force: true });
  };
  const problem = await new Promise<string | null>((resolve) => {
    let heard = "";
    child.stderr.on("data", (chunk: Uint8Array) => {
      heard += String(chunk);
      if (heard.includes("starting data transfer")) resolve(null);
    });
    child.once("error", (error: NodeJS.ErrnoException) => resolve(error.code === "ENOENT" ? "socat is not on PATH: a pty is made with it. Use --device or --tcp." : error.message));
    child.once("exit", () => resolve(`socat ended: ${heard.trim().split("\n").at(-1) ?? ""}`));
  });
  if (problem !== null) {
    close();
    return problem;
  }
  return { inner, outer, process: child, close };
}

/** Runs until `done` or an interrupt, then ends what `start` began. */
async function withPlatform(start: (platform: NodePlatform, done: () => void) => () => void): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "vangnet-p1-"));
  const platform = nodePlatform({ dataDirectory: directory });
  try {
    await new Promise<void>((resolve) => {
      let stop: (() => void) | null = null;
      let ended = false;
      const done = (): void => {
        ended = true;
        stop?.();
        stop = null;
        process.off("SIGINT", done).off("SIGTERM", done);
        resolve();
      };
      process.once("SIGINT", done).once("SIGTERM", done);
      stop = start(platform, done);
      if (ended) stop();
    });
  } finally {
    platform.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

function say(stream: NodeJS.WriteStream, text: string, code: number): number {
  stream.write(text);
  return code;
}
