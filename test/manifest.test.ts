/**
 * The manifests list what the sources import, all of it preloaded but each board's main: what is not
 * listed is not in the firmware, and what is not preloaded runs from RAM and has no import checked.
 */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { BOARDS, expectedBoard, expectedManifest, type Manifest } from "../tools/firmware/manifest.js";
import { BUNDLED, reached } from "../tools/firmware/modules.js";
import { namesUsed } from "../tools/firmware/packages.js";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const read = (path: string): Manifest => JSON.parse(readFileSync(join(root, path), "utf8")) as Manifest;
const again = "npm run manifest writes it anew";

describe("manifest.json", () => {
  test("lists exactly what src/main.ts reaches", async () => {
    expect(read("manifest.json"), again).toEqual(await expectedManifest(root));
  });

  test("every module of ours and every bundled package is preloaded", async () => {
    const { preload } = read("manifest.json");
    const files = await reached(root, "src/main.ts");
    expect(files.length).toBeGreaterThan(80);
    expect([...preload].sort()).toEqual([...files, ...BUNDLED].sort());
    for (const file of files) expect(file).toMatch(/^(src|hal)\//);
  });
});

describe.each(BOARDS)("boards/%s/manifest.json", (board) => {
  test("lists exactly what its main reaches, and preloads all but main", async () => {
    const manifest = read(`boards/${board}/manifest.json`);
    expect(manifest, again).toEqual(await expectedBoard(root, board));
    expect(manifest.preload).not.toContain(`boards/${board}/main`);
  });
});

test("valibot is bundled with the names that site_config.ts calls, no others", () => {
  expect(namesUsed("v.string(); v.pipe(v.number(), v.string()); type A = v.InferOutput<typeof b>; nov.x()")).toEqual(["number", "pipe", "string"]);
});
