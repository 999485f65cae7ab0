import type { EpochSeconds, Watts } from "../units.js";
import type { LimitsEvent, Scope } from "./event.js";
import type { Limit } from "./limit.js";

/** The limit in words, for log, page and terminal: "grid operator's cap 4.2 kW until 19:15 UTC". */
export function describeLimit(limit: Limit): string {
  if (limit.kind === "none") return "no limit";
  const power = describeWatts(limit.watts);
  const until = limit.until === null ? "" : ` until ${describeTime(limit.until)}`;
  switch (limit.source) {
    case "cap": return `grid operator's cap ${power}${until}`;
    case "release": return `slow release after ${after(limit.id)}, now ${power}${limit.until === null ? "" : `, over at ${describeTime(limit.until)}`}`;
    case "contact": return `contact ${limit.id} limits to ${power}`;
    case "failsafe":
      return limit.id === "no_voltage"
        ? `failsafe limit ${power}: nothing measures the mains voltage`
        : `failsafe limit ${power}: no valid word from the grid operator`;
    case "start": return `failsafe limit ${power} while starting, until the grid operator is heard`;
    case "voltage": return `mains voltage leaves ${power}`;
    case "tariff": return `capacity tariff leaves ${power} in this quarter-hour`;
    case "owner": return `owner's limit ${power}`;
    case "static": return `static limit ${power} while autonomous`;
    case "connection": return `connection's maximum ${power}`;
    case "fuse": return `main fuse ${power}`;
  }
}

/** One line of the log. */
export function describeLimitsEvent(event: LimitsEvent): string {
  switch (event.kind) {
    case "restored":
      return `restored ${event.links} links${event.damaged === 0 ? "" : `, ${event.damaged} records unreadable: failsafe until a token comes`}`;
    case "state": return `state ${event.from} -> ${event.to}`;
    case "link": return event.alive ? "link to the grid operator is alive" : "link to the grid operator is lost";
    case "clock": return event.trusted ? "clock is trusted" : "clock is not trusted: only tightening is accepted";
    case "token": return `token ${event.hash} of ${event.kid} for ${event.aud}: ${TOKEN_WORDS[event.effect]}`;
    case "cap_scheduled": case "cap_in_force": case "cap_replaced": case "cap_cancelled": case "cap_ended": {
      const { id, importLimit, exportLimit, start, end } = event.cap;
      const imported = importLimit === null ? "" : `, import ${describeWatts(importLimit)}`;
      const exported = exportLimit === null ? "" : `, export ${describeWatts(exportLimit)}`;
      return `cap ${id} ${CAP_WORDS[event.kind]}${imported}${exported}, ${describeTime(start)} to ${describeTime(end)}`;
    }
    case "release_begins": case "raise_begins":
      return `${scopeWords(event.scope)}: ${event.kind === "raise_begins" ? "rise" : "release"} after ${after(event.id)} from ${describeWatts(event.from)} `
        + `to ${describeWatts(event.to)}, ${Math.floor(event.delay / 1_000)} s wait, ${Math.floor(event.ramp / 1_000)} s ramp`;
    case "release_ends": return `${scopeWords(event.scope)}: released after ${after(event.id)}`;
    case "raise_ends": return `${scopeWords(event.scope)}: risen after ${after(event.id)}`;
    case "contact": return `contact ${event.id} ${event.state}${event.state === "unreadable" ? ": counts as active" : ""}`;
    case "voltage": return event.known ? "mains voltage is known" : "mains voltage is unknown: no voltage droop";
    case "droop_begins": return `voltage droop on ${event.direction} begins at ${describeVolts(event.voltage)}`;
    case "droop_trips": return `voltage droop on ${event.direction} at its floor at ${describeVolts(event.voltage)}`;
    case "droop_ends": return `voltage droop on ${event.direction} ends at ${describeVolts(event.voltage)}`;
  }
}

const TOKEN_WORDS = {
  replaces: "taken over",
  tightening_only: "held, clock not trusted: only tightens",
  old: "older than the one held, no change",
} as const;

const CAP_WORDS = {
  cap_scheduled: "scheduled", cap_in_force: "in force", cap_replaced: "replaced", cap_cancelled: "cancelled", cap_ended: "ended",
} as const;

/** 0 -> "0 W", 950 -> "950 W", 4200 -> "4.2 kW", 17250 -> "17.25 kW". */
export function describeWatts(watts: Watts): string {
  if (watts < 1_000) return `${watts} W`;
  let fraction = String(1_000 + (watts % 1_000)).slice(1);
  while (fraction.endsWith("0")) fraction = fraction.slice(0, -1);
  return `${Math.floor(watts / 1_000)}${fraction === "" ? "" : `.${fraction}`} kW`;
}

/** "19:15 UTC". The date is the reader's to know; a cap rarely outlasts a day. */
export function describeTime(time: EpochSeconds): string {
  const minutes = Math.floor(time / 60) % 1_440;
  return `${two(Math.floor(minutes / 60))}:${two(minutes % 60)} UTC`;
}

function describeVolts(millivolts: number): string {
  return `${Math.floor(millivolts / 1_000)}.${Math.floor((millivolts % 1_000) / 100)} V`;
}

function scopeWords(scope: Scope): string {
  return scope === "controllable" ? "controllable devices" : scope;
}

function after(id: string): string {
  return id === "failsafe" || id === "no_voltage" ? "the failsafe" : id === "start" ? "the start" : id === "static" ? "the static limit" : id;
}

function two(n: number): string {
  return n < 10 ? `0${n}` : String(n);
}
