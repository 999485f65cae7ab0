/** The firmware's modules: every file that src/main.ts or a board's main reaches once types are gone. */
import { build } from "esbuild";

/** Packages that are bundled, each into one module of its own name. */
export const BUNDLED = ["mqtt-packet", "valibot"] as const;

/** Paths from the root of the repo, without extension, sorted. */
export async function reached(root: string, entry: string): Promise<string[]> {
  const { metafile } = await build({
    absWorkingDir: root, entryPoints: [entry], bundle: true, write: false, metafile: true,
    format: "esm", platform: "neutral", packages: "external", external: ["embedded:*"], logLevel: "silent",
  });
  return Object.keys(metafile.inputs).map((file) => file.replace(/\.ts$/, "")).sort();
}

/** The value of a manifest's `modules` for these files: one key a folder, every file by name. */
export function moduleEntries(files: readonly string[], at = "."): Record<string, string | string[]> {
  const entries: Record<string, string[]> = {};
  for (const file of files) {
    const folder = file.slice(0, file.lastIndexOf("/"));
    (entries[`${folder}/*`] ??= []).push(`${at}/${file}`);
  }
  return entries;
}
