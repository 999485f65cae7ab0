import type { EpochSeconds, Milliamps, PerPhase, Watts } from "../units.js";

/** Where a limit comes from. The order is the one in which equals are reported. */
export type LimitSource =
  | "cap" | "release" | "contact" | "failsafe" | "start" | "voltage" | "tariff" | "owner" | "static" | "connection" | "fuse";

/** A limit is `none` or a number with its source and reason. 0 is a number, the strictest. */
export type Limit =
  | { readonly kind: "none" }
  | {
      readonly kind: "limit";
      readonly watts: Watts;
      readonly source: LimitSource;
      /** Which one of that source: event id, input id; "" where there is only one. */
      readonly id: string;
      /** When it ends, where that is known. */
      readonly until: EpochSeconds | null;
    };

export const NO_LIMIT: Limit = { kind: "none" };

export type LifeState = "start" | "controlled" | "limited" | "failsafe" | "autonomous";

/** An event that has yet to begin: what will bind, and when, is known beforehand and shown. */
export interface UpcomingCap {
  readonly id: string;
  readonly start: EpochSeconds;
  readonly end: EpochSeconds;
  readonly importLimit: Watts | null;
  readonly exportLimit: Watts | null;
}

/** What binds now, per scope and direction, each the tightest with its source. */
export interface Limits {
  readonly state: LifeState;
  /** Net import at the meter. */
  readonly import: Limit;
  /** Net export at the meter, as a positive number of watts. */
  readonly export: Limit;
  /** Consumption of the controllable devices together (section 14a, voltage droop). */
  readonly controllable: Limit;
  /** Production of the controllable inverters and batteries together (voltage droop, relays). */
  readonly production: Limit;
  /** Fuse less its margin, per phase, both directions. Phases that do not exist are 0. */
  readonly fuse: PerPhase<Milliamps>;
  /** An emergency event is in force: the heat pump's reserve may be spent. */
  readonly emergency: boolean;
  readonly next: UpcomingCap | null;
  /** Every limit that was weighed for import, for the page; the tightest is `import`. */
  readonly weighed: readonly Limit[];
}
