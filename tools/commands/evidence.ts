/** `vangnet evidence export | verify`: reads the log of a data directory; changes nothing. */
import { existsSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { sha256 } from "../../hal/node/crypto.js";
import { Directory } from "../../hal/node/files.js";
import { filesDirectory } from "../../hal/node/platform.js";
import { type EvidenceRecord, hex, readEvidence, type Verified, verifyEvidence } from "../../src/services/evidence_log.js";

const USAGE = `Usage:
  vangnet evidence export --data DIR --format json|csv [--from TIME] [--to TIME] [--out FILE]
  vangnet evidence verify --data DIR [--head N:HASH]

  --data   the controller's data directory
  --from   first moment, --to the first moment after it: 2026-01-31 or 2026-01-31T16:00:00Z, UTC.
           A record without a time belongs to the last time before it.
  --head   an earlier head, as published over MQTT: the log must still hold it

verify exits 0 where every record follows from the one before it, and 1 with the name of the first that
does not. export says on standard error where the log does not verify, and exports what can be read.
`;

export async function run(args: string[]): Promise<number> {
  const [verb, ...rest] = args;
  if (args.includes("--help") || args.includes("-h")) {
    process.stdout.write(USAGE);
    return 0;
  }
  try {
    if (verb === "export") return exportLog(rest);
    if (verb === "verify") return verify(rest);
  } catch (error) {
    if (!(error instanceof UsageError) && (error as { code?: string }).code?.startsWith("ERR_PARSE_ARGS") !== true) throw error;
    process.stderr.write(`vangnet evidence: ${(error as Error).message}\n`);
    return 2;
  }
  process.stderr.write(USAGE);
  return 2;
}

class UsageError extends Error {}

function open(data: string | undefined): Directory {
  if (data === undefined) throw new UsageError("--data is missing");
  const path = filesDirectory(data);
  if (!existsSync(path)) throw new UsageError(`${data}: no evidence log there`);
  return new Directory(path);
}

// ---- verify ----

function verify(args: string[]): number {
  const { values } = parseArgs({ args, options: { data: { type: "string" }, head: { type: "string" } } });
  const result = verifyEvidence(open(values.data), sha256, values.head === undefined ? null : parseHead(values.head));
  process.stdout.write(`${describe(result)}\n`);
  return result.ok ? 0 : 1;
}

function parseHead(text: string): { n: number; hash: Uint8Array } {
  const match = /^(\d+):([0-9a-f]{64})$/i.exec(text);
  if (!match) throw new UsageError("--head is N:HASH, the hash in 64 hex digits");
  return { n: Number(match[1]), hash: new Uint8Array(Buffer.from(match[2] as string, "hex")) };
}

const REASONS: Record<Extract<Verified, { ok: false }>["reason"], string> = {
  segment: "the segment cannot be read, or its head is damaged",
  gap: "a segment before this one is missing",
  anchor: "the segment does not go on where the one before it ended",
  hash: "the record does not follow from the one before it: one of the two was changed",
  form: "bytes that are no record: damage, or a write cut short by a power loss, which the controller cuts off at its next start",
  head: "the log does not hold the given head: its end was cut off, or it was written anew",
};

export function describe(result: Verified): string {
  if (!result.ok) return `broken at record ${result.n} (${result.segment}, byte ${result.offset}): ${REASONS[result.reason]}`;
  if (result.records === 0) return "ok: no records";
  return `ok: records ${result.first} to ${result.last}, head ${result.last}:${hex(result.head)}`;
}

// ---- export ----

function exportLog(args: string[]): number {
  const { values } = parseArgs({
    args,
    options: { data: { type: "string" }, format: { type: "string" }, from: { type: "string" }, to: { type: "string" }, out: { type: "string" } },
  });
  const files = open(values.data);
  const { format } = values;
  if (format !== "json" && format !== "csv") throw new UsageError("--format is json or csv");
  const from = parseTime("--from", values.from);
  const to = parseTime("--to", values.to);
  const verified = verifyEvidence(files, sha256);
  if (!verified.ok) process.stderr.write(`vangnet evidence: ${describe(verified)}\n`);
  const records = within(readEvidence(files), from, to);
  const text = format === "json" ? toJson(records, verified) : toCsv(records);
  if (values.out === undefined) process.stdout.write(text);
  else writeFileSync(values.out, text);
  return verified.ok ? 0 : 1;
}

function parseTime(name: string, text: string | undefined): number | null {
  if (text === undefined) return null;
  const form = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?Z)?$/.test(text);
  const ms = form ? Date.parse(text) : NaN;
  if (Number.isNaN(ms)) throw new UsageError(`${name}: ${text} is no time like 2026-01-31 or 2026-01-31T16:00:00Z`);
  return Math.floor(ms / 1000);
}

export function within(records: Iterable<EvidenceRecord>, from: number | null, to: number | null): EvidenceRecord[] {
  const chosen: EvidenceRecord[] = [];
  let time: number | null = null;
  for (const record of records) {
    time = record.t ?? time;
    if (from !== null && (time === null || time < from)) continue;
    if (to !== null && time !== null && time >= to) continue;
    chosen.push(record);
  }
  return chosen;
}

const iso = (t: number | null): string | null => (t === null ? null : new Date(t * 1000).toISOString().replace(".000Z", "Z"));

/** What was written is JSON; a damaged log may hold anything. */
function parsed(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return data;
  }
}

export function toJson(records: readonly EvidenceRecord[], verified: Verified): string {
  const lines = records.map(({ n, t, up, type, data, hash }) => JSON.stringify({ n, t, utc: iso(t), up, type, data: parsed(data), hash: hex(hash) }));
  return `{"vangnet":"evidence","version":1,"verified":${verified.ok},"check":${JSON.stringify(describe(verified))},"records":[\n${lines.join(",\n")}\n]}\n`;
}

/** RFC 4180. The members of `data` are columns of their own, in the order in which they first appear. */
export function toCsv(records: readonly EvidenceRecord[]): string {
  const names = new Set<string>();
  const rows = records.map((record) => {
    const data = parsed(record.data);
    const fields: Map<string, unknown> = typeof data === "object" && data !== null ? new Map(Object.entries(data)) : new Map([["", data]]);
    for (const name of fields.keys()) names.add(name);
    return { record, fields };
  });
  const columns = [...names];
  const lines = [["n", "utc", "up_ms", "type", ...columns.map((name) => `data.${name}`), "hash"].map(cell).join(",")];
  for (const { record, fields } of rows) {
    const { n, t, up, type, hash } = record;
    lines.push([n, iso(t), up, type, ...columns.map((name) => fields.get(name)), hex(hash)].map(cell).join(","));
  }
  return `${lines.join("\r\n")}\r\n`;
}

/**
 * Absent is empty. A text that a spreadsheet would take for a formula gets an apostrophe before it:
 * names and reasons come from tokens and devices. Numbers stay numbers, negative ones too.
 */
export function cell(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  const text = typeof value === "string" ? value : JSON.stringify(value);
  const safe = /^\s*[=+\-@|%\t\r\n]/.test(text) ? `'${text}` : text;
  return /[",\r\n;\t']/.test(safe) || safe !== safe.trim() ? `"${safe.replaceAll('"', '""')}"` : safe;
}
