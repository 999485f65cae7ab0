/** Every board's folder is whole, holds data and no logic, and fits its chip. */
import { readFileSync, readdirSync, existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import fc from "fast-check";
import { ESP32_BOARDS } from "../tools/firmware/esp32.js";
import { chipOf, settingImage } from "../tools/firmware/flash.js";
import { parsePartitions } from "../tools/firmware/partitions.js";
import { bytecodeOf, measure } from "../tools/firmware/size.js";

const root = process.cwd();
const folder = (board: string): string => join(root, "boards", board);
const text = (board: string, file: string): string => readFileSync(join(folder(board), file), "utf8");
const MEGABYTE = 1024 * 1024;

/** ESP32 Series Datasheet 2.2, 3.3.; ESP32-S3 Series Datasheet 2.2: of the GPIO matrix; what the flash, the console and the strapping take. */
const CHIPS = {
  esp32: { pins: 40, inputOnly: [34, 35, 36, 37, 38, 39], taken: [1, 3, 6, 7, 8, 9, 10, 11], ethernet: [0, 18, 19, 21, 22, 23, 25, 26, 27], straps: [0, 2, 5, 12, 15] },
  esp32s3: { pins: 49, inputOnly: [], taken: [19, 20, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 43, 44], ethernet: [], straps: [0, 3, 45, 46] },
} as const;

interface Pin { readonly use: string; readonly gpio: number; readonly drives: boolean }

/** From provider.ts as it stands: it is data, so reading it needs no chip. */
function pinsOf(provider: string): Pin[] {
  const pins: Pin[] = [];
  for (const [, name, rest] of provider.matchAll(/^ {4}(\w+): \{ io: (.*) \},$/gm)) {
    for (const [, role, gpio] of rest!.matchAll(/(receive|transmit|direction|pin): (\d+)/g)) pins.push({ use: `${name}.${role}`, gpio: Number(gpio), drives: role !== "receive" });
  }
  return pins;
}

test("every board that has a partition table is one the tools know", () => {
  const found = readdirSync(join(root, "boards")).filter((board) => existsSync(join(folder(board), "sdkconfig/partitions.csv")));
  expect(found.sort()).toEqual([...ESP32_BOARDS].sort());
});

describe.each(ESP32_BOARDS)("%s", (board) => {
  const provider = text(board, "provider.ts");
  const pins = pinsOf(provider);
  const chip = CHIPS[chipOf(board)];
  const manifest = JSON.parse(text(board, "manifest.json")) as { include: string[]; build: Record<string, string>; defines?: { ethernet?: { internal: { phy: { reset: number } } } } };

  test("has its files", () => {
    for (const file of ["README.md", "main.ts", "manifest.json", "provider.ts", "wiring.svg", "sdkconfig/sdkconfig.defaults", "sdkconfig/partitions.csv"]) expect(existsSync(join(folder(board), file)), file).toBe(true);
    expect(manifest.build["SDKCONFIGPATH"]).toBe("./sdkconfig");
    expect(manifest.build["PARTITIONS_FILE_FOR_TARGET"]).toBe("./sdkconfig/partitions.csv");
    expect(manifest.include).toContain("../../hal/moddable/esp32/manifest.json");
  });

  test("is data: one object, no logic", () => {
    expect(text(board, "main.ts").split("\n").filter((line) => line !== "")).toEqual([
      'import { main } from "../../hal/moddable/esp32/main.js";', 'import device from "./provider.js";', "main(device);"]);
    const code = provider.replace(/\/\*\*[^]*?\*\//, "");
    expect(code).not.toMatch(/=>|\bfunction\b|\bif\b|\bfor\b|\bwhile\b|\?|\bclass\b|\bnew\b|\(/);
    expect(code.match(/^const /gm)).toHaveLength(1);
  });

  test("has the P1 port inverted, RS485, and two contacts for SG Ready", () => {
    expect(pins.map((pin) => pin.use)).toEqual(expect.arrayContaining(["p1.receive", "rs485.receive", "rs485.transmit", "sg1.pin", "sg2.pin"]));
    expect(/p1: \{[^}]*invert: true/.test(provider)).toBe(true);
    const ports = [...provider.matchAll(/port: (\d)/g)].map((match) => match[1]);
    expect(new Set(ports).size).toBe(ports.length);
  });

  test("uses no pin twice, and each for what it can do", () => {
    const wired = manifest.defines?.ethernet !== undefined;
    const reset = manifest.defines?.ethernet?.internal.phy.reset ?? -1;
    const others = [...chip.taken, ...(wired ? [...chip.ethernet, ...(reset < 0 ? [] : [reset])] : [])];
    const numbers = pins.map((pin) => pin.gpio);
    expect(new Set(numbers).size).toBe(numbers.length);
    expect(numbers.filter((gpio) => gpio >= chip.pins || (others as number[]).includes(gpio))).toEqual([]);
    expect(pins.filter((pin) => pin.drives && (chip.inputOnly as readonly number[]).includes(pin.gpio))).toEqual([]);
    // A strapping pin is read at power-on: the contacts that matter stay away from them.
    expect(pins.filter((pin) => /^sg\d/.test(pin.use) && (chip.straps as readonly number[]).includes(pin.gpio))).toEqual([]);
  });

  test("README names each pin and its source", () => {
    const readme = text(board, "README.md");
    for (const { use, gpio } of pins) expect(readme, use).toContain(`GPIO${gpio} `);
    expect(readme).toContain("![");
    expect(readme).toMatch(/\]\(https:\/\//);
    expect(readme).toMatch(/## Voor de installateur/);
  });

  test("its partitions lie side by side in 4 MB: two slots of 1.5 MB, files, settings", () => {
    const partitions = parsePartitions(text(board, "sdkconfig/partitions.csv"));
    let end = 0x9000;
    for (const { name, offset, size } of partitions) {
      expect(offset, name).toBe(end);
      expect(size % 0x1000, name).toBe(0);
      end = offset + size;
    }
    expect(end).toBe(4 * MEGABYTE);
    const slots = partitions.filter((one) => one.type === "app");
    expect(slots.map(({ subtype, size, offset }) => [subtype, size, offset % 0x10000])).toEqual([["ota_0", 1.5 * MEGABYTE, 0], ["ota_1", 1.5 * MEGABYTE, 0]]);
    const sizes = new Map(partitions.map((one) => [one.name, one.size]));
    expect(sizes.get("storage")! >= 0.8 * MEGABYTE).toBe(true);
    expect(sizes.get("otadata")).toBe(0x2000);
    expect([...sizes.keys()]).toEqual(expect.arrayContaining(["nvs", "site", "wifi", "authority"]));
  });

  test("rollback, image check and watchdog are on", () => {
    const lines = text(board, "sdkconfig/sdkconfig.defaults").split("\n");
    for (const line of ["CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE=y", "CONFIG_BOOTLOADER_SKIP_VALIDATE_ALWAYS=n", "CONFIG_ESP_TASK_WDT_EN=y", "CONFIG_ESP_TASK_WDT_PANIC=y", "CONFIG_UART_ISR_IN_IRAM=y"]) expect(lines).toContain(line);
    // The SDK's merge takes what stands before "=" by name: a line is a comment, or NAME=VALUE.
    expect(lines.filter((line) => line !== "" && !line.startsWith("#") && !/^CONFIG_[A-Z0-9_]+=[^=\s]+$/.test(line))).toEqual([]);
  });
});

describe("settings in the flash", () => {
  const partition = { name: "site", type: "data", subtype: "0x40", offset: 0, size: 0x1000 };

  test("any text that fits ends where the erased flash begins", () => {
    fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 2_000 }), (string) => {
      const bytes = new TextEncoder().encode(string);
      const image = settingImage(bytes, partition);
      if (bytes.length >= partition.size) return image === null;
      return image !== null && image.length === partition.size && image.indexOf(0xff) === bytes.length
        && new TextDecoder().decode(image.subarray(0, bytes.length)) === string;
    }));
  });

  test("too long, or holding an erased byte, is refused", () => {
    expect(settingImage(new Uint8Array(0x1000), partition)).toBeNull();
    expect(settingImage(new Uint8Array([0x41, 0xff]), partition)).toBeNull();
  });
});

describe("sizes", () => {
  test("of a linked firmware: slots, bytecode, strings once, tables", () => {
    const linked = [
      "#define mxAliasCount 3", "#define mxHeapCount 10", "#define mxStackCount 2", "#define mxKeysCount 4", "#define mxNamesCount 1", "#define mxSymbolsCount 1",
      "static const txU1 gxCode1[7];", "static const txU1 gxCode1[7] = {", String.raw`.code = { (txByte*)"\x0f\x00\x9e", NULL } } },`,
      String.raw`.value = { .string = "na\"me" } },`, String.raw`.value = { .string = "na\"me" } },`,
    ].join("\n");
    expect(measure(linked, 100)).toEqual({ slots: 12, bytecode: 10, strings: 6, tables: 40, resources: 100, total: 12 * 16 + 10 + 6 + 40 + 100, aliases: 3 });
  });

  test("of a compiled module: its CODE atom", () => {
    const atom = (name: string, length: number): number[] => [0, 0, 0, 8 + length, ...[...name].map((letter) => letter.charCodeAt(0)), ...new Array<number>(length).fill(1)];
    const atoms = [...atom("VERS", 4), ...atom("SYMB", 9), ...atom("CODE", 21), ...atom("HOST", 2)];
    expect(bytecodeOf(new Uint8Array([0, 0, 0, 8 + atoms.length, ...[..."XS_A"].map((letter) => letter.charCodeAt(0)), ...atoms]))).toBe(21);
    expect(bytecodeOf(new Uint8Array([1, 2, 3]))).toBe(0);
  });
});
