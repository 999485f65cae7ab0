import {
  HEADROOM_MARGIN_W, SETTLE_DSMR4_MS, SETTLE_DSMR5_MS, SETTLE_FAST_PERIOD_MS, STALE_NO_RISE_PERIODS, STALE_SAFE_PERIODS,
} from "../constants.js";
import type { Limit, Limits } from "../limits/limit.js";
import type { Reading } from "../reading/reading.js";
import type { DeviceReport } from "../reading/report.js";
import type { Site } from "../site.js";
import type { Millis, PerPhase } from "../units.js";
import type { Budget, Freshness } from "./budget.js";
import type { Commanded } from "./commanded.js";
import { controlledDraw, type Controlled } from "./controlled.js";
import { highestVoltage, lowestVoltage, measuredVoltage, phaseCurrent, phasePower } from "./measured.js";
import { peakHold, peakStart, type PeakHold } from "./peak_hold.js";

export interface BudgetInput {
  /** The newest known reading, which may be old; null = none since power-on. */
  readonly reading: Reading | null;
  /** True where it came since the last tick. */
  readonly fresh: boolean;
  readonly limits: Limits;
  readonly reports: readonly DeviceReport[];
  /** What the devices were told before this tick, in the order of site.devices. */
  readonly commanded: readonly Commanded[];
}

/**
 * Eight quantities in one order: import W, L1, L2, L3 mA of the uncontrolled load, then export W,
 * L1, L2, L3 mA of what is neither our inverter nor our battery. Exports count positive, so that a
 * held peak is the strict side of each.
 */
export interface BudgetState {
  readonly raw: readonly number[];
  /** Null until the first reading. */
  readonly peaks: PeakHold | null;
}

/** Null where nobody measures; there, what EN 50160 allows at most and at least. */
interface Volts {
  readonly known: PerPhase<number | null>;
  readonly high: PerPhase<number>;
  readonly low: PerPhase<number>;
}

export function budgetStart(_site: Site): BudgetState {
  return { raw: zeros(), peaks: null };
}

/** CONTROL.md, "Uncontrolled load": limit − what we do not control = what may be handed out. */
export function budgetTick(site: Site, state: BudgetState, input: BudgetInput, now: Millis): { state: BudgetState; budget: Budget } {
  const { reading, limits } = input;
  const settle = reading === null || reading.period <= SETTLE_FAST_PERIOD_MS ? SETTLE_DSMR5_MS : SETTLE_DSMR4_MS;
  const known: PerPhase<number | null> = [
    measuredVoltage(reading, input.reports, 0), measuredVoltage(reading, input.reports, 1), measuredVoltage(reading, input.reports, 2),
  ];
  const highest = highestVoltage(site);
  const lowest = lowestVoltage(site);
  const voltage: Volts = {
    known,
    high: [known[0] ?? highest, known[1] ?? highest, known[2] ?? highest],
    low: [known[0] ?? lowest, known[1] ?? lowest, known[2] ?? lowest],
  };

  const currents = currentsOf(site, reading, known);
  let raw = state.raw;
  if (reading !== null && (input.fresh || state.peaks === null)) {
    const draw = controlledDraw(site, input.reports, input.commanded, voltage.low, voltage.high, settle, now);
    raw = uncontrolled(site, reading, draw, voltage, currents);
  }
  const next: BudgetState = reading === null ? state : { raw, peaks: state.peaks === null ? peakStart(raw, now) : peakHold(state.peaks, raw, now) };
  return { state: next, budget: assess(next, reading, limits, voltage, currents, settle, now) };
}

/** As they are counted against the fuse; null where a phase has no value or is not there. */
function currentsOf(site: Site, reading: Reading | null, known: PerPhase<number | null>): PerPhase<number | null> {
  if (reading === null) return NO_CURRENTS;
  const first = phaseCurrent(site, reading, 0, known[0], 1);
  if (site.connection.phases === 1) return [first, null, null];
  return [first, phaseCurrent(site, reading, 1, known[1], 1), phaseCurrent(site, reading, 2, known[2], 1)];
}

const NO_CURRENTS: PerPhase<null> = [null, null, null];

