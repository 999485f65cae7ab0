import process from "node:process";
import { parseArgs } from "node:util";
import { post, save } from "../operator/deliver.js";
import { newKey } from "../operator/encode.js";
import { isRole, publicEntry, readKey, writeKey } from "../operator/files.js";
import { signKeySet } from "../operator/key_set.js";

const HELP = `vangnet keys new [--out FILE] [--role operator|installer|owner|maker]
    Makes a P-256 signing key. FILE (default operator.key.json) is readable by you alone;
    whoever has it speaks with your word. An existing file is never overwritten.
vangnet keys show FILE [--json]
    Prints the key's id, and the public entry for operator.keys in site.json. Nothing secret.
vangnet keys sign --key FILE --version N [--add FILE …] (--out FILE | --http URL)
    Signs a set of keys with a maker's key. It replaces the set that a controller has, whole: of the
    operators and makers it trusts those of the set alone. The signing key stands in it by itself.
    --version N    higher than that of every set before
    --add FILE     an entry ("keys show --json"), or a key's file; once for each key
    --not-before T, --not-after T    when the added keys count: 2026-01-15T18:00, +30d, seconds since 1970
    --aud AUD      whom the added keys may speak for: ean:<digits or prefix*>, msr:<id or prefix*>, all; may be repeated
    --out FILE     for \`vangnet run --keys FILE\`; --http http://host:port of a controller

An installer's key must have an end: add "not_after" (seconds since 1970) to its entry.
"audiences": ["ean:8716859*", "all"] in an entry says whom a key may speak for; absent = anybody.
`;

const SIGN_OPTIONS = {
  key: { type: "string" }, version: { type: "string" }, add: { type: "string", multiple: true }, aud: { type: "string", multiple: true },
  "not-before": { type: "string" }, "not-after": { type: "string" }, tz: { type: "string", default: "Europe/Amsterdam" },
  out: { type: "string" }, http: { type: "string" }, json: { type: "boolean" },
} as const;

export async function run(args: string[]): Promise<number> {
  const [verb, ...rest] = args;
  if (verb === undefined || verb === "help" || args.includes("--help") || args.includes("-h")) {
    (verb === undefined ? process.stderr : process.stdout).write(HELP);
    return verb === undefined ? 2 : 0;
  }
  try {
    if (verb === "new") return make(rest);
    if (verb === "show") return show(rest);
    if (verb === "sign") return await sign(rest);
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

async function sign(args: string[]): Promise<number> {
  const { values } = parseArgs({ args, options: SIGN_OPTIONS });
  const { out, http } = values;
  if (values.key === undefined) throw new Error("--key FILE is missing: the maker's key");
  if (out === undefined && http === undefined) throw new Error("say where to: --out FILE or --http URL");
  const { bytes, kid, version, keys } = signKeySet({
    key: values.key, version: values.version, add: values.add ?? [], audiences: values.aud ?? null,
    notBefore: values["not-before"], notAfter: values["not-after"], zone: values.tz, now: Math.floor(Date.now() / 1_000),
  });
  const ways: string[] = [];
  let failure: string | null = null;
  if (out !== undefined) ways.push(save(out, bytes));
  try {
    if (http !== undefined) ways.push(await post(http, bytes, "/api/keys", "application/cose"));
  } catch (error) {
    failure = error instanceof Error ? (error.cause instanceof Error ? error.cause.message : error.message) : String(error);
  }
  if (values.json) process.stdout.write(`${JSON.stringify({ version, kid, keys, bytes: bytes.length, delivered: ways, failed: failure })}\n`);
  else {
    process.stdout.write(`set ${version}, signed by ${kid}, ${bytes.length} bytes\n${keys.map((key) => `  ${key.kid}  ${key.role}${key.audiences ? `  for ${key.audiences.join(", ")}` : ""}\n`).join("")}`
      + ways.map((way) => `${way}\n`).join(""));
  }
  if (!keys.some(({ role }) => role === "operator")) process.stderr.write("note: no operator's key in it: the houses that take it hear no operator any more\n");
  if (failure === null) return 0;
  process.stderr.write(`vangnet keys: not delivered: ${failure}\n`);
  return 1;
}
