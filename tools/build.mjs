// Bundles the `vangnet` command and the benchmark for Node. Packages stay outside, so that their licences and native
// parts are npm's business; `npm ci` runs this as `prepare`.
// `--board NAME` builds a board's firmware too (tools/firmware/build.ts).
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { build } from "esbuild";

const args = process.argv.slice(2);
const outdir = args[0] === undefined || args[0].startsWith("-") ? "dist" : args[0];

const { metafile } = await build({
  entryPoints: { vangnet: "tools/vangnet.ts", bench: "tools/bench.ts", rig: "tools/rig/rig.ts", firmware: "tools/firmware/cli.ts", hil: "tools/hil/main.ts", hil_node: "tools/hil/node_main.ts" },
  outdir,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  splitting: true,
  packages: "external",
  platform: "node",
  format: "esm",
  target: "node20",
  sourcemap: true,
  metafile: true,
  logLevel: "warning",
});

removeStale(Object.keys(metafile.outputs).map((path) => basename(path)));

/**
 * Takes away the chunks (named by their hash) of builds before the last: a process that started with
 * the last one may still load its chunks, and a build beside this one has just written its own.
 */
function removeStale(written) {
  const list = join(outdir, "build.json");
  let last = [];
  try {
    last = JSON.parse(readFileSync(list, "utf8"));
  } catch {
    // The first build here, or the first that keeps a list.
  }
  const kept = new Set([...written, ...last]);
  const recent = Date.now() - 10 * 60_000;
  for (const name of readdirSync(outdir)) {
    if (kept.has(name) || !/^[a-z0-9_]+-[A-Z0-9]{8}\.mjs(\.map)?$/.test(name)) continue;
    const path = join(outdir, name);
    if ((statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? recent) < recent) rmSync(path, { force: true });
  }
  writeFileSync(list, JSON.stringify(written));
}

if (args.some((arg) => arg.startsWith("-"))) {
  process.exitCode = spawnSync(process.execPath, ["dist/firmware.mjs", "build", ...args], { stdio: "inherit" }).status ?? 1;
}
