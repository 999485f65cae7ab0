import { SETTLE_DSMR5_MS } from "./constants.js";
import type { Budget } from "./budget/budget.js";
import type { Limit, LimitSource } from "./limits/limit.js";
import type { Reading } from "./reading/reading.js";
import type { EpochSeconds, Millis, Watts } from "./units.js";

/**
 * What was measured while a limit held (CAPS "Proof"): net power, time until under it, seconds above
 * it and why, quarter-hour means. A pure accumulator: one step per tick, events when something is
 * complete. It judges nothing and steers nothing.
 */
export type ComplianceEvent =
  | { readonly kind: "under_limit"; readonly source: LimitSource; readonly id: string; readonly watts: Watts; readonly after_s: number }
  | {
      readonly kind: "measured"; readonly source: LimitSource; readonly id: string; readonly watts: Watts;
      readonly seconds: number;
      /** Null where the net power never came under the limit. */
      readonly under_after_s: number | null;
      readonly above_s: number;
      /** Of those: while devices were still answering a command; while the uncontrolled load alone was above. */
      readonly above_settling_s: number; readonly above_uncontrolled_s: number;
      readonly mean_W: Watts | null; readonly max_W: Watts | null;
      /** Seconds without a fresh telegram, in which nothing was measured. */
      readonly unmeasured_s: number;
    }
  | { readonly kind: "quarter"; readonly start: EpochSeconds; readonly mean_W: Watts; readonly measured_s: number; readonly limit_W: Watts | null };

/** Limits that are reported one by one: those somebody else set and may ask about. */
const REPORTED: readonly LimitSource[] = ["cap", "contact", "failsafe"];

interface Watch {
  readonly source: LimitSource;
  readonly id: string;
  readonly watts: Watts;
  readonly since: Millis;
  readonly underAt: Millis | null;
  readonly aboveMs: Millis;
  readonly settlingMs: Millis;
  readonly uncontrolledMs: Millis;
  readonly unmeasuredMs: Millis;
  /** Watt-milliseconds; exact up to 2^53, which is 3,000 years at a full connection. */
  readonly energy: number;
  readonly measuredMs: Millis;
  readonly max: Watts | null;
}

interface Quarter { readonly start: EpochSeconds; readonly energy: number; readonly measuredMs: Millis; readonly limit: Watts | null }

export interface ComplianceState { readonly last: Millis; readonly watch: Watch | null; readonly quarter: Quarter | null }

export interface ComplianceInput {
  readonly reading: Reading | null;
  readonly budget: Budget;
  readonly limit: Limit;
  readonly utc: EpochSeconds | null;
}

export function complianceStart(now: Millis): ComplianceState {
  return { last: now, watch: null, quarter: null };
}

export function complianceTick(state: ComplianceState, input: ComplianceInput, now: Millis): { state: ComplianceState; events: readonly ComplianceEvent[] } {
  const events: ComplianceEvent[] = [];
  const elapsed = now - state.last;
  const fresh = input.budget.freshness === "fresh" && input.reading !== null;
  const net = fresh && input.reading !== null ? input.reading.net : null;
  const watch = stepWatch(state.watch, input, net, elapsed, now, events);
  const quarter = stepQuarter(state.quarter, input, net, elapsed, events);
  return { state: { last: now, watch, quarter }, events };
}

function stepWatch(watch: Watch | null, input: ComplianceInput, net: Watts | null, elapsed: Millis, now: Millis, events: ComplianceEvent[]): Watch | null {
  const { limit } = input;
  const reported = limit.kind === "limit" && REPORTED.includes(limit.source) ? limit : null;
  let next = watch === null ? null : accumulate(watch, input, net, elapsed, now, events);
  if (next !== null && (reported === null || reported.source !== next.source || reported.id !== next.id || reported.watts !== next.watts)) {
    events.push(summary(next, now));
    next = null;
  }
  if (next === null && reported !== null) {
    next = {
      source: reported.source, id: reported.id, watts: reported.watts, since: now, underAt: null,
      aboveMs: 0, settlingMs: 0, uncontrolledMs: 0, unmeasuredMs: 0, energy: 0, measuredMs: 0, max: null,
    };
  }
  return next;
}

function accumulate(watch: Watch, input: ComplianceInput, net: Watts | null, elapsed: Millis, now: Millis, events: ComplianceEvent[]): Watch {
  if (net === null) return { ...watch, unmeasuredMs: watch.unmeasuredMs + elapsed };
  const above = net > watch.watts;
  if (!above && watch.underAt === null) {
    events.push({ kind: "under_limit", source: watch.source, id: watch.id, watts: watch.watts, after_s: Math.round((now - watch.since) / 1000) });
  }
  const uncontrolled = above && input.budget.uncontrolled.watts > watch.watts;
  const settling = above && !uncontrolled && now - watch.since <= SETTLE_DSMR5_MS;
  return {
    ...watch,
    underAt: watch.underAt ?? (above ? null : now),
    aboveMs: watch.aboveMs + (above ? elapsed : 0),
    settlingMs: watch.settlingMs + (settling ? elapsed : 0),
    uncontrolledMs: watch.uncontrolledMs + (uncontrolled ? elapsed : 0),
    energy: watch.energy + net * elapsed,
    measuredMs: watch.measuredMs + elapsed,
    max: watch.max === null || net > watch.max ? net : watch.max,
  };
}

const seconds = (ms: Millis) => Math.round(ms / 1000);

function summary(watch: Watch, now: Millis): ComplianceEvent {
  return {
    kind: "measured", source: watch.source, id: watch.id, watts: watch.watts,
    seconds: seconds(now - watch.since),
    under_after_s: watch.underAt === null ? null : seconds(watch.underAt - watch.since),
    above_s: seconds(watch.aboveMs), above_settling_s: seconds(watch.settlingMs), above_uncontrolled_s: seconds(watch.uncontrolledMs),
    mean_W: watch.measuredMs === 0 ? null : Math.round(watch.energy / watch.measuredMs),
    max_W: watch.max,
    unmeasured_s: seconds(watch.unmeasuredMs),
  };
}

function stepQuarter(quarter: Quarter | null, input: ComplianceInput, net: Watts | null, elapsed: Millis, events: ComplianceEvent[]): Quarter | null {
  if (input.utc === null) return null;
  const start = input.utc - (input.utc % 900);
  const limit = input.limit.kind === "limit" && REPORTED.includes(input.limit.source) ? input.limit.watts : null;
  let current = quarter;
  if (current !== null && current.start !== start) {
    if (current.measuredMs > 0 && current.limit !== null) {
      events.push({ kind: "quarter", start: current.start, mean_W: Math.round(current.energy / current.measuredMs), measured_s: seconds(current.measuredMs), limit_W: current.limit });
    }
    current = null;
  }
  if (current === null) return { start, energy: 0, measuredMs: 0, limit };
  const tightest = limit === null ? current.limit : current.limit === null ? limit : Math.min(limit, current.limit);
  if (net === null) return tightest === current.limit ? current : { ...current, limit: tightest };
  return { start, energy: current.energy + net * elapsed, measuredMs: current.measuredMs + elapsed, limit: tightest };
}
