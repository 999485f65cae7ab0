import { HELD_EVENTS_MAX, START_TO_FAILSAFE_MS } from "../constants.js";
import type { CapEvent } from "../token/cap.js";
import type { EpochSeconds, Millis, Seconds, Watts } from "../units.js";
import { FREE, limit } from "./channel.js";
import { NO_LIMIT, type LimitSource } from "./limit.js";
import { endOf, milliseconds } from "./link.js";
import type { Binding, Channel, HeldEvent, LimitsState, Link, Rise } from "./state.js";

/*
 * What must survive a reboot, as lines of JSON arrays without names: the first line is the house
 * (clock, channels, droop), each further line one link, or the token that waits behind it. A store
 * whose values are small keeps a line a key and joins them with "\n" again: no line is longer than
 * STORE_VALUE_BYTES_MAX. An unreadable line is counted and costs no other one.
 */

const VERSION = 1;

export interface RestoredChannel {
  readonly binding: (Omit<Binding, "since"> & { readonly elapsed: Millis }) | null;
  readonly release: Omit<Rise, "begin"> | null;
  readonly raise: Omit<Rise, "begin"> | null;
}

export interface RestoredLimits {
  /** The time of the last write, which is the least it can be now. */
  readonly utc: EpochSeconds | null;
  /** import, export, controllable, production. */
  readonly channels: readonly [RestoredChannel, RestoredChannel, RestoredChannel, RestoredChannel];
  readonly links: readonly RestoredLink[];
  readonly droopImportLow: boolean;
  readonly droopExportLow: boolean;
  /** Lines that could not be read. */
  readonly damaged: number;
}

export interface RestoredLink {
  readonly kid: string;
  readonly operator: boolean;
  readonly aud: string;
  readonly seq: number;
  readonly exp: EpochSeconds;
  readonly events: readonly { readonly event: CapEvent; readonly inForce: boolean }[];
  readonly waiting: { readonly exp: EpochSeconds; readonly events: readonly CapEvent[] } | null;
}

const NOTHING: RestoredChannel = { binding: null, release: null, raise: null };
const EMPTY: RestoredLimits = {
  utc: null, channels: [NOTHING, NOTHING, NOTHING, NOTHING], links: [], droopImportLow: false, droopExportLow: false, damaged: 0,
};

// ---- Out ----

/** The text to store whenever state.revision has grown. */
export function limitsPersist(state: LimitsState): string {
  const lines = [JSON.stringify([
    VERSION, state.storedUtc, channelOut(state.import, state.storedAt), channelOut(state.export, state.storedAt),
    channelOut(state.controllable, state.storedAt), channelOut(state.production, state.storedAt),
    state.droopImport.low ? 1 : 0, state.droopExport.low ? 1 : 0,
    state.links.reduce((n, link) => n + (link.waiting === null ? 1 : 2), 0), state.damaged,
  ])];
  for (const link of state.links) {
    const events = link.events.map((held) => [...eventOut(held.event), held.inForce ? 1 : 0]);
    lines.push(JSON.stringify(["link", link.kid, link.aud, link.seq, link.exp, link.operator ? 1 : 0, events]));
    if (link.waiting === null) continue;
    lines.push(JSON.stringify(["waiting", link.kid, link.aud, link.waiting.exp, link.waiting.events.map(eventOut)]));
  }
  return lines.join("\n");
}

function eventOut(event: CapEvent): (string | number | null)[] {
  const flags = (event.emergency ? 1 : 0) + (event.controllable ? 2 : 0);
  return [event.id, event.start, event.duration, event.importLimit, event.exportLimit, flags, event.release];
}

function channelOut(channel: Channel, at: Millis): unknown {
  const b = channel.binding;
  if (b === null && channel.release === null && channel.raise === null) return null;
  return [
    b === null ? null : [b.watts, b.source, b.id, b.until, at - b.since, b.length, b.release], riseOut(channel.release), riseOut(channel.raise),
  ];
}

