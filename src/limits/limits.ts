import type { DeviceReport } from "../reading/report.js";
import type { Site } from "../site.js";
import type { EpochSeconds, Milliamps, Millis, PerPhase, Permille, Watts } from "../units.js";
import { FUSE_MARGIN_MA, STALE_SAFE_PERIODS } from "../constants.js";
import { channelStep, limit, resumeRise, type ChannelContext } from "./channel.js";
import { DROOP_EXPORT, DROOP_IMPORT, droopStart, droopStep, type DroopLaw, type DroopState } from "./droop.js";
import type { ContactState, LimitsEvent, Scope } from "./event.js";
import { nextLife } from "./life.js";
import { NO_LIMIT, type Limit, type Limits, type UpcomingCap } from "./limit.js";
import { acceptToken, advance, endOf, isAlive, prune, retime } from "./link.js";
import { restoredChannel, restoredLinks, type RestoredLimits } from "./persist.js";
import type { Channel, ContactMemory, HeldEvent, LimitsInput, LimitsState, Link } from "./state.js";
import { operatorCap, targetOf, type TargetInput } from "./target.js";
import { tariffStep, tariffTarget, type TariffState } from "./tariff.js";
import { topOf } from "./top.js";
import { reportedVoltage, voltageNow, type Voltage } from "./voltage.js";

export { limitsPersist, limitsRestore, type RestoredLimits } from "./persist.js";
export type { LimitsEvent } from "./event.js";
export type { LimitsInput, LimitsState } from "./state.js";

const NO_REPORTS: readonly DeviceReport[] = [];

export interface LimitsOutcome {
  readonly state: LimitsState;
  readonly limits: Limits;
  readonly events: readonly LimitsEvent[];
}

/** After power-on, an update or a new configuration. Relaxes nothing of what was restored. */
export function limitsStart(site: Site, restored: RestoredLimits, now: Millis): LimitsState {
  return {
    at: now,
    life: site.hasOperator ? "start" : "autonomous",
    lifeSince: now,
    clockUtc: restored.utc,
    clockAt: now,
    clockTrusted: false,
    clockSeen: false,
    links: restoredLinks(restored, now),
    linkAlive: false,
    import: restoredChannel(restored.channels[0], now),
    export: restoredChannel(restored.channels[1], now),
    controllable: restoredChannel(restored.channels[2], now),
    production: restoredChannel(restored.channels[3], now),
    contacts: site.inputs.map(() => ({ state: "inactive", since: now })),
    voltageKnown: false,
    voltageSince: now,
    droopImport: droopStart(restored.droopImportLow),
    droopExport: droopStart(restored.droopExportLow),
    tariff: null,
    damaged: restored.damaged,
    announced: false,
    revision: 0,
    storedUtc: restored.utc,
    storedAt: now,
  };
}

/**
 * One tick: what happened since the last one lies in `input`. Mutates nothing; the same arguments
 * give the same outcome. `now` is monotonic, ms.
 */
