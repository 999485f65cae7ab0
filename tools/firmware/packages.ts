/** npm packages as modules of the firmware: mcpack takes no CommonJS, and XS has no Buffer. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build, type BuildOptions, type Plugin } from "esbuild";

/**
 * mqtt-packet keeps the bytes of every length below 16,384 it ever wrote. On a chip that cache only
 * grows, so it is left out; should the lines change, the build says so. Its tables are frozen, as
 * compile.mjs does with ours.
 */
const CACHE = ["const varByteIntCache = {}", "let buffer = varByteIntCache[num]", "if (num < 16384) varByteIntCache[num] = buffer"] as const;
const forTheChip: Plugin = {
  name: "for-the-chip",
  setup({ onLoad }) {
    onLoad({ filter: /mqtt-packet\/writeToStream\.js$/ }, ({ path }) => {
      const text = readFileSync(path, "utf8");
      if (!CACHE.every((line) => text.includes(line))) return { errors: [{ text: "mqtt-packet has changed: its cache of lengths is not where it was" }] };
      return { contents: text.replace(CACHE[0], "").replace(CACHE[1], "let buffer").replace(CACHE[2], ""), loader: "js" };
    });
    onLoad({ filter: /mqtt-packet\/(constants|numbers)\.js$/ }, ({ path }) => ({ contents: `${readFileSync(path, "utf8")}\nObject.freeze(module.exports, true);\n`, loader: "js" }));
  },
};

/** `require("bl")` and `require("debug")` must give the function itself, which a module cannot be. */
const functions = (shim: (name: string) => string): Plugin => ({
  name: "functions",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(bl|debug)$/ }, ({ path }) => ({ path, namespace: "function" }));
    onLoad({ filter: /.*/, namespace: "function" }, ({ path }) => ({ contents: `module.exports = require(${JSON.stringify(shim(`${path}.ts`))}).${path};`, loader: "js", resolveDir: shim("") }));
  },
});

/** Names that the firmware uses of valibot: the rest of it stays out of the flash. */
export function namesUsed(source: string): string[] {
  return [...new Set([...source.matchAll(/\bv\.([a-z]\w*)\(/g)].map((match) => match[1]!))].sort();
}

export async function bundlePackages(root: string, out: string): Promise<void> {
  const shim = (name: string) => join(root, "hal/moddable/shims", name);
  const common = { bundle: true, format: "esm", platform: "neutral", mainFields: ["module", "main"], target: "es2022", absWorkingDir: root, legalComments: "none", logLevel: "warning" } satisfies BuildOptions;
  await build({
    ...common, outfile: join(out, "mqtt-packet.js"), entryPoints: [shim("packages.ts")], plugins: [forTheChip, functions(shim)],
    alias: { buffer: shim("buffer.ts"), events: shim("events.ts"), "process-nextick-args": shim("process_nextick_args.ts") },
  });
  const names = namesUsed(readFileSync(join(root, "src/services/site_config.ts"), "utf8"));
  await build({
    ...common, outfile: join(out, "valibot.js"),
    stdin: { contents: `export { ${names.join(", ")} } from "valibot";`, resolveDir: root },
  });
  const bundle = join(out, "valibot.js");
  const text = readFileSync(bundle, "utf8");
  writeFileSync(bundle, text + [...text.matchAll(/^var ([\w$]+) = \{/gm)].map((match) => `Object.freeze(${match[1]}, true);\n`).join(""));
}
