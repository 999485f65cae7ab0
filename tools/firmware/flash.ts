/**
 * `npm run flash -- --board olimex_esp32_evb --port /dev/ttyUSB0 [--site site.json] [--ssid NAME
 * --password PASSWORD] [--authority ca.pem] [--settings-only]`
 *
 * The image over USB with Espressif's esptool, and beside it the settings, each in its own partition,
 * which no update touches.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { readSite } from "../../src/services/site_config.js";
import { ESP32_BOARDS, binOf, outOf, say } from "./esp32.js";
import { root } from "./manifest.js";
import { parsePartitions, type Partition } from "./partitions.js";

const BAUD = "460800";
const TABLE_OFFSET = 0x8000;
/** ESP-IDF, CONFIG_BOOTLOADER_OFFSET_IN_FLASH. */
const BOOTLOADER_OFFSET = { esp32: 0x1000, esp32s3: 0 } as const;
type Chip = keyof typeof BOOTLOADER_OFFSET;

/** The text of a setting as it lies in the flash: to the partition's end erased. Null: it does not fit. */
export function settingImage(text: Uint8Array, partition: Partition): Uint8Array | null {
  if (text.length >= partition.size || text.includes(0xff)) return null;
  const image = new Uint8Array(partition.size).fill(0xff);
  image.set(text);
  return image;
}

export function chipOf(board: string): Chip {
  const { build } = JSON.parse(readFileSync(join(root, "boards", board, "manifest.json"), "utf8")) as { build: { ESP32_SUBCLASS?: Chip } };
  return build.ESP32_SUBCLASS ?? "esp32";
}

export async function flash(args: string[]): Promise<number> {
  let options;
  try {
    options = parseArgs({ args, options: {
      board: { type: "string" }, port: { type: "string" }, site: { type: "string" }, ssid: { type: "string" }, password: { type: "string" },
      authority: { type: "string" }, "settings-only": { type: "boolean" },
    } }).values;
  } catch (error) {
    return say((error as Error).message, 2);
  }
  const { board = "", port } = options;
  if (!ESP32_BOARDS.includes(board)) return say(`--board is one of ${ESP32_BOARDS.join(", ")}`, 2);
  if (port === undefined) return say("--port is the board's serial port, /dev/ttyUSB0 or so", 2);
  const partitions = parsePartitions(readFileSync(join(root, "boards", board, "sdkconfig/partitions.csv"), "utf8"));
  const chip = chipOf(board);
  const pieces: string[] = [];

  for (const [name, text] of settings(options)) {
    if (typeof text === "string") return say(text, 2);
    const partition = partitions.find((one) => one.name === name)!;
    const image = settingImage(text, partition);
    if (image === null) return say(`--${name}: more than the ${partition.size - 1} bytes of its partition, or not text`, 2);
    const file = join(outOf(board, false), `${name}.bin`);
    mkdirSync(outOf(board, false), { recursive: true });
    writeFileSync(file, image, { mode: 0o600 });
    pieces.push(hex(partition.offset), file);
  }
  if (options["settings-only"] !== true) {
    const at = (name: string): number => partitions.find((one) => one.name === name)!.offset;
    const files: [number, string][] = [[BOOTLOADER_OFFSET[chip], "bootloader.bin"], [TABLE_OFFSET, "partition-table.bin"], [at("otadata"), "ota_data_initial.bin"], [at("ota_0"), "xs_esp32.bin"]];
    for (const [offset, name] of files) {
      const file = join(binOf(board, false), name);
      if (!existsSync(file)) return say(`${file} is not there: npm run build -- --board ${board} first (it needs ESP-IDF)`, 2);
      pieces.push(hex(offset), file);
    }
  }
  if (pieces.length === 0) return say("nothing to write: --site, --ssid or --authority", 2);
  const esptool = ["esptool", "esptool.py"].find((command) => spawnSync(command, ["version"], { stdio: "ignore" }).status === 0);
  if (esptool === undefined) return say("esptool is missing: source ESP-IDF's export.sh, or pip install esptool", 2);
  return spawnSync(esptool, ["--chip", chip, "--port", port, "--baud", BAUD, "write_flash", ...pieces], { stdio: "inherit" }).status ?? 1;
}

/** Each given setting with its bytes, or with what is wrong with it. */
function settings(options: { site?: string | undefined; ssid?: string | undefined; password?: string | undefined; authority?: string | undefined }): [string, Uint8Array | string][] {
  const given: [string, Uint8Array | string][] = [];
  const file = (name: string, path: string, check: (text: string) => string | null): void => {
    let bytes: Buffer;
    try {
      bytes = readFileSync(path);
    } catch (error) {
      given.push([name, (error as Error).message]);
      return;
    }
    given.push([name, check(bytes.toString("utf8")) ?? new Uint8Array(bytes)]);
  };
  if (options.site !== undefined) {
    file("site", options.site, (text) => {
      const read = readSite(text);
      return read.ok ? null : read.faults.map(({ path, problem }) => `${options.site}: ${path === "" ? "" : `${path}: `}${problem}`).join("\n");
    });
  }
  if (options.authority !== undefined) file("authority", options.authority, (text) => (text.includes("-----BEGIN CERTIFICATE-----") ? null : `${options.authority}: no PEM certificate`));
  if (options.ssid !== undefined) {
    const lines = [options.ssid, options.password ?? ""];
    given.push(["wifi", lines.some((line) => line.includes("\n")) ? "--ssid and --password are one line each" : new TextEncoder().encode(`${lines.join("\n")}\n`)]);
  }
  return given;
}

const hex = (offset: number): string => `0x${offset.toString(16)}`;
