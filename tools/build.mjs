// Bundles the `vangnet` command and the benchmark for Node. Packages stay outside, so that their licences and native
// parts are npm's business; `npm ci` runs this as `prepare`.
// `--board NAME` builds a board's firmware too (tools/firmware/build.ts).
import { spawnSync } from "node:child_process";
import { build } from "esbuild";

const args = process.argv.slice(2);

await build({
  entryPoints: { vangnet: "tools/vangnet.ts", bench: "tools/bench.ts", rig: "tools/rig/rig.ts", firmware: "tools/firmware/cli.ts", hil: "tools/hil/main.ts", hil_node: "tools/hil/node_main.ts" },
  outdir: args[0] === undefined || args[0].startsWith("-") ? "dist" : args[0],
  outExtension: { ".js": ".mjs" },
  bundle: true,
  splitting: true,
  packages: "external",
  platform: "node",
  format: "esm",
  target: "node20",
  sourcemap: true,
  logLevel: "warning",
});

if (args.some((arg) => arg.startsWith("-"))) {
  process.exitCode = spawnSync(process.execPath, ["dist/firmware.mjs", "build", ...args], { stdio: "inherit" }).status ?? 1;
}
