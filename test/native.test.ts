/**
 * The C of the ESP32 boards compiles without a warning against the SDK's own headers and our
 * prototypes of the IDF (test/native/idf). Every C function that TypeScript names is there, on each
 * platform whose firmware reaches it.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { absent } from "./need.js";

const root = process.cwd();
const native = join(root, "hal/moddable/native");
const files = readdirSync(join(native, "esp32")).filter((file) => file.endsWith(".c"));
const moddable = process.env["MODDABLE"] ?? "";
const hasSDK = moddable !== "" && existsSync(join(moddable, "xs/includes/xsmc.h"));
const reason = hasSDK ? (absent("cc") ? " [skipped: no cc]" : "") : " [skipped: MODDABLE names no SDK]";

const read = (file: string): string => readFileSync(join(native, file), "utf8");
/** What xsl would write: an ID for each name that the C uses, and the defines of the manifests. */
const ids = (text: string): string => [...new Set(text.match(/xsID_\w+/g) ?? [])].map((name, i) => `#define ${name} ${i + 1}\n`).join("");

describe.skipIf(reason !== "")(`native C of the ESP32 boards${reason}`, () => {
  const folder = mkdtempSync(join(tmpdir(), "vangnet-native-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, "mc.xs.h"), ids(files.map((file) => read(`esp32/${file}`)).join("")));

  for (const noise of [0, 1]) {
    test.each(files)(`%s compiles${noise ? " for a board without radio" : ""}`, (file) => {
      writeFileSync(join(folder, "mc.defines.h"), noise ? "#define MODDEF_VANGNET_NOISE (1)\n" : "");
      const xs = (path: string): string[] => ["-isystem", join(moddable, "xs", path)];
      const compiled = spawnSync("cc", ["-c", "-o", join(folder, "out.o"), "-std=gnu17", "-O1", "-Wall", "-Wextra", "-Werror",
        "-D__ets__", "-U__STRICT_ANSI__", "-DESP32=1", "-DmxUseDefaultSharedChunks=1",
        "-I", folder, "-I", join(root, "test/native/idf"), ...xs("includes"), ...xs("platforms/esp"), ...xs("platforms/mc"), join(native, "esp32", file)], { encoding: "utf8" });
      expect(compiled.stderr).toBe("");
      expect(compiled.status).toBe(0);
    });
  }
});

describe("native functions", () => {
  const named = (file: string): string[] => [...readFileSync(join(native, file), "utf8").matchAll(/[nN]ative(?:<.*?>)?\("(\w+)"\)/g)].map((match) => match[1]!);
  const defined = (platform: string): string => readdirSync(join(native, platform)).filter((file) => file.endsWith(".c")).map((file) => read(`${platform}/${file}`)).join("");
  const has = (platform: string, name: string): boolean => new RegExp(`^void ${name}\\(`, "m").test(defined(platform));

  test("the modules that both targets use are there twice", () => {
    const both = ["host.ts", "uart.ts"].flatMap(named);
    expect(both.length).toBeGreaterThan(6);
    for (const platform of ["lin", "esp32"]) expect(both.filter((name) => !has(platform, name)), platform).toEqual([]);
  });

  test("the chip's own are there", () => {
    const own = ["chip.ts", "firmware.ts", "p256.ts", "pin.ts"].flatMap(named);
    expect(own.length).toBeGreaterThan(10);
    expect(own.filter((name) => !has("esp32", name))).toEqual([]);
  });

  test("nothing of an IDF is in the repo but our prototypes", () => {
    const headers = readdirSync(join(root, "test/native/idf"), { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".h"));
    for (const file of headers) expect(readFileSync(join(root, "test/native/idf", file), "utf8"), file).not.toMatch(/SPDX|Espressif Systems|Copyright/);
  });
});
