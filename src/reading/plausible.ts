/**
 * Is this measurement one that the connection can have? One in 65,536 corrupted telegrams passes its
 * CRC, and an old meter sends none, so a reading is held against the fuse, the sum of its phases and
 * the one before it (METER, last paragraph). A refusal names its rule and is never for good: what
 * the next telegram confirms is believed.
 */
import {
  CURRENT_ROUNDING_MA, ENERGY_STEP_SLACK_WH, PHASE_SUM_MISSES_MAX, PHASE_SUM_TOLERANCE_PERCENT, PHASE_SUM_TOLERANCE_W,
  PLAUSIBLE_FUSE_PERCENT, PLAUSIBLE_STEP_PERCENT, PLAUSIBLE_VOLTAGE_MAX_MV, PLAUSIBLE_VOLTAGE_MV, STALE_SAFE_PERIODS, VOLTAGE_PRESENT_MIN_MV,
} from "../constants.js";
import type { Connection } from "../site.js";
import type { Millis, WattHours, Watts } from "../units.js";
import type { Reading } from "./reading.js";

export type ImplausibleRule =
  | "over_fuse" // power or current beyond what the fuse lets through
  | "phase_sum" // the phases do not add up to the total
  | "phase_power" // a phase's power is more than its volts and amperes
  | "voltage" // above PLAUSIBLE_VOLTAGE_MAX_MV
  | "step" // a leap since the last reading, without phases that would confirm it
  | "energy_step"; // a register went back, or ahead of what the fuse allows

export interface PlausibleState {
  /** Of the last believed reading. */
  readonly last: Mark | null;
  /** The reading objected to just before: the next one that is like it is believed. */
  readonly doubted: Doubted | null;
  /** Telegrams whose phases did not add up, less those whose did; at most 2 × PHASE_SUM_MISSES_MAX. */
  readonly sumMisses: number;
}

interface Mark {
  readonly at: Millis;
  readonly net: Watts;
  readonly imported: WattHours | null;
  readonly exported: WattHours | null;
}

interface Doubted extends Mark, Objection {}

export const PLAUSIBLE_START: PlausibleState = { last: null, doubted: null, sumMisses: 0 };

/** Null rule: believed. `misfit`, in the rule's own unit (W, mA, mV or Wh), is what gave offence. */
export interface Verdict {
  readonly state: PlausibleState;
  readonly rule: ImplausibleRule | null;
  readonly misfit: number;
}

interface Objection {
  readonly rule: ImplausibleRule;
  readonly misfit: number;
}

export function judge(state: PlausibleState, reading: Reading, connection: Connection): Verdict {
  const sum = phaseSum(reading, connection);
  const sumFails = sum !== null && Math.abs(sum - reading.net) > tolerance(sum, reading.net);
  const sumMisses = sum === null ? state.sumMisses : sumFails ? Math.min(state.sumMisses + 1, 2 * PHASE_SUM_MISSES_MAX) : Math.max(state.sumMisses - 1, 0);
  const sumCounts = state.sumMisses < PHASE_SUM_MISSES_MAX;

  const objection = limits(reading, connection)
    ?? (sumFails && sumCounts ? { rule: "phase_sum" as const, misfit: sum - reading.net } : null)
    ?? phasePower(reading)
    ?? (sum === null || sumFails ? step(state.last, reading, connection) : null)
    ?? energyStep(state.last, reading, connection);

  const mark: Mark = { at: reading.at, net: reading.net, imported: reading.imported, exported: reading.exported };
  if (objection === null) return { state: { last: mark, doubted: null, sumMisses }, rule: null, misfit: 0 };
  // Kept also once it is believed: a fuse entered too small must not cost every other reading.
  const doubted = { ...mark, ...objection };
  if (confirmed(state.doubted, objection, reading, connection)) return { state: { last: mark, doubted, sumMisses }, rule: null, misfit: 0 };
  return { state: { last: state.last, doubted, sumMisses }, ...objection };
}

/** What the connection can carry in all, a fuse being no cliff: PLAUSIBLE_FUSE_PERCENT of its rating. */
function powerMax(connection: Connection): Watts {
  return percent(capacity(connection), PLAUSIBLE_FUSE_PERCENT);
}

/** The fuse's own power, on all phases. A 3 × 230 V net carries less: the bound is then wider, not wrong. */
function capacity(connection: Connection): Watts {
  return connection.phases * watts(PLAUSIBLE_VOLTAGE_MV, connection.fuse);
}

