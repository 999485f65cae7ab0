/** `keys sign`: a set of keys from the files of its user, refused before it is signed where a house would refuse it. */
import { readFileSync } from "node:fs";
import { decodeKeySet } from "../../src/token/keys.js";
import { encodeKeySet, type KeySetEntry } from "./encode.js";
import { isRole, publicEntry, readKey } from "./files.js";
import { parseStart } from "./time.js";

export interface KeySetRequest {
  /** The maker's file. */
  readonly key: string;
  readonly version: string | undefined;
  readonly add: readonly string[];
  /** For the keys that are added and say nothing themselves; null = anybody. */
  readonly audiences: readonly string[] | null;
  readonly notBefore: string | undefined;
  readonly notAfter: string | undefined;
  readonly zone: string;
  readonly now: number;
}

export function signKeySet(request: KeySetRequest): { bytes: Uint8Array; kid: string; version: number; keys: readonly KeySetEntry[] } {
  const key = readKey(request.key);
  if (key.role !== "maker") throw new Error(`${request.key}: role ${key.role}; a maker's key signs a set (vangnet keys new --role maker)`);
  const version = /^[1-9]\d{0,14}$/.test(request.version ?? "") ? Number(request.version) : null;
  if (version === null) throw new Error(`--version ${request.version ?? "is missing"}: a whole number, higher than that of every set before`);
  const notBefore = time(request.notBefore, "--not-before", request), notAfter = time(request.notAfter, "--not-after", request);
  for (const aud of request.audiences ?? []) {
    if (!/^(all|ean:(\d{18}|\d{0,17}\*)|msr:[A-Za-z0-9._-]{0,59}[A-Za-z0-9._*-])$/.test(aud)) throw new Error(`--aud ${aud}: must be ean:<18 digits or prefix*>, msr:<id or prefix*> or all`);
  }
  const added = request.add.map((file): KeySetEntry => {
    const entry = readEntry(file);
    return {
      ...entry, audiences: entry.audiences ?? request.audiences, not_before: entry.not_before ?? notBefore, not_after: entry.not_after ?? notAfter,
    };
  });
  for (const entry of added) {
    if (entry.role === "installer" && (entry.not_after ?? null) === null) throw new Error(`key ${entry.kid}: an installer's key must have an end (--not-after)`);
    if ((entry.not_before ?? 0) > (entry.not_after ?? Infinity)) throw new Error(`key ${entry.kid}: ends before it begins`);
  }
  const keys = [publicEntry(key), ...added.filter(({ kid }) => kid !== key.kid)];
  const bytes = encodeKeySet(version, request.now, keys, key);
  // What the houses' own decoder says of it, which shares nothing with the encoder.
  const decoded = decodeKeySet(bytes);
  if (!decoded.ok) throw new Error(`a house would refuse this set (${decoded.rule}): ${decoded.detail}`);
  return { bytes, kid: key.kid, version, keys };
}

/** An entry of site.json in a file of its own, or a signing key's file. */
function readEntry(file: string): KeySetEntry {
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
  } catch (error) {
    throw new Error(`${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (typeof json["d"] === "string") return publicEntry(readKey(file));
  const { kid, x, y, role, audiences = null, not_before = null, not_after = null } = json;
  const isHex = (value: unknown, digits: number): value is string => typeof value === "string" && value.length === digits && /^[0-9a-f]+$/.test(value);
  if (!isHex(kid, 16) || !isHex(x, 64) || !isHex(y, 64) || typeof role !== "string" || !isRole(role)) {
    throw new Error(`${file}: neither a key's file nor an entry {kid, x, y, role} (vangnet keys show FILE --json)`);
  }
  if (!(audiences === null || (Array.isArray(audiences) && audiences.every((one) => typeof one === "string")))) throw new Error(`${file}: audiences must be a list of texts`);
  for (const seconds of [not_before, not_after]) {
    if (seconds !== null && !Number.isSafeInteger(seconds)) throw new Error(`${file}: not_before and not_after are seconds since 1970`);
  }
  return { kid, x, y, role, audiences: audiences as string[] | null, not_before: not_before as number | null, not_after: not_after as number | null };
}

function time(text: string | undefined, option: string, { now, zone }: KeySetRequest): number | null {
  if (text === undefined) return null;
  const at = /^\d{9,10}$/.test(text) ? Number(text) : parseStart(text, now, zone);
  if (at === null) throw new Error(`${option} ${text}: give 2026-01-15T18:00, +30d or seconds since 1970`);
  return at;
}
