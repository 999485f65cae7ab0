/**
 * A recorded day: everything the controller was given, tick by tick, as JSON lines, so that it can
 * be run again anywhere and give the same bytes. Portable: the controller writes it, `vangnet replay`
 * and the tests on XS read it.
 *
 * Line 1: {"vangnet":"recording","version":1,"site":Site,"stored":Stored,"now":ms}
 * then a line a tick: {"at":ms, ...what changed of Inputs}. `reading` and `tokens` are of one tick
 * and absent where there was none; `contacts`, `reports` and `networkTime` hold until they change, and
 * so does `site`, which changes where a signed set of keys makes the house one with an operator.
 */
import { describeDecision } from "../allocation/reason.js";
import type { Decision } from "../allocation/decision.js";
import { start, tick, type Inputs, type Outputs, type State, type Stored } from "../controller.js";
import type { Limit } from "../limits/limit.js";
import { describeLimit } from "../limits/words.js";
import type { Site } from "../site.js";
import type { Millis } from "../units.js";

export class Recorder {
  #contacts = "";
  #reports = "";
  #networkTime: number | null = null;
  #site: Site;
  readonly #write: (line: string) => void;

  constructor(site: Site, stored: Stored, now: Millis, write: (line: string) => void) {
    this.#write = write;
    this.#site = site;
    write(JSON.stringify({ vangnet: "recording", version: 1, site, stored, now }));
  }

  tick(inputs: Inputs, now: Millis, site: Site = this.#site): void {
    const parts: string[] = [`"at":${now}`];
    if (site !== this.#site) parts.push(`"site":${JSON.stringify(this.#site = site)}`);
    if (inputs.reading !== null) parts.push(`"reading":${JSON.stringify(inputs.reading)}`);
    if (inputs.tokens.length > 0) parts.push(`"tokens":${JSON.stringify(inputs.tokens)}`);
    const contacts = JSON.stringify(inputs.contacts);
    if (contacts !== this.#contacts) parts.push(`"contacts":${this.#contacts = contacts}`);
    const reports = JSON.stringify(inputs.reports);
    if (reports !== this.#reports) parts.push(`"reports":${this.#reports = reports}`);
    if (inputs.networkTime !== this.#networkTime) parts.push(`"networkTime":${JSON.stringify(this.#networkTime = inputs.networkTime)}`);
    this.#write(`{${parts.join(",")}}`);
  }
}

export type PlayerRule = "not_json" | "not_a_recording" | "unknown_version" | "time_goes_back";

export interface PlayerFault { readonly ok: false; readonly rule: PlayerRule }
export interface Played { readonly ok: true; readonly at: Millis; readonly outputs: Outputs | null }

/** Plays a recording line by line through the very controller. */
export class Player {
  site: Site | null = null;
  #state: State | null = null;
  #inputs: Inputs = { reading: null, tokens: [], contacts: [], reports: [], networkTime: null };
  #at: Millis = 0;

  line(text: string): Played | PlayerFault {
    let value: Record<string, unknown>;
    try {
      value = JSON.parse(text) as Record<string, unknown>;
    } catch {
      return { ok: false, rule: "not_json" };
    }
    if (this.#state === null || this.site === null) {
      if (value === null || value["vangnet"] !== "recording") return { ok: false, rule: "not_a_recording" };
      if (value["version"] !== 1) return { ok: false, rule: "unknown_version" };
      this.site = value["site"] as Site;
      this.#at = value["now"] as Millis;
      this.#state = start(this.site, value["stored"] as Stored, this.#at);
      return { ok: true, at: this.#at, outputs: null };
    }
    const given = value as Partial<Inputs> & { at: Millis; site?: Site };
    if (!(given.at >= this.#at)) return { ok: false, rule: "time_goes_back" };
    this.#at = given.at;
    this.#inputs = {
      reading: given.reading ?? null,
      tokens: given.tokens ?? [],
      contacts: given.contacts ?? this.#inputs.contacts,
      reports: given.reports ?? this.#inputs.reports,
      networkTime: given.networkTime === undefined ? this.#inputs.networkTime : given.networkTime,
    };
    if (given.site !== undefined) this.site = given.site;
    const stepped = tick(this.site, this.#state, this.#inputs, given.at);
    this.#state = stepped.state;
    return { ok: true, at: given.at, outputs: stepped.outputs };
  }
}

/** Turns outputs into lines, each when it changes: limits, decisions with their reasons, events. */
export class Narrator {
  readonly #site: Site;
  #limits: readonly Limit[] = [];
  #state = "";
  readonly #decisions: (Decision | null)[];

  constructor(site: Site) {
    this.#site = site;
    this.#decisions = site.devices.map(() => null);
  }

  lines(outputs: Outputs, at: Millis): string[] {
    const stamp = outputs.utc === null ? `+${at} ms` : isoTime(outputs.utc);
    const lines: string[] = [];
    const { limits } = outputs;
    if (limits.state !== this.#state) lines.push(`${stamp} state: ${limits.state}`);
    this.#state = limits.state;
    const binding = [limits.import, limits.export, limits.controllable, limits.production];
    const names = ["import", "export", "controllable devices", "production"];
    binding.forEach((limit, i) => {
      if (!sameLimit(limit, this.#limits[i])) lines.push(`${stamp} ${names[i]!}: ${describeLimit(limit)}`);
    });
    this.#limits = binding;
    outputs.decisions.forEach((decision, i) => {
      const before = this.#decisions[i];
      if (before && before.setpoint.value === decision.setpoint.value && before.reason === decision.reason && before.limit === decision.limit) return;
      this.#decisions[i] = decision;
      lines.push(`${stamp} ${describeDecision(this.#site, decision, limits)}`);
    });
    for (const event of outputs.events) lines.push(`${stamp} event: ${JSON.stringify(event)}`);
    return lines;
  }
}

function sameLimit(a: Limit, b: Limit | undefined): boolean {
  if (b === undefined || a.kind !== b.kind) return false;
  // A ramp changes each second: told by its source, not by each watt.
  return a.kind === "none" || (b.kind === "limit" && a.source === b.source && a.id === b.id && (a.watts === b.watts || a.source === "release" || a.source === "voltage" || a.source === "tariff"));
}

const two = (n: number) => (n < 10 ? `0${n}` : `${n}`);

/** 2026-01-15T17:00:00Z, without Date: the same on every engine. Days to civil: H. Hinnant's algorithm. */
export function isoTime(epoch: number): string {
  const days = Math.floor(epoch / 86_400);
  const second = epoch - days * 86_400;
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor((dayOfEra - Math.floor(dayOfEra / 1_460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365);
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1;
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  return `${year}-${two(month)}-${two(day)}T${two(Math.floor(second / 3_600))}:${two(Math.floor(second / 60) % 60)}:${two(second % 60)}Z`;
}
