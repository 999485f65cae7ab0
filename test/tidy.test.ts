/** The house rules that a compiler does not check: who may import whom, sizes, dead files, leaks. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const tracked = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { cwd: root, encoding: "utf8" }).split("\n").filter(Boolean);
const read = (file: string) => readFileSync(join(root, file), "utf8");
const sources = tracked.filter((file) => /\.(ts|mjs)$/.test(file) && !file.endsWith(".d.ts")).filter((file) => {
  try { read(file); return true; } catch { return false; }
});

/** Where each import of a file leads, as a path from the root; packages keep their name. */
function imports(file: string): string[] {
  const found: string[] = [];
  for (const match of read(file).matchAll(/(?:^|\n)\s*(?:import|export)\s[^;"'`]*?from\s*["']([^"']+)["']|import\(\s*["']([^"']+)["']\s*\)|(?:^|\n)import\s+["']([^"']+)["']/g)) {
    const specifier = (match[1] ?? match[2] ?? match[3])!;
    found.push(specifier.startsWith(".") ? relative(root, join(root, dirname(file), specifier)).replace(/\.js$/, ".ts") : specifier);
  }
  return found;
}

const STAGES = ["actuation", "allocation", "budget", "limits", "reading", "telegram", "token", "wire"];
const GROUND = ["src/units.ts", "src/constants.ts", "src/site.ts"];
const stageOf = (file: string) => STAGES.find((stage) => file.startsWith(`src/${stage}/`));

describe("imports", () => {
  test("a stage imports only stages later in the alphabet, and the ground they all stand on", () => {
    expect([...STAGES].sort()).toEqual(STAGES);
    const wrong: string[] = [];
    for (const file of sources) {
      const from = stageOf(file);
      if (from === undefined) continue;
      for (const target of imports(file)) {
        const to = stageOf(target);
        const allowed = to !== undefined ? to >= from : GROUND.includes(target);
        if (!allowed) wrong.push(`${file} imports ${target}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test("the ground imports nothing but itself; the controller only the core", () => {
    const wrong = GROUND.flatMap((file) => imports(file).filter((target) => !GROUND.includes(target)).map((target) => `${file} imports ${target}`));
    for (const file of ["src/controller.ts", "src/compliance.ts"]) {
      for (const target of imports(file)) if (!stageOf(target) && !GROUND.includes(target) && target !== "src/compliance.ts") wrong.push(`${file} imports ${target}`);
    }
    expect(wrong).toEqual([]);
  });

  test("services know the core and the hardware boundary, no host", () => {
    const wrong = sources.filter((file) => file.startsWith("src/") || file.startsWith("hal/sim/")).flatMap((file) =>
      imports(file).filter((target) => target.startsWith("node:") || /^(hal\/node|tools|test)\//.test(target)).map((target) => `${file} imports ${target}`));
    expect(wrong).toEqual([]);
  });
});

/** What npm's scripts, the build and other programs start by name. */
const ENTRIES = [
  "tools/vangnet.ts", "tools/bench.ts", "tools/rig/rig.ts", "tools/rig/probe.ts", "tools/build.mjs", "tools/schema.ts", "tools/firmware/cli.ts", "tools/firmware/compile.mjs",
  "tools/hil/main.ts", "tools/hil/node_main.ts", "tools/rig/main.ts", "vitest.config.ts", "test/xs/entry.ts", "test/telegram/xs_entry.ts",
];
/** What a Moddable manifest names: modules without their ending, relative to the manifest. */
const onChip = new Set(tracked.filter((file) => file.endsWith("manifest.json")).flatMap((manifest) => {
  let text = "";
  try { text = read(manifest); } catch { return []; }
  return [...text.matchAll(/"([^"]*)"/g)].map((match) => `${relative(root, join(root, dirname(manifest), match[1]!))}.ts`);
}));

describe("files", () => {
  test("none is longer than a reader's patience", () => {
    const long = sources.filter((file) => !file.startsWith("test/")).map((file) => ({ file, lines: read(file).split("\n").length })).filter(({ lines }) => lines > 400);
    expect(long).toEqual([]);
  });

  test("none is dead: each is reached from an entry point or a test", () => {
    const entries = sources.filter((file) => ENTRIES.includes(file) || file.endsWith(".test.ts") || onChip.has(file)
      // Put in the place of npm packages by tools/firmware/packages.ts.
      || file.startsWith("hal/moddable/shims/"));
    const reached = new Set<string>();
    const visit = (file: string) => {
      if (reached.has(file) || !sources.includes(file)) return;
      reached.add(file);
      for (const target of imports(file)) visit(target);
    };
    // A product file that only tests reach is dead too.
    for (const entry of entries.filter((file) => !file.startsWith("test/"))) visit(entry);
    const deadProduct = sources.filter((file) => /^(src|hal)\//.test(file) && file !== "hal/ecma419.ts" && !reached.has(file));
    for (const entry of entries) visit(entry);
    const dead = sources.filter((file) => !reached.has(file) && !file.startsWith("eslint"));
    expect({ deadProduct: deadProduct.filter((file) => !file.startsWith("hal/sim/")), dead }).toEqual({ deadProduct: [], dead: [] });
  });

  test("no path of a machine, no host of a registry, no private key", () => {
    const patterns = [/\/(?:work|root)\/[a-z]/, new RegExp("registry\\." + "npmjs"), new RegExp("-----BEGIN " + "(?:EC )?PRIVATE KEY")];
    const leaks: string[] = [];
    for (const file of tracked.filter((name) => !/\.(png|bin|cbor)$/.test(name) && name !== "test/tidy.test.ts")) {
      let text: string;
      try { text = read(file); } catch { continue; }
      for (const pattern of patterns) if (pattern.test(text)) leaks.push(`${file}: ${pattern}`);
    }
    expect(leaks).toEqual([]);
  });
});
