import process from "node:process";
import { parseArgs } from "node:util";
import { newKey } from "../operator/encode.js";
import { isRole, publicEntry, readKey, writeKey } from "../operator/files.js";

const HELP = `vangnet keys new [--out FILE] [--role operator|installer|owner|maker]
    Makes a P-256 signing key. FILE (default operator.key.json) is readable by you alone;
    whoever has it speaks with your word. An existing file is never overwritten.
vangnet keys show FILE [--json]
    Prints the key's id, and the public entry for operator.keys in site.json. Nothing secret.

An installer's key must have an end: add "not_after" (seconds since 1970) to its entry.
"audiences": ["ean:8716859*", "all"] in an entry says whom a key may speak for; absent = anybody.
`;

export async function run(args: string[]): Promise<number> {
  const [verb, ...rest] = args;
  if (verb === undefined || verb === "help" || args.includes("--help") || args.includes("-h")) {
    (verb === undefined ? process.stderr : process.stdout).write(HELP);
    return verb === undefined ? 2 : 0;
  }
  try {
    if (verb === "new") return make(rest);
    if (verb === "show") return show(rest);
    process.stderr.write(`vangnet keys: no verb "${verb}"\n\n${HELP}`);
  } catch (error) {
    process.stderr.write(`vangnet keys: ${error instanceof Error ? error.message : String(error)}\n`);
  }
  return 2;
}

function make(args: string[]): number {
  const { values } = parseArgs({ args, options: { out: { type: "string" }, role: { type: "string", default: "operator" }, json: { type: "boolean" } } });
  const { role } = values;
  if (!isRole(role)) throw new Error(`--role ${role}: must be operator, installer, owner or maker`);
  const out = values.out ?? `${role}.key.json`;
  const key = newKey(role);
  try {
    writeKey(out, key);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw new Error(`${out} exists; a key is not overwritten. Give another --out`);
  }
  if (values.json) process.stdout.write(`${JSON.stringify({ file: out, entry: publicEntry(key) })}\n`);
  else process.stdout.write(`Key ${key.kid} (${role}) is in ${out}. Keep it secret.\n\nFor operator.keys in site.json:\n${JSON.stringify(publicEntry(key), null, 2)}\n`);
  return 0;
}

function show(args: string[]): number {
  const { values, positionals } = parseArgs({ args, allowPositionals: true, options: { key: { type: "string" }, json: { type: "boolean" } } });
  const file = positionals[0] ?? values.key;
  if (file === undefined) throw new Error("say which: vangnet keys show FILE");
  const entry = publicEntry(readKey(file));
  process.stdout.write(values.json ? `${JSON.stringify(entry)}\n` : `kid   ${entry.kid}\nrole  ${entry.role}\n\nFor operator.keys in site.json:\n${JSON.stringify(entry, null, 2)}\n`);
  return 0;
}
