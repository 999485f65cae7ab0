// Bundles the `vangnet` command and the benchmark for Node. Packages stay outside, so that their licences and native
// parts are npm's business; `npm ci` runs this as `prepare`.
import { build } from "esbuild";

await build({
  entryPoints: { vangnet: "tools/vangnet.ts", bench: "tools/bench.ts" },
  outdir: process.argv[2] ?? "dist",
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