/** Measured minus controlled, per phase and in watts, in the order of BudgetState. */
function uncontrolled(site: Site, reading: Reading, draw: Controlled, { known, low, high }: Volts, currents: PerPhase<number | null>): number[] {
  const out = zeros();
  out[0] = reading.net - draw.watts;
  out[4] = draw.sourceWatts - reading.net;
  // What the phases without any value carry together, should there be such.
  let rest = reading.net;
  let sourceRest = -reading.net;
  let blind = 0;
  for (let phase = 0; phase < site.connection.phases; phase++) {
    const at = phase as 0 | 1 | 2;
    const current = currents[at];
    if (current === null) {
      blind += 1;
      rest -= draw.wattsPhase[at]!;
      sourceRest += draw.sourceWattsPhase[at]!;
      continue;
    }
    const power = phasePower(site, reading, at) ?? Math.trunc((current * low[at]) / 1_000_000);
    rest -= power;
    sourceRest += power;
    out[1 + at] = current - draw.milliamps[at]!;
    out[5 + at] = draw.sourceMilliamps[at]! - (phaseCurrent(site, reading, at, known[at], -1) ?? current);
  }
  if (blind === 0) return out;
  // Only the net is known (DSMR 2.2/3.0, or a phase that is not told): the whole of it may run
  // through each of them, and one may draw while another feeds in.
  for (let phase = 0; phase < site.connection.phases; phase++) {
    const at = phase as 0 | 1 | 2;
    if (currents[at] !== null) continue;
    const most = blind === 1 ? rest : Math.max(0, rest);
    const sourceMost = blind === 1 ? sourceRest : Math.max(0, sourceRest);
    out[1 + at] = Math.ceil((most * 1_000_000) / (most > 0 ? low[at] : high[at]));
    out[5 + at] = Math.ceil((sourceMost * 1_000_000) / (sourceMost > 0 ? low[at] : high[at]));
  }
  return out;
}

function assess(
  state: BudgetState, reading: Reading | null, limits: Limits, volts: Volts, currents: PerPhase<number | null>, settle: Millis, now: Millis,
): Budget {
  const { raw } = state;
  const held = state.peaks === null ? raw : state.peaks.held;
  const fuse = limits.fuse;
  // PV that is used at the moment adds room: what the rest of the house would else feed in.
  const surplus = Math.max(0, -held[0]!);
  const importLimit = watts(limits.import);
  const exportLimit = watts(limits.export);
  const controllable = watts(limits.controllable);
  return {
    freshness: freshness(reading, now),
    held: { watts: held[0]!, milliamps: [held[1]!, held[2]!, held[3]!] },
    uncontrolled: { watts: raw[0]!, milliamps: [raw[1]!, raw[2]!, raw[3]!] },
    headroom: importLimit === null ? null : importLimit - held[0]! - HEADROOM_MARGIN_W,
    headroomPhase: [fuse[0] - held[1]!, fuse[1] - held[2]!, fuse[2] - held[3]!],
    headroomControllable: controllable === null ? null : controllable + surplus,
    headroomExport: exportLimit === null ? null : exportLimit - held[4]! - HEADROOM_MARGIN_W,
    headroomPhaseExport: [fuse[0] - held[5]!, fuse[1] - held[6]!, fuse[2] - held[7]!],
    headroomProduction: watts(limits.production),
    voltage: volts.high,
    voltageLow: volts.low,
    // How far the newest reading draws above each; a phase without a value is not known to.
    excess: {
      watts: importLimit === null || reading === null ? null : reading.net - importLimit,
      milliamps: [(currents[0] ?? 0) - fuse[0], (currents[1] ?? 0) - fuse[1], (currents[2] ?? 0) - fuse[2]],
    },
    settle,
  };
}

/** At 10 periods the values are safe, so that they are within them (RELIABILITY, deadlines). */
function freshness(reading: Reading | null, now: Millis): Freshness {
  if (reading === null) return "never";
  const age = now - reading.at;
  if (age >= STALE_SAFE_PERIODS * reading.period) return "stale";
  return age >= STALE_NO_RISE_PERIODS * reading.period ? "ageing" : "fresh";
}

function watts(limit: Limit): number | null {
  return limit.kind === "none" ? null : limit.watts;
}

function zeros(): number[] {
  return [0, 0, 0, 0, 0, 0, 0, 0];
}
