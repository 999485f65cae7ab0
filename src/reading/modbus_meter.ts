/** A Modbus meter's quantities → one plausible Reading, by the same rules as a telegram's. Pure. */
import type { Connection } from "../site.js";
import type { Milliamps, Millis, Millivolts, PerPhase, WattHours, Watts } from "../units.js";
import type { ReadingResult } from "./p1_meter.js";
import { judge, type PlausibleState } from "./plausible.js";

/** What a poll gave, in our units and signs (import positive); null where the meter has it not. */
export interface MeterQuantities {
  readonly at: Millis;
  /** Poll period. */
  readonly period: Millis;
  /** Total; null = the sum of the phases. */
  readonly net: Watts | null;
  readonly power: PerPhase<Watts | null>;
  /** Signed or not: the sign is taken from the phase's power. */
  readonly current: PerPhase<Milliamps | null>;
  readonly voltage: PerPhase<Millivolts | null>;
  readonly imported: WattHours | null;
  readonly exported: WattHours | null;
}

export function modbusReading(state: PlausibleState, given: MeterQuantities, connection: Connection): { state: PlausibleState; result: ReadingResult } {
  const net = given.net ?? sumOf(given.power, connection);
  if (net === null) return { state, result: { kind: "refused", rule: "no_power", misfit: 0, at: given.at } };
  const current = (phase: 0 | 1 | 2): Milliamps | null => {
    const value = given.current[phase];
    const power = given.power[phase];
    if (value === null || power === null) return value;
    return power < 0 ? (value === 0 ? 0 : -Math.abs(value)) : Math.abs(value);
  };
  const reading = {
    source: "modbus" as const, at: given.at, period: given.period, net, power: given.power,
    current: [current(0), current(1), current(2)] as const, currentWhole: false, voltage: given.voltage,
    imported: given.imported, exported: given.exported, quarterAverage: null, monthPeak: null, meterTime: null,
  };
  const verdict = judge(state, reading, connection);
  return {
    state: verdict.state,
    result: verdict.rule === null
      ? { kind: "reading", reading }
      : { kind: "refused", rule: verdict.rule, misfit: verdict.misfit, at: given.at },
  };
}

/** Null where a phase of the connection is missing: a part of the house is not the house. */
function sumOf(power: PerPhase<Watts | null>, connection: Connection): Watts | null {
  let sum: Watts = 0;
  for (let phase = 0; phase < connection.phases; phase++) {
    const one = power[phase]!;
    if (one === null) return null;
    sum += one;
  }
  return sum;
}
