/** What the operator keeps on disk: the signing key, and the state of each audience. */
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { keyFromJwk, type KeySetEntry, type OperatorClaims, type Role, type SigningKey } from "./encode.js";

const ROLES: readonly string[] = ["operator", "installer", "owner", "maker"];
export const isRole = (text: string): text is Role => ROLES.includes(text);

/** A JWK with a private part, and the role that its owner means it for. Readable by its owner alone. */
export function writeKey(file: string, key: SigningKey): void {
  const { kty, crv, x, y, d } = key.privateKey.export({ format: "jwk" });
  // "wx": a key that is overwritten is lost, and every house that trusts it with it.
  writeFileSync(file, `${JSON.stringify({ kid: key.kid, role: key.role, kty, crv, x, y, d }, null, 2)}\n`, { flag: "wx", mode: 0o600 });
}

export function readKey(file: string): SigningKey {
  const json = readJson(file) as Record<string, unknown>;
  const role = json["role"] ?? "operator";
  if (typeof role !== "string" || !isRole(role)) throw new Error(`${file}: role must be one of ${ROLES.join(", ")}`);
  if (typeof json["d"] !== "string") throw new Error(`${file}: no private key ("d") in it`);
  try {
    return keyFromJwk(json, role);
  } catch (error) {
    throw new Error(`${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** What stands in site.json under operator.keys. */
export const publicEntry = (key: SigningKey): KeySetEntry => ({ kid: key.kid, x: key.x, y: key.y, role: key.role });

export interface AudienceState extends OperatorClaims { readonly kid: string }
/** The newest token of each (kid, aud) that was made, delivered or not. */
export interface OperatorState { audiences: AudienceState[] }

export const stateFileFor = (keyFile: string): string => join(dirname(keyFile), "vangnet-operator-state.json");

export function readState(file: string): OperatorState {
  if (!existsSync(file)) return { audiences: [] };
  const json = readJson(file) as { version?: unknown; audiences?: unknown };
  if (json.version !== 1 || !Array.isArray(json.audiences)) throw new Error(`${file}: not an operator's state file of version 1`);
  return { audiences: json.audiences as AudienceState[] };
}

/**
 * Runs `change` with the state alone to itself, and keeps what it leaves behind before it returns: a
 * sequence that was used once must never be used again, by another process or after a crash.
 */
export async function withState<T>(file: string, change: (state: OperatorState) => T, waitMs = 5_000): Promise<T> {
  const lock = `${file}.lock`;
  await takeLock(lock, waitMs);
  try {
    const state = readState(file);
    const result = change(state);
    writeAtomic(file, `${JSON.stringify({ version: 1, audiences: state.audiences }, null, 2)}\n`);
    return result;
  } finally {
    rmSync(lock, { force: true });
  }
}

async function takeLock(lock: string, waitMs: number): Promise<void> {
  for (let waited = 0; ; waited += 50) {
    try {
      writeFileSync(lock, String(process.pid), { flag: "wx" });
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    if (holderIsGone(lock)) {
      rmSync(lock, { force: true });
      continue;
    }
    if (waited >= waitMs) throw new Error(`${lock}: another process is at work; remove the file if it is not`);
    await sleep(50);
  }
}

function holderIsGone(lock: string): boolean {
  let pid: number;
  try {
    pid = Number(readFileSync(lock, "utf8"));
  } catch {
    return false; // given back meanwhile, or just being made
  }
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

function writeAtomic(file: string, text: string): void {
  const part = `${file}.${process.pid}.part`;
  const handle = openSync(part, "w", 0o600);
  try {
    writeSync(handle, text);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  renameSync(part, file);
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") throw new Error(`${file}: no such file`);
    throw new Error(`${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
