import type { EpochSeconds, Milliamps, Millis, Millivolts, PerPhase, WattHours, Watts } from "../units.js";

/** One plausible measurement of the connection, from a P1 telegram or a Modbus meter. */
export interface Reading {
  readonly source: "p1" | "modbus";
  /** Arrival of its last byte, on the monotonic clock. */
  readonly at: Millis;
  /** How often this meter speaks: 1,000 or 10,000 ms for P1, the poll period for Modbus. */
  readonly period: Millis;
  /** Net power at the meter; import positive, export negative. */
  readonly net: Watts;
  /** Signed, per phase; null where the meter gives none (DSMR 2.2/3.0: all null). */
  readonly power: PerPhase<Watts | null>;
  /** Signed like power: the meter's unsigned amperes with the sign of the phase's power. */
  readonly current: PerPhase<Milliamps | null>;
  /** True where amperes are whole (NL), false at 0.01 A (BE) or Modbus. */
  readonly currentWhole: boolean;
  readonly voltage: PerPhase<Millivolts | null>;
  readonly imported: WattHours | null;
  readonly exported: WattHours | null;
  /** Running quarter-hour mean import (BE 1-0:1.4.0), else null. */
  readonly quarterAverage: Watts | null;
  /** Month peak (BE 1-0:1.6.0), else null. */
  readonly monthPeak: Watts | null;
  /** The meter's own clock in UTC, null where absent or not a date. */
  readonly meterTime: EpochSeconds | null;
}
