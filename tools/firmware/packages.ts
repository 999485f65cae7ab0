/** npm packages as modules of the firmware: mcpack takes no CommonJS, and XS has no Buffer. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { build, type Plugin } from "esbuild";

/**
 * mqtt-packet keeps the bytes of every length below 16,384 it ever wrote. On a chip that cache only
 * grows, so it is left out; should the line change, the build says so.
 */
const CACHE_LINE = "if (num < 16384) varByteIntCache[num] = buffer";
const withoutCache: Plugin = {
  name: "without-cache",
  setup({ onLoad }) {
    onLoad({ filter: /mqtt-packet\/writeToStream\.js$/ }, ({ path }) => {
      const text = readFileSync(path, "utf8");
      if (!text.includes(CACHE_LINE)) return { errors: [{ text: "mqtt-packet has changed: its cache of lengths is not where it was" }] };
      return { contents: text.replace(CACHE_LINE, ""), loader: "js" };
    });
  },
};

/** Names that the firmware uses of valibot: the rest of it stays out of the flash. */
export function namesUsed(source: string): string[] {
  return [...new Set([...source.matchAll(/\bv\.([a-z]\w*)\(/g)].map((match) => match[1]!))].sort();
}

export async function bundlePackages(root: string, out: string): Promise<void> {
  const shim = (name: string) => join(root, "hal/moddable/shims", name);
  const common = { bundle: true, format: "esm", platform: "neutral", mainFields: ["module", "main"], target: "es2022", absWorkingDir: root, legalComments: "none", logLevel: "warning" } as const;
  await build({
    ...common, outfile: join(out, "mqtt-packet.js"), entryPoints: [shim("packages.ts")], plugins: [withoutCache],
    alias: { bl: shim("bl.cts"), buffer: shim("buffer.ts"), debug: shim("debug.cts"), events: shim("events.ts"), "process-nextick-args": shim("process_nextick_args.ts") },
  });
  const names = namesUsed(readFileSync(join(root, "src/services/site_config.ts"), "utf8"));
  await build({
    ...common, outfile: join(out, "valibot.js"),
    stdin: { contents: `export { ${names.join(", ")} } from "valibot";`, resolveDir: root },
  });
}
