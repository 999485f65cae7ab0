/** The operator's rules: what may be asked of a house, said before anything is signed. */
import { randomBytes } from "node:crypto";
import { encodeToken, type OperatorEvent, type SigningKey } from "./encode.js";
import { type AudienceState, type OperatorState } from "./files.js";
import { formatDuration, parseDuration, parseStart } from "./time.js";

export const EXP_MAX_S = 35 * 86_400;
export const FOR_MAX_S = 35 * 86_400;
const RELEASE_MAX_S = 86_400;
const TOKEN_BYTES = 720;
const EVENTS = 16;
const WATTS_MAX = 0x7fff_ffff;

/** A request that is refused: said to the user as it is, exit code 2. */
export class Refused extends Error {}

export interface Issued {
  readonly state: AudienceState;
  readonly token: Uint8Array;
}

export interface EventOptions {
  readonly import: string | undefined;
  readonly export: string | undefined;
  readonly for: string | undefined;
  readonly start: string | undefined;
  readonly release: string | undefined;
  readonly emergency: boolean;
  readonly controllable: boolean;
}

export function checkAudience(aud: string | undefined): string {
  if (aud === undefined) throw new Refused("--aud is missing: ean:<18 digits> for one connection, msr:<id> for all behind one transformer, or all");
  if (aud === "all" || /^ean:\d{18}$/.test(aud) || /^msr:[A-Za-z0-9._-]{1,60}$/.test(aud)) return aud;
  throw new Refused(`--aud ${aud}: must be ean:<18 digits>, msr:<letters, digits, . _ -> or all`);
}

/** GS1: the last digit of an EAN is made of the others. A slip of the pen is worth a warning. */
export function eanWarning(aud: string): string | null {
  if (!aud.startsWith("ean:")) return null;
  const digits = [...aud.slice(4)].map(Number);
  const sum = digits.slice(0, 17).reduce((total, digit, i) => total + digit * (i % 2 === 0 ? 3 : 1), 0);
  return (10 - (sum % 10)) % 10 === digits[17] ? null : `the check digit of ${aud} is not right; the house answers to the number in its own configuration`;
}

function watts(text: string | undefined, option: string): number | null {
  if (text === undefined || text === "none") return null;
  const kilo = /^(\d{1,7})(?:\.(\d{1,3}))?kW$/i.exec(text);
  const value = kilo ? Number(kilo[1]) * 1000 + Number((kilo[2] ?? "").padEnd(3, "0")) : /^-?\d+$/.test(text) ? Number(text) : null;
  if (value === null) throw new Refused(`${option} ${text}: give whole watts (4200) or kilowatts (4.2kW)`);
  if (value < 0) throw new Refused(`${option} ${text}: a limit is 0 W or more. 0 lets nothing through; feeding in is limited with --export`);
  if (value > WATTS_MAX) throw new Refused(`${option} ${text}: at most ${WATTS_MAX} W`);
  return value;
}

export function duration(text: string, option: string, max: number): number {
  const seconds = parseDuration(text);
  if (seconds === null || seconds === 0) throw new Refused(`${option} ${text}: give a duration such as 90s, 15m, 2h, 1h30m or 3d`);
  if (seconds > max) throw new Refused(`${option} ${text}: at most ${formatDuration(max)}`);
  return seconds;
}

export function newEvent(options: EventOptions, now: number, zone: string): OperatorEvent {
  const importLimit = watts(options.import, "--import"), exportLimit = watts(options.export, "--export");
  if (importLimit === null && exportLimit === null) throw new Refused("give --import W, --export W or both: a cap without a limit does nothing (to end one: vangnet cap cancel ID)");
  if (options.for === undefined) {
    throw new Refused(`--for is missing: an open-ended cap is not made. Give its length, at most ${formatDuration(FOR_MAX_S)}; `
      + "to go on for longer, issue the next one before it ends, and keep the link alive with `vangnet cap refresh`");
  }
  const length = duration(options.for, "--for", FOR_MAX_S);
  const start = parseStart(options.start ?? "now", now, zone);
  if (start === null) throw new Refused(`--start ${options.start}: give now, +10m, 18:00 (${zone}), or 2026-01-15T18:00 with or without Z or +01:00`);
  if (start + length <= now) throw new Refused(`--start ${options.start}: that cap would be over already`);
  return {
    id: randomBytes(4).toString("hex"), start, duration: length, importLimit, exportLimit,
    emergency: options.emergency, controllable: options.controllable,
    release: options.release === undefined ? null : duration(options.release, "--release", RELEASE_MAX_S),
  };
}

/**
 * The next token of an audience: its events as `change` leaves them, without those that are over. The
 * sequence starts at the time of day, so that a state file that was lost does not lock the operator
 * out. Puts it into `state`.
 */
export function reissue(
  state: OperatorState, aud: string, key: SigningKey, now: number, life: number, change: (events: OperatorEvent[]) => OperatorEvent[],
): Issued {
  const at = state.audiences.findIndex((entry) => entry.kid === key.kid && entry.aud === aud);
  const before = at < 0 ? undefined : state.audiences[at]!;
  const events = change((before?.events ?? []).filter((event) => event.start + event.duration > now));
  if (events.length > EVENTS) throw new Refused(`${aud} has ${events.length - 1} events already, and a token carries ${EVENTS}: cancel one first (vangnet cap list)`);
  const next: AudienceState = { kid: key.kid, aud, seq: Math.max((before?.seq ?? 0) + 1, now), iat: now, exp: now + life, events };
  const token = encodeToken(next, key);
  if (token.length > TOKEN_BYTES) throw new Refused(`the token for ${aud} has ${token.length} bytes, at most ${TOKEN_BYTES} are allowed: cancel an event, or give a shorter audience`);
  if (before) state.audiences[at] = next;
  else state.audiences.push(next);
  return { state: next, token };
}

/** What the user should know before he goes: the link ends before the cap does, or a role that may not say this. */
export function remarks(issued: Issued, key: SigningKey, now: number): string[] {
  const { state } = issued, lines: string[] = [];
  const ean = eanWarning(state.aud);
  if (ean !== null) lines.push(ean);
  const end = Math.max(0, ...state.events.map((event) => event.start + event.duration));
  if (end > state.exp) {
    lines.push(`the link to the house ends ${formatDuration(state.exp - now)} from now, before the cap does: run \`vangnet cap refresh\` until then. `
      + "A cap in force holds to its own end; after that the house falls back to its failsafe limit");
  }
  if (key.role === "maker") lines.push("this is a maker's key: houses refuse caps of it");
  if (key.role === "installer" && end > now + 600) lines.push("this is an installer's key: houses refuse test caps that are not over within 10m");
  if (key.role === "owner" && state.events.some((event) => event.emergency)) lines.push("this is an owner's key: houses refuse --emergency of it");
  return lines;
}