export function limitsTick(site: Site, state: LimitsState, input: LimitsInput, now: Millis): LimitsOutcome {
  const log: LimitsEvent[] = [];
  const { utc } = input;
  if (!state.announced) log.push({ kind: "restored", links: state.links.length, damaged: state.damaged });
  const trusted = utc !== null;
  if (trusted !== state.clockTrusted) log.push({ kind: "clock", trusted });

  const links = heard(state, input, now, log);
  const clock = clockAfter(state, input, now);
  const linkAlive = operatorAlive(links.links, utc, now) && links.damaged === 0;
  if (linkAlive !== state.linkAlive) log.push({ kind: "link", alive: linkAlive });
  const inForce = heldInForce(links.links);
  const life = nextLife(site, {
    state: state.life, since: state.lifeSince, linkAlive, capInForce: anyLimits(inForce),
    operatorCap: !linkAlive && (operatorCap("import", links.links) || operatorCap("export", links.links)),
  }, now);
  if (life !== state.life) log.push({ kind: "state", from: state.life, to: life });
  const lifeSince = life === state.life ? state.lifeSince : now;

  const voltage = voltageNow(site, input.reading, null, now)
    ?? voltageNow(site, null, input.deviceVoltage ?? reportedVoltage(input.reports ?? NO_REPORTS, now), now);
  const voltageKnown = voltage !== null;
  if (voltageKnown !== state.voltageKnown) log.push({ kind: "voltage", known: voltageKnown });
  const voltageSince = voltageKnown === state.voltageKnown ? state.voltageSince : now;
  const droopImport = droop(DROOP_IMPORT, state.droopImport, voltage, site, log);
  const droopExport = droop(DROOP_EXPORT, state.droopExport, voltage, site, log);
  const contacts = readContacts(site, state.contacts, input.contacts, now, log);
  const tariff = site.tariffTarget === null || input.reading === null
    ? state.tariff : tariffStep(site.tariffTarget, state.tariff, input.reading);

  const target: TargetInput = { site, life, lifeSince, linkAlive, links: links.links, inForce, contacts, voltageKnown, voltageSince };
  const next: LimitsState = {
    at: now, life, lifeSince,
    clockUtc: clock.clockUtc, clockAt: clock.clockAt, clockTrusted: trusted, clockSeen: state.clockSeen || trusted,
    links: links.links, linkAlive,
    import: stepped("import", state.import, target, state, utc, now, log), export: stepped("export", state.export, target, state, utc, now, log),
    controllable: stepped("controllable", state.controllable, target, state, utc, now, log),
    production: stepped("production", state.production, target, state, utc, now, log),
    contacts, voltageKnown, voltageSince, droopImport, droopExport, tariff,
    damaged: links.damaged, announced: true, revision: state.revision, storedUtc: state.storedUtc, storedAt: state.storedAt,
  };
  return {
    state: worthStoring(state, next)
      ? { ...next, revision: state.revision + 1, storedUtc: leastUtc(next, { ...input, tokens: [] }, now), storedAt: now } : next,
    limits: limitsOf(site, next, input, now),
    events: log,
  };
}

// ---- Links ----

interface Heard {
  readonly links: readonly Link[];
  /** Records the store lost, until a word from an operator makes good for them. */
  readonly damaged: number;
}

/** Tokens taken over, events begun and ended, and all of it retimed where the clock is trusted anew. */
function heard(state: LimitsState, input: LimitsInput, now: Millis, log: LimitsEvent[]): Heard {
  const { utc } = input;
  let links = advance(state.links, utc, now, log);
  let damaged = state.damaged;
  const anew = utc !== null && !state.clockTrusted;
  if (anew) links = retime(links, utc, now, log);
  if (input.tokens.length === 0 && !anew) return { links, damaged };
  for (const token of input.tokens) {
    const before = links;
    links = acceptToken(links, token, utc, { floor: leastUtc(state, input, now) ?? 0, carried: state.clockSeen }, now, log);
    // What the store lost may have been a cap: only a fresh word from an operator ends the doubt.
    if (links !== before && utc !== null && token.role === "operator" && token.channel !== "store") damaged = 0;
  }
  // What has just come begins in the same tick; what retime() found to be over waits for the next.
  return { links: prune(anew ? begun(links, utc, now, log) : advance(links, utc, now, log), utc, now), damaged };
}

/** advance() for the tick in which the clock is trusted anew: begins, but ends nothing. */
function begun(links: readonly Link[], utc: EpochSeconds, now: Millis, log: LimitsEvent[]): readonly Link[] {
  return links.map((link) => {
    const over = link.events.filter((held) => utc >= endOf(held.event));
    const rest = { ...link, events: link.events.filter((held) => utc < endOf(held.event)) };
    const after = advance([rest], utc, now, log)[0]!;
    return { ...after, events: [...over, ...after.events] };
  });
}

/** The least utc can be: the last trusted time and what has passed since, or a newer token's iat. */
function leastUtc(state: LimitsState, input: LimitsInput, now: Millis): EpochSeconds | null {
  if (input.utc !== null) return input.utc;
  let least = state.clockUtc === null ? null : state.clockUtc + Math.floor((now - state.clockAt) / 1_000);
  for (const token of input.tokens) if (least === null || token.iat > least) least = token.iat;
  return least;
}