function limits(reading: Reading, connection: Connection): Objection | null {
  const most = powerMax(connection);
  if (Math.abs(reading.net) > most) return { rule: "over_fuse", misfit: reading.net };
  if (reading.quarterAverage !== null && reading.quarterAverage > most) return { rule: "over_fuse", misfit: reading.quarterAverage };
  if (reading.monthPeak !== null && reading.monthPeak > most) return { rule: "over_fuse", misfit: reading.monthPeak };
  const currentMax = percent(connection.fuse, PLAUSIBLE_FUSE_PERCENT);
  const phaseMax = watts(PLAUSIBLE_VOLTAGE_MV, currentMax);
  for (let phase = 0; phase < 3; phase++) {
    const current = reading.current[phase]!;
    const power = reading.power[phase]!;
    const voltage = reading.voltage[phase]!;
    if (current !== null && Math.abs(current) > currentMax) return { rule: "over_fuse", misfit: current };
    if (power !== null && Math.abs(power) > phaseMax) return { rule: "over_fuse", misfit: power };
    if (voltage !== null && voltage > PLAUSIBLE_VOLTAGE_MAX_MV) return { rule: "voltage", misfit: voltage };
  }
  return null;
}

/** Null where a phase is missing, and on 3 × 230 V, where two wattmeters measure three wires. */
function phaseSum(reading: Reading, connection: Connection): Watts | null {
  if (connection.delta || reading.power[0] === null) return null;
  let sum = 0;
  for (let phase = 0; phase < 3; phase++) {
    const power = reading.power[phase]!;
    if (power === null && phase < connection.phases) return null;
    sum += power ?? 0;
  }
  return sum;
}

function tolerance(a: Watts, b: Watts): Watts {
  return Math.max(PHASE_SUM_TOLERANCE_W, percent(Math.max(Math.abs(a), Math.abs(b)), PHASE_SUM_TOLERANCE_PERCENT));
}

/** |P| ≤ V · I per phase, with room for whole amperes and for values that are not sampled together. */
function phasePower(reading: Reading): Objection | null {
  for (let phase = 0; phase < 3; phase++) {
    const power = reading.power[phase]!;
    const current = reading.current[phase]!;
    const voltage = reading.voltage[phase]!;
    if (power === null || current === null || voltage === null || voltage < VOLTAGE_PRESENT_MIN_MV) continue;
    const most = watts(voltage, Math.abs(current) + (reading.currentWhole ? 2 * CURRENT_ROUNDING_MA : CURRENT_ROUNDING_MA));
    if (Math.abs(power) > most + tolerance(power, most)) return { rule: "phase_power", misfit: power };
  }
  return null;
}

function step(last: Mark | null, reading: Reading, connection: Connection): Objection | null {
  if (last === null || reading.at - last.at >= STALE_SAFE_PERIODS * reading.period) return null;
  const change = reading.net - last.net;
  return Math.abs(change) > percent(capacity(connection), PLAUSIBLE_STEP_PERCENT) ? { rule: "step", misfit: change } : null;
}

function energyStep(last: Mark | null, reading: Reading, connection: Connection): Objection | null {
  if (last === null) return null;
  const misfit = registerMisfit(last.imported, reading.imported, reading.at - last.at, connection)
    ?? registerMisfit(last.exported, reading.exported, reading.at - last.at, connection);
  return misfit === null ? null : { rule: "energy_step", misfit };
}

function registerMisfit(before: WattHours | null, after: WattHours | null, elapsed: Millis, connection: Connection): WattHours | null {
  if (before === null || after === null) return null;
  const change = after - before;
  const most = Math.trunc(powerMax(connection) * (elapsed / 3_600_000)) + ENERGY_STEP_SLACK_WH;
  return change < 0 || change > most ? change : null;
}

/** This telegram says what the one before said, and gives the same offence: it is the house, not the line. */
function confirmed(doubted: Doubted | null, objection: Objection, reading: Reading, connection: Connection): boolean {
  if (doubted === null || doubted.rule !== objection.rule) return false;
  if (Math.abs(reading.net - doubted.net) > tolerance(reading.net, doubted.net)) return false;
  if (objection.rule === "energy_step") return energyStep(doubted, reading, connection) === null;
  // In the rule's own unit, so without the slack in watts.
  const larger = Math.max(Math.abs(objection.misfit), Math.abs(doubted.misfit));
  return Math.abs(objection.misfit - doubted.misfit) <= percent(larger, PHASE_SUM_TOLERANCE_PERCENT);
}

const percent = (value: number, part: number): number => Math.trunc((value * part) / 100);

/** mV · mA → W. */
const watts = (millivolts: number, milliamps: number): Watts => Math.trunc((millivolts * milliamps) / 1_000_000);
