import type { EpochSeconds, Millis, Millivolts, Watts } from "../units.js";
import type { LifeState } from "./limit.js";

/** The four things that can be limited; each has its own release. */
export type Scope = "import" | "export" | "controllable" | "production";

/** A cap event as the evidence names it. */
export interface CapFacts {
  readonly id: string;
  readonly kid: string;
  readonly aud: string;
  readonly importLimit: Watts | null;
  readonly exportLimit: Watts | null;
  readonly start: EpochSeconds;
  readonly end: EpochSeconds;
}

/** What happened to the limits in one tick: the links of the evidence chain (CAPS, "Proof"). */
export type LimitsEvent =
  /** First tick after a start: what the store gave back, and how many of its records were unreadable. */
  | { readonly kind: "restored"; readonly links: number; readonly damaged: number }
  | { readonly kind: "state"; readonly from: LifeState; readonly to: LifeState }
  | { readonly kind: "link"; readonly alive: boolean }
  | { readonly kind: "clock"; readonly trusted: boolean }
  /**
   * A token's state was taken over. `tightening_only`: the clock is not trusted, so it adds to what
   * binds and replaces nothing until the clock is trusted. `old`: a newer one is held; no change.
   */
  | {
      readonly kind: "token";
      readonly kid: string;
      readonly aud: string;
      readonly seq: number;
      readonly hash: string;
      readonly effect: "replaces" | "tightening_only" | "old";
    }
  | { readonly kind: "cap_scheduled" | "cap_in_force" | "cap_replaced" | "cap_cancelled" | "cap_ended"; readonly cap: CapFacts }
  | {
      /** release: to no cap. raise: to a higher one. */
      readonly kind: "release_begins" | "raise_begins";
      readonly scope: Scope;
      readonly id: string;
      readonly from: Watts;
      readonly to: Watts;
      readonly delay: Millis;
      readonly ramp: Millis;
    }
  | { readonly kind: "release_ends" | "raise_ends"; readonly scope: Scope; readonly id: string }
  | { readonly kind: "contact"; readonly id: string; readonly state: ContactState }
  | { readonly kind: "voltage"; readonly known: boolean }
  | {
      readonly kind: "droop_begins" | "droop_trips" | "droop_ends";
      readonly direction: "import" | "export";
      readonly voltage: Millivolts;
    };

/** "unreadable" limits like "active". */
export type ContactState = "inactive" | "active" | "unreadable";
