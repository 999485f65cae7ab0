/**
 * Writes the lists of manifest.json and of the boards' anew from the imports: `npm run manifest`.
 * test/manifest.test.ts holds them to it.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BUNDLED, moduleEntries, reached } from "./modules.js";

export interface Manifest {
  include?: string[];
  modules: Record<string, string | string[]>;
  preload: string[];
  [key: string]: unknown;
}

/** manifest.json with the lists as they must be. */
export async function expectedManifest(root: string): Promise<Manifest> {
  const text = JSON.parse(readFileSync(join(root, "manifest.json"), "utf8")) as Manifest;
  const files = await reached(root, "src/main.ts");
  const bundles = Object.fromEntries(BUNDLED.map((name) => [name, `./build/firmware/packages/${name}`]));
  return { ...text, modules: { ...moduleEntries(files), ...bundles }, preload: [...files, ...BUNDLED] };
}

/**
 * A board's manifest: what its main reaches beyond src/main.ts. The main itself is the one module
 * that is not preloaded, because it may call C and open files while it loads.
 */
export async function expectedBoard(root: string, board: string): Promise<Manifest> {
  const main = `boards/${board}/main`;
  const text = JSON.parse(readFileSync(join(root, `boards/${board}/manifest.json`), "utf8")) as Manifest;
  const core = new Set(await reached(root, "src/main.ts"));
  const files = (await reached(root, `${main}.ts`)).filter((file) => !core.has(file));
  const kept = Object.fromEntries(Object.entries(text.modules).filter(([name]) => !/^(hal|boards)\//.test(name)));
  return { ...text, modules: { ...moduleEntries(files, "../.."), ...kept }, preload: [...files.filter((file) => file !== main), ...text.preload.filter((name) => !/^(hal|boards)\//.test(name))] };
}

export const root = process.cwd();
export const BOARDS = ["linux", "olimex_esp32_evb", "wt32_eth01", "waveshare_esp32_s3_relay_6ch"];

export async function run(): Promise<number> {
  const write = (path: string, manifest: Manifest) => writeFileSync(join(root, path), JSON.stringify(manifest, null, 2) + "\n");
  write("manifest.json", await expectedManifest(root));
  for (const board of BOARDS) write(`boards/${board}/manifest.json`, await expectedBoard(root, board));
  return 0;
}
