import type { Milliamps, Millis, Millivolts, PerPhase, Watts } from "../units.js";

/** "never": no telegram since power-on. "ageing": no rise. "stale": safe values. */
export type Freshness = "fresh" | "ageing" | "stale" | "never";

/** What may be handed out to the controlled devices, and what it is made of. */
export interface Budget {
  readonly freshness: Freshness;
  /** Uncontrolled load, peak-held: what the house draws beside the controlled devices. Signed. */
  readonly held: { readonly watts: Watts; readonly milliamps: PerPhase<Milliamps> };
  /** The same without peak-hold, for the page, for surplus and for SG Ready blocks. */
  readonly uncontrolled: { readonly watts: Watts; readonly milliamps: PerPhase<Milliamps> };
  /** Import limit - held - margin; null where no import limit binds. May be negative. */
  readonly headroom: Watts | null;
  /** Fuse - margin - held, per phase; on a phase without current or voltage, from power. */
  readonly headroomPhase: PerPhase<Milliamps>;
  /** For the controllable devices together: the limit and the PV surplus; null where none binds. */
  readonly headroomControllable: Watts | null;
  /** Export limit - (export of what we do not control) - margin; null where none binds. */
  readonly headroomExport: Watts | null;
  /** Fuse - margin - held export of what we do not control, per phase: room to feed in. */
  readonly headroomPhaseExport: PerPhase<Milliamps>;
  /** Production limit of the controllable inverters and batteries together; null where none binds. */
  readonly headroomProduction: Watts | null;
  /** Measured, from the meter or a device. Where nobody measures, the highest EN 50160 allows: it makes watts of amperes. */
  readonly voltage: PerPhase<Millivolts>;
  /** The same, but the lowest where nobody measures: it makes amperes of watts. */
  readonly voltageLow: PerPhase<Millivolts>;
  /** The newest reading above its limit, by how much; negative = below. Null where none binds. */
  readonly excess: { readonly watts: Watts | null; readonly milliamps: PerPhase<Milliamps> };
  /** How long after a command a device and this meter need to show it. */
  readonly settle: Millis;
}