/** Without trust the pair stays as it is, so that fractions of a second are not lost with each tick. */
function clockAfter(state: LimitsState, input: LimitsInput, now: Millis): Pick<LimitsState, "clockUtc" | "clockAt"> {
  const least = leastUtc(state, input, now);
  const ratcheted = input.utc !== null || (input.tokens.length > 0 && least !== leastUtc(state, { ...input, tokens: [] }, now));
  return ratcheted ? { clockUtc: least, clockAt: now } : state;
}

function operatorAlive(links: readonly Link[], utc: EpochSeconds | null, now: Millis): boolean {
  for (let i = 0; i < links.length; i++) if (links[i]!.operator && isAlive(links[i]!, utc, now)) return true;
  return false;
}

const NONE_IN_FORCE: readonly HeldEvent[] = [];

function heldInForce(links: readonly Link[]): readonly HeldEvent[] {
  let list: HeldEvent[] | null = null;
  for (let i = 0; i < links.length; i++) {
    const { events } = links[i]!;
    for (let k = 0; k < events.length; k++) if (events[k]!.inForce) (list ??= []).push(events[k]!);
  }
  return list ?? NONE_IN_FORCE;
}

function anyLimits(inForce: readonly HeldEvent[]): boolean {
  for (let i = 0; i < inForce.length; i++) {
    const { event } = inForce[i]!;
    if (event.importLimit !== null || event.exportLimit !== null) return true;
  }
  return false;
}

// ---- Contacts, voltage, channels ----

function readContacts(
  site: Site, before: readonly ContactMemory[], levels: readonly (boolean | null)[], now: Millis, log: LimitsEvent[],
): readonly ContactMemory[] {
  let next: ContactMemory[] | null = null;
  for (let i = 0; i < site.inputs.length; i++) {
    const level = levels[i] ?? null;
    const state: ContactState = level === null ? "unreadable" : level ? "active" : "inactive";
    const old = before[i]!;
    if (old.state === state) continue;
    log.push({ kind: "contact", id: site.inputs[i]!.id, state });
    next ??= before.slice();
    // Active and unreadable limit alike: one stretch.
    next[i] = { state, since: old.state === "inactive" || state === "inactive" ? now : old.since };
  }
  return next ?? before;
}

function droop(law: DroopLaw, before: DroopState, voltage: Voltage | null, site: Site, log: LimitsEvent[]): DroopState {
  if (voltage === null) return before;
  const measured = law.name === "import" ? voltage.lowest : voltage.highest;
  const after = droopStep(law, before, law.name === "import" ? measured : -measured, voltage.at, site.serial);
  if (after === before) return before;
  const direction = law.name;
  if (after.low && !before.low) log.push({ kind: "droop_begins", direction, voltage: measured });
  if (after.floored && !before.floored) log.push({ kind: "droop_trips", direction, voltage: measured });
  if (before.low && !after.low) log.push({ kind: "droop_ends", direction, voltage: measured });
  return after;
}

function stepped(
  scope: Scope, channel: Channel, input: TargetInput, state: LimitsState, utc: EpochSeconds | null, now: Millis, log: LimitsEvent[],
): Channel {
  const target = targetOf(scope, input);
  // Most channels of most ticks: nothing binds, nothing is released.
  if (target === null && channel.level === null) return channel;
  const ctx: ChannelContext = { scope, site: input.site, utc, before: state.at, now };
  return channelStep(resumed(channel, state, utc, now), target, ctx, log);
}

function resumed(channel: Channel, state: LimitsState, utc: EpochSeconds | null, now: Millis): Channel {
  if (utc === null || state.clockTrusted) return channel;
  const release = resumeRise(channel.release, utc, now);
  const raise = resumeRise(channel.raise, utc, now);
  return release === channel.release && raise === channel.raise ? channel : { ...channel, release, raise };
}

function worthStoring(a: LimitsState, b: LimitsState): boolean {
  return a.links !== b.links || storedOf(a.import, b.import) || storedOf(a.export, b.export)
    || storedOf(a.controllable, b.controllable) || storedOf(a.production, b.production)
    || a.droopImport.low !== b.droopImport.low || a.droopExport.low !== b.droopExport.low || a.damaged !== b.damaged || a.clockTrusted !== b.clockTrusted;
}

