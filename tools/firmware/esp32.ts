/**
 * `npm run build -- --board olimex_esp32_evb [--link-only] [--debug]`: an ESP32 board's image.
 *
 * The whole image needs ESP-IDF. Without it `--link-only` goes as far as the SDK's tools do: every
 * module is compiled, linked, preloaded and frozen into mc.xs.c, and the resources are made.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { version } from "../version.js";
import { root } from "./manifest.js";
import { bundlePackages } from "./packages.js";

export const ESP32_BOARDS = ["olimex_esp32_evb", "wt32_eth01", "waveshare_esp32_s3_relay_6ch"];
/** What SDK 8.2.3 builds with (build/devices/esp32/manifest.json, EXPECTED_ESP_IDF). */
export const IDF_VERSION = "v6.0";

const UNFROZEN_SHOWN = 10;

export interface Esp32Options {
  readonly board: string;
  readonly moddable: string;
  readonly debug: boolean;
  readonly linkOnly: boolean;
}

export const outOf = (board: string, debug: boolean): string => join(root, "build/firmware", board, debug ? "debug" : "release");
/** Where mcconfig leaves what it links. */
export const tmpOf = (board: string, debug: boolean): string => inside(board, debug, "tmp");
export const binOf = (board: string, debug: boolean): string => inside(board, debug, "bin");

/** mcconfig calls an application by the folder of its manifest: here that is the variant. */
function inside(board: string, debug: boolean, folder: "tmp" | "bin"): string {
  const variant = debug ? "debug" : "release";
  return join(outOf(board, debug), folder, "esp32", board, variant, variant);
}

/** One line for each thing that a whole image needs and this machine lacks. */
export function missingForImage(): string[] {
  const idf = process.env["IDF_PATH"];
  if (idf === undefined || idf === "") return [`IDF_PATH is unset: install ESP-IDF ${IDF_VERSION} and source its export.sh, or go as far as linking with --link-only`];
  return existsSync(join(idf, "tools/idf.py")) ? [] : [`IDF_PATH: ${idf} holds no ESP-IDF`];
}

export async function buildEsp32({ board, moddable, debug, linkOnly }: Esp32Options): Promise<number> {
  const [missing] = linkOnly ? [] : missingForImage();
  if (missing !== undefined) return say(missing, 2);
  const out = outOf(board, debug);
  rmSync(join(tmpOf(board, debug), "tsc"), { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  await bundlePackages(root, join(root, "build/firmware/packages"));
  const manifest = join(out, "manifest.json");
  writeFileSync(manifest, JSON.stringify({
    include: ["../../../../manifest.json"],
    creation: { main: `boards/${board}/main` },
    config: { version },
    typescript: { compiler: `${process.execPath} ${join(root, "tools/firmware/compile.mjs")}` },
  }, null, 2));
  const mcconfig = ["mcconfig", ...(debug ? ["-d"] : []), ...(linkOnly ? [] : ["-m", "-t", "build"]), "-p", `esp32:${join(root, "boards", board)}`, "-o", out, manifest];
  const configured = run(mcconfig, moddable);
  if (configured.code !== 0) return configured.code;
  if (!linkOnly) return say(`${join(binOf(board, debug), "xs_esp32.bin")}`, 0);
  const tmp = tmpOf(board, debug);
  const makefile = join(tmp, "makefile");
  if (!existsSync(makefile)) return say(`mcconfig left no makefile in ${tmp}`, 1);
  // The makefile wants an IDF and its sdkconfig.h before anything; for linking it needs neither.
  const linked = run(["make", "-f", makefile, "IDF_PATH=/nonexistent", `IDF_VERSION=${IDF_VERSION}`, "SDKCONFIG_H=", join(tmp, "mc.xs.c"), join(tmp, "mc.resources.c")], moddable);
  if (linked.code !== 0) return linked.code;
  const unfrozen = linked.text.split("\n").filter((line) => line.includes("not frozen"));
  if (unfrozen.length > 0) return say([`${unfrozen.length} preloaded values are not frozen and would cost RAM:`, ...unfrozen.slice(0, UNFROZEN_SHOWN)].join("\n"), 1);
  const native = readdirSync(join(root, "hal/moddable/native/esp32")).length;
  return say(`${board}: linked, preloaded and frozen; not compiled: the ${native} native files, the SDK's C and the image, which need ESP-IDF ${IDF_VERSION}`, 0);
}

/**
 * The SDK's makefile knows the IDF's mbedTLS but not TF-PSA-Crypto under it, whose headers p256.c
 * needs: as the IDF's own build has them (components/mbedtls/CMakeLists.txt).
 */
function psaFlags(idf: string): string {
  const mbedtls = join(idf, "components/mbedtls");
  const folders = ["port/include", "port/psa_driver/include", "mbedtls/tf-psa-crypto/include", "mbedtls/tf-psa-crypto/drivers/builtin/include"];
  const config = ["MBEDTLS_CONFIG_FILE", "TF_PSA_CRYPTO_USER_CONFIG_FILE"];
  return [...folders.map((folder) => `-I${join(mbedtls, folder)}`), ...config.map((name) => `-D${name}=\\"mbedtls/esp_config.h\\"`)].join(" ");
}

export function run([command, ...args]: string[], moddable: string): { code: number; text: string } {
  const idf = process.env["IDF_PATH"] ?? "";
  const env = { ...process.env, MODDABLE: moddable, ...(idf === "" ? {} : { C_FLAGS_SUBPLATFORM: psaFlags(idf) }), PATH: `${join(moddable, "build/bin/lin/release")}${delimiter}${process.env["PATH"] ?? ""}` };
  const done = spawnSync(command!, args, { encoding: "utf8", cwd: root, env, maxBuffer: 64 << 20 });
  const text = `${done.stdout ?? ""}${done.stderr ?? ""}${done.error ? `${done.error.message}\n` : ""}`;
  const code = done.status ?? 1;
  if (code !== 0) process.stderr.write(text);
  return { code, text };
}

export function say(line: string, code: number): number {
  (code === 0 ? process.stdout : process.stderr).write(`${line}\n`);
  return code;
}
