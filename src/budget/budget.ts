import type { Milliamps, PerPhase, Watts } from "../units.js";

/** "never": no telegram since power-on. "ageing": no rise. "stale": safe values. */
export type Freshness = "fresh" | "ageing" | "stale" | "never";

/** What may be handed out to the controlled devices, and what it is made of. */
export interface Budget {
  readonly freshness: Freshness;
  /** Uncontrolled load, peak-held: what the house draws beside the controlled devices. Signed. */
  readonly held: { readonly watts: Watts; readonly milliamps: PerPhase<Milliamps> };
  /** The same without peak-hold, for the page and for surplus. */
  readonly uncontrolled: { readonly watts: Watts; readonly milliamps: PerPhase<Milliamps> };
  /** Import limit - held - margin; null where no import limit binds. May be negative. */
  readonly headroom: Watts | null;
  /** Fuse - margin - held, per phase; on a phase without current or voltage, from power. */
  readonly headroomPhase: PerPhase<Milliamps>;
  /** For the controllable devices together; null where no such limit binds. */
  readonly headroomControllable: Watts | null;
  /** Export limit - (export of what we do not control) - margin; null where none binds. */
  readonly headroomExport: Watts | null;
  /** Production limit of the controllable inverters and batteries together; null where none binds. */
  readonly headroomProduction: Watts | null;
}