/** The level itself moves each second of a ramp; what it is computed from does not. */
function storedOf(a: Channel, b: Channel): boolean {
  return a.binding !== b.binding || a.release !== b.release || a.raise !== b.raise;
}

// ---- What binds ----

function limitsOf(site: Site, state: LimitsState, input: LimitsInput, now: Millis): Limits {
  const { connection } = site;
  const weighed: Limit[] = [];
  weigh(weighed, state.import.limit);
  if (site.tariffTarget !== null) weigh(weighed, limit(NO_LIMIT, tariffNow(site.tariffTarget, state.tariff, input, now), "tariff", "", null));
  if (site.ownerImport !== null) weigh(weighed, limit(NO_LIMIT, site.ownerImport, "owner", "", null));
  if (connection.importMax !== null) weigh(weighed, limit(NO_LIMIT, connection.importMax, "connection", "", null));
  let exported = state.export.limit;
  if (site.ownerExport !== null) exported = tightest(exported, limit(NO_LIMIT, site.ownerExport, "owner", "", null));
  if (connection.exportMax !== null) exported = tightest(exported, limit(NO_LIMIT, connection.exportMax, "connection", "", null));
  return {
    state: state.life,
    import: tightestOf(weighed),
    export: exported,
    controllable: tightest(state.controllable.limit, droopLimit(state.droopImport.fraction, site, "controllable")),
    production: tightest(state.production.limit, droopLimit(state.droopExport.fraction, site, "production")),
    fuse: fusePerPhase(site),
    emergency: anyEmergency(state.links),
    next: upcoming(state.links),
    weighed,
  };
}

function weigh(weighed: Limit[], one: Limit): void {
  if (one.kind === "limit") weighed.push(one);
}

function tightestOf(weighed: readonly Limit[]): Limit {
  let least = NO_LIMIT;
  for (let i = 0; i < weighed.length; i++) least = tightest(least, weighed[i]!);
  return least;
}

/** The stricter of two; of equals the first. */
function tightest(a: Limit, b: Limit): Limit {
  if (b.kind === "none") return a;
  return a.kind === "none" || b.watts < a.watts ? b : a;
}

function tariffNow(target: Watts, tariff: TariffState | null, input: LimitsInput, now: Millis): Watts {
  if (tariff === null || input.reading === null) return tariffTarget(target, null);
  const { at, period } = input.reading;
  // The quarter may have ended unseen: no more than the target itself.
  return now - at > STALE_SAFE_PERIODS * period ? Math.min(tariff.limit, tariffTarget(target, null)) : tariff.limit;
}

function droopLimit(fraction: Permille, site: Site, scope: Scope): Limit {
  if (fraction >= 1_000) return NO_LIMIT;
  return limit(NO_LIMIT, Math.floor((topOf(site, scope) * fraction) / 1_000), "voltage", "", null);
}

function fusePerPhase(site: Site): PerPhase<Milliamps> {
  const amps = Math.max(0, site.connection.fuse - FUSE_MARGIN_MA);
  return site.connection.phases === 3 ? [amps, amps, amps] : [amps, 0, 0];
}

function anyEmergency(links: readonly Link[]): boolean {
  for (let i = 0; i < links.length; i++) {
    const { events } = links[i]!;
    for (let k = 0; k < events.length; k++) if (events[k]!.inForce && events[k]!.event.emergency) return true;
  }
  return false;
}

function upcoming(links: readonly Link[]): UpcomingCap | null {
  let next: UpcomingCap | null = null;
  for (let i = 0; i < links.length; i++) {
    const { events } = links[i]!;
    for (let k = 0; k < events.length; k++) {
      const { event, inForce } = events[k]!;
      if (inForce || (next !== null && event.start >= next.start)) continue;
      next = { id: event.id, start: event.start, end: endOf(event), importLimit: event.importLimit, exportLimit: event.exportLimit };
    }
  }
  return next;
}
