/**
 * Physical units as branded integers. The brand is optional, so arithmetic needs no casts, yet a
 * value of one unit never passes for another: `const w: Watts = someMilliamps` does not compile.
 *
 * Sign convention, everywhere: power and current are positive into the house (import, consumption,
 * charging) and negative out of it (export, production, discharging).
 *
 * A value that is absent is `null`, never 0: zero is a measurement, or the strictest limit.
 */
declare const unit: unique symbol;
type Unit<Name extends string> = number & { readonly [unit]?: Name };

export type Watts = Unit<"W">;
export type WattHours = Unit<"Wh">;
export type Milliamps = Unit<"mA">;
export type Millivolts = Unit<"mV">;
/** A duration, or an instant on the monotonic clock (milliseconds since the controller started). */
export type Millis = Unit<"ms">;
export type Seconds = Unit<"s">;
/** Seconds since 1970-01-01T00:00:00Z, UTC. */
export type EpochSeconds = Unit<"epoch s">;
/** Thousandths. */
export type Permille = Unit<"‰">;

/** L1, L2, L3. A single-phase connection uses L1. */
export type PerPhase<T> = readonly [T, T, T];