function riseOut(rise: Rise | null): unknown {
  return rise === null ? null : [rise.id, rise.from, rise.to, rise.delay, rise.ramp, rise.beginUtc];
}

// ---- In ----

/** From the store; null = nothing there. Never fails: what cannot be read is counted in `damaged`. */
export function limitsRestore(text: string | null): RestoredLimits {
  if (text === null || text === "") return EMPTY;
  const lines = text.split("\n");
  const house = houseIn(parse(lines[0] ?? ""));
  const links: RestoredLink[] = [];
  let read = 0;
  for (let i = 1; i < lines.length; i++) if (linkIn(parse(lines[i]!), links) || waitingIn(parse(lines[i]!), links)) read++;
  if (house === null) return { ...EMPTY, links, damaged: lines.length - read };
  return { ...house.restored, links, damaged: house.restored.damaged + Math.max(lines.length - 1, house.lines) - read };
}

function parse(line: string): readonly unknown[] | null {
  try {
    const value: unknown = JSON.parse(line);
    return Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

function houseIn(v: readonly unknown[] | null): { restored: RestoredLimits; lines: number } | null {
  if (v === null || v[0] !== VERSION || !isIntOrNull(v[1]) || !isInt(v[8]) || !isInt(v[9])) return null;
  const [a, b, c, d] = [channelIn(v[2]), channelIn(v[3]), channelIn(v[4]), channelIn(v[5])];
  if (a === null || b === null || c === null || d === null) return null;
  return {
    restored: { utc: v[1], channels: [a, b, c, d], links: [], droopImportLow: v[6] !== 0, droopExportLow: v[7] !== 0, damaged: v[9] },
    lines: v[8],
  };
}

function channelIn(v: unknown): RestoredChannel | null {
  if (v === null) return NOTHING;
  if (!Array.isArray(v)) return null;
  const release = riseIn(v[1]);
  const raise = riseIn(v[2]);
  if (release === false || raise === false) return null;
  if (v[0] === null) return { binding: null, release, raise };
  const b: unknown = v[0];
  if (!Array.isArray(b)) return null;
  const [watts, source, id, until, elapsed, length, wish] = b as unknown[];
  if (!isWatts(watts) || typeof source !== "string" || typeof id !== "string" || !isIntOrNull(until) || !isInt(elapsed)
    || !isIntOrNull(length) || !isIntOrNull(wish)) return null;
  return { binding: { watts, source: source as LimitSource, id, until, elapsed, length, release: wish }, release, raise };
}

function riseIn(v: unknown): Omit<Rise, "begin"> | null | false {
  if (v === null) return null;
  if (!Array.isArray(v)) return false;
  const [id, from, to, delay, ramp, beginUtc] = v as unknown[];
  if (typeof id !== "string" || !isWatts(from) || !isWatts(to) || !isInt(delay) || !isInt(ramp) || !isIntOrNull(beginUtc)) return false;
  return to < from || delay < 0 || ramp < 0 ? false : { id, from, to, delay, ramp, beginUtc };
}

function linkIn(v: readonly unknown[] | null, links: RestoredLink[]): boolean {
  if (v === null || v[0] !== "link") return false;
  const [, kid, aud, seq, exp, operator, list] = v;
  if (typeof kid !== "string" || typeof aud !== "string" || !isInt(seq) || !isInt(exp)) return false;
  const events = eventsIn(list);
  if (events === null) return false;
  links.push({ kid, operator: operator === 1, aud, seq, exp, events: events.map((event, i) => ({ event, inForce: (list as unknown[][])[i]![7] === 1 })), waiting: null });
  return true;
}

/** Belongs to the link of the line before. */
function waitingIn(v: readonly unknown[] | null, links: RestoredLink[]): boolean {
  const link = links[links.length - 1];
  if (v === null || v[0] !== "waiting" || link === undefined || v[1] !== link.kid || v[2] !== link.aud || !isInt(v[3])) return false;
  const events = eventsIn(v[4]);
  if (events === null) return false;
  links[links.length - 1] = { ...link, waiting: { exp: v[3], events } };
  return true;
}

function eventsIn(list: unknown): CapEvent[] | null {
  if (!Array.isArray(list) || list.length > HELD_EVENTS_MAX) return null;
  const events: CapEvent[] = [];
  for (const entry of list as unknown[]) {
    const event = eventIn(entry);
    if (event === null) return null;
    events.push(event);
  }
  return events;
}

function eventIn(v: unknown): CapEvent | null {
  if (!Array.isArray(v)) return null;
  const [id, start, duration, importLimit, exportLimit, flags, release] = v as unknown[];
  if (typeof id !== "string" || !isInt(start) || !isInt(duration) || !isIntOrNull(importLimit) || !isIntOrNull(exportLimit)
    || !isInt(flags) || !isIntOrNull(release)) return null;
  return { id, start, duration, importLimit, exportLimit, emergency: (flags & 1) !== 0, controllable: (flags & 2) !== 0, release };
}

function isInt(v: unknown): v is number {
  return typeof v === "number" && Number.isSafeInteger(v);
}
function isIntOrNull(v: unknown): v is number | null {
  return v === null || isInt(v);
}
function isWatts(v: unknown): v is Watts {
  return isInt(v) && v >= 0;
}

// ---- Onto the monotonic clock of this run ----

export function restoredLinks(restored: RestoredLimits, now: Millis): readonly Link[] {
  return restored.links.map((link) => ({
    ...link, aliveUntil: null, events: link.events.map((one) => restoredEvent(one.event, one.inForce, restored.utc, now)),
  }));
}

/**
 * Without a clock an event in force goes on for what was left of it at the last write. One that had
 * yet to begin may have begun meanwhile: it counts once the time for finding the clock is over.
 */
function restoredEvent(event: CapEvent, inForce: boolean, utc: EpochSeconds | null, now: Millis): HeldEvent {
  const left: Seconds = utc === null ? event.duration : Math.max(0, endOf(event) - utc);
  const rest = milliseconds(left);
  if (inForce) return { event, startsAt: now + rest - milliseconds(event.duration), endsAt: now + rest, inForce, timing: "arrival" };
  const wait = utc === null ? 0 : milliseconds(Math.max(0, event.start - utc));
  return {
    event, startsAt: now + Math.min(wait, START_TO_FAILSAFE_MS), endsAt: now + Math.max(rest, milliseconds(event.duration)), inForce, timing: "guess",
  };
}

/** A rise begins again where it began: a reboot is never ahead of its release. */
export function restoredChannel(restored: RestoredChannel, now: Millis): Channel {
  const binding = restored.binding === null ? null : { ...withoutElapsed(restored.binding), since: now - restored.binding.elapsed };
  const release = restored.release === null ? null : { ...restored.release, begin: now };
  const raise = restored.raise === null ? null : { ...restored.raise, begin: now };
  if (release === null && raise === null) {
    if (binding === null) return FREE;
    return { level: binding.watts, binding, release, raise, limit: limit(NO_LIMIT, binding.watts, binding.source, binding.id, binding.until) };
  }
  let level: Watts | null = binding === null ? null : binding.watts;
  if (release !== null) level = Math.min(level ?? release.from, release.from);
  if (raise !== null) level = Math.min(level ?? raise.from, raise.from);
  return { level, binding, release, raise, limit: limit(NO_LIMIT, level ?? 0, "release", (raise ?? release)?.id ?? "", null) };
}

function withoutElapsed(b: Omit<Binding, "since"> & { readonly elapsed: Millis }): Omit<Binding, "since"> {
  return { watts: b.watts, source: b.source, id: b.id, until: b.until, length: b.length, release: b.release };
}
