import { readFile, writeFile } from "node:fs/promises";
import { readSite } from "../../src/services/site_config.js";
import { siteJsonSchema } from "../schema.js";

const usage = `Usage:
  vangnet config check site.json    name every fault by its path; exit code 1 where there is one
  vangnet config schema [--out F]   the JSON Schema, for an editor
`;

export async function run(args: string[]): Promise<number> {
  const [what, ...rest] = args;
  if (args.includes("--help") || args.includes("-h")) {
    process.stdout.write(usage);
    return 0;
  }
  if (what === "schema") {
    const out = rest[0] === "--out" ? rest[1] : undefined;
    if (out === undefined) process.stdout.write(siteJsonSchema());
    else await writeFile(out, siteJsonSchema());
    return 0;
  }
  const file = rest[0];
  if (what !== "check" || file === undefined) {
    process.stderr.write(usage);
    return 2;
  }
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    process.stderr.write(`${file}: ${(error as NodeJS.ErrnoException).code === "ENOENT" ? "no such file" : String(error)}\n`);
    return 1;
  }
  const result = readSite(text);
  if (!result.ok) {
    for (const { path, problem } of result.faults) process.stderr.write(`${file}: ${path === "" ? "" : `${path}: `}${problem}\n`);
    process.stderr.write(`${result.faults.length} fault${result.faults.length === 1 ? "" : "s"}\n`);
    return 1;
  }
  const { site } = result;
  process.stdout.write(`${file}: in order. ${site.connection.phases} x ${site.connection.fuse / 1000} A, ${site.devices.length} device${site.devices.length === 1 ? "" : "s"}: `
    + `${site.devices.map((device) => device.id).join(", ") || "none"}.\n`);
  if (!site.hasOperator) process.stdout.write("No operator's key: the controller will be autonomous (voltage droop and the static limit).\n");
  return 0;
}
