/**
 * `npm run size [-- --board olimex_esp32_evb] [--record]`: what a board's firmware takes of flash and
 * RAM, from what `npm run build -- --board … --link-only` linked, against the budget and against
 * boards/sizes.json, which `--record` writes at a release.
 *
 * Flash, exact: preloaded slots (16 bytes each on a 32-bit chip), bytecode and strings in mc.xs.c,
 * tables, resources. The native code and the IDF are not in it. Bytecode is told by module too; for
 * slots there is no such account, because the linker shares and strips them.
 */
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { ESP32_BOARDS, say, tmpOf } from "./esp32.js";
import { root } from "./manifest.js";

/** Issue 3, numbers: bytecode, preloaded slots and resources. */
export const FLASH_BUDGET = 900 * 1024;
/** The chunk heap, slot heap and stack of an Ethernet target; incremental is 0. */
export const RAM_BUDGET = { chunk: 78_848, slots: 4_928, stack: 1_024 };
const SLOT_BYTES = 16;
const POINTER_BYTES = 4;
const TOP_MODULES = 15;

export interface Sizes {
  readonly slots: number;
  readonly bytecode: number;
  readonly strings: number;
  readonly tables: number;
  readonly resources: number;
  readonly total: number;
  /** Slots of preloaded objects that may still change: each takes RAM from the slot heap when it does. */
  readonly aliases: number;
}

/** `text`: mc.xs.c as xsl of SDK 8.2 writes it. */
export function measure(text: string, resources: number): Sizes {
  const count = (name: string): number => Number(new RegExp(`#define ${name} (\\d+)`).exec(text)?.[1] ?? 0);
  const slots = count("mxHeapCount") + count("mxStackCount");
  let bytecode = 0;
  for (const [, size] of text.matchAll(/^static const txU1 gxCode\d+\[(\d+)\] = /gm)) bytecode += Number(size);
  for (const [, code] of text.matchAll(/\(txByte\*\)"((?:\\x[0-9a-f]{2})*)"/g)) bytecode += code!.length / 4;
  const texts = new Set<string>();
  for (const [, string] of text.matchAll(/\.(?:string|key\.string) = "((?:[^"\\]|\\.)*)"/g)) texts.add(string!);
  for (const [, string] of text.matchAll(/\.key = \{ "((?:[^"\\]|\\.)*)"/g)) texts.add(string!);
  let strings = 0;
  for (const string of texts) strings += string.replace(/\\x[0-9a-f]{2}|\\[0-7]{3}|\\./g, "x").length + 1;
  const tables = POINTER_BYTES * (2 * count("mxKeysCount") + count("mxNamesCount") + count("mxSymbolsCount"));
  const total = SLOT_BYTES * slots + bytecode + strings + tables + resources;
  return { slots, bytecode, strings, tables, resources, total, aliases: count("mxAliasCount") };
}

/** The CODE atom of a compiled module (xs/sources/xsScript.c: each atom is a size and a name). */
export function bytecodeOf(xsb: Uint8Array): number {
  const view = new DataView(xsb.buffer, xsb.byteOffset, xsb.byteLength);
  for (let at = 8; at + 8 <= xsb.length;) {
    const size = view.getUint32(at);
    if (String.fromCharCode(...xsb.subarray(at + 4, at + 8)) === "CODE") return size - 8;
    if (size < 8) break;
    at += size;
  }
  return 0;
}

type Recorded = Record<string, Sizes & { release: string }>;
const RECORD = "boards/sizes.json";

export async function size(args: string[]): Promise<number> {
  let options;
  try {
    options = parseArgs({ args, options: { board: { type: "string" }, record: { type: "boolean" } } }).values;
  } catch (error) {
    return say((error as Error).message, 2);
  }
  const boards = options.board === undefined ? ESP32_BOARDS : [options.board];
  if (!boards.every((board) => ESP32_BOARDS.includes(board))) return say(`--board is one of ${ESP32_BOARDS.join(", ")}`, 2);
  const path = join(root, RECORD);
  const recorded = existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) as Recorded : {};
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  let measured = 0;
  let over = 0;
  for (const board of boards) {
    const linked = join(tmpOf(board, false), "mc.xs.c");
    if (!existsSync(linked)) {
      say(`${board}: not linked: npm run build -- --board ${board} --link-only`, 2);
      continue;
    }
    measured++;
    const sizes = measure(readFileSync(linked, "utf8"), resourcesOf(board));
    report(board, sizes, recorded[board]);
    if (sizes.total > FLASH_BUDGET) over++;
    recorded[board] = { release: version, ...sizes };
  }
  if (options.record === true && measured > 0) writeFileSync(path, `${JSON.stringify(recorded, null, 2)}\n`);
  return measured === 0 ? 2 : over > 0 ? 1 : 0;
}

function resourcesOf(board: string): number {
  const folder = join(tmpOf(board, false), "resources");
  if (!existsSync(folder)) return 0;
  return readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + readFileSync(join(entry.parentPath, entry.name)).length, 0);
}

function report(board: string, sizes: Sizes, before: (Sizes & { release: string }) | undefined): void {
  const row = (label: string, bytes: number, was?: number): string => `  ${label.padEnd(38)}${bytes.toLocaleString("en").padStart(10)}${was === undefined ? "" : `  ${difference(bytes, was)} since ${before!.release}`}`;
  say(`${board}: flash, without native code and the IDF`, 0);
  say(row(`${sizes.slots} preloaded slots of ${SLOT_BYTES} bytes`, sizes.slots * SLOT_BYTES, before && before.slots * SLOT_BYTES), 0);
  say(row("bytecode", sizes.bytecode, before?.bytecode), 0);
  say(row("strings", sizes.strings, before?.strings), 0);
  say(row("tables", sizes.tables, before?.tables), 0);
  say(row("resources", sizes.resources, before?.resources), 0);
  say(`${row("total", sizes.total, before?.total)}  budget ${FLASH_BUDGET.toLocaleString("en")}${sizes.total > FLASH_BUDGET ? ": OVER" : ""}`, 0);
  const { chunk, slots, stack } = RAM_BUDGET;
  say(`  RAM: chunks ${chunk.toLocaleString("en")}, slots ${(slots * SLOT_BYTES).toLocaleString("en")} (${slots}), stack ${(stack * SLOT_BYTES).toLocaleString("en")}, aliases ${(sizes.aliases * POINTER_BYTES).toLocaleString("en")} bytes`, 0);
  say("  bytecode by folder, and the largest modules, with what the linker strips:", 0);
  const modules = modulesOf(board);
  const folders = new Map<string, number>();
  for (const [name, bytes] of modules) {
    const folder = name.includes("/") ? name.slice(0, name.lastIndexOf("/")) : "(packages and the SDK)";
    folders.set(folder, (folders.get(folder) ?? 0) + bytes);
  }
  for (const [name, bytes] of [...folders].sort((a, b) => b[1] - a[1])) say(row(name, bytes), 0);
  for (const [name, bytes] of [...modules].sort((a, b) => b[1] - a[1]).slice(0, TOP_MODULES)) say(row(`  ${name}`, bytes), 0);
}

function modulesOf(board: string): [string, number][] {
  const folder = join(tmpOf(board, false), "modules");
  return readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".xsb"))
    .map((file) => [relative("", file.slice(0, -".xsb".length)), bytecodeOf(new Uint8Array(readFileSync(join(folder, file))))]);
}

const difference = (now: number, was: number): string => (now >= was ? `+${now - was}` : String(now - was));
