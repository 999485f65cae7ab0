import type { LimitSource } from "../limits/limit.js";
import type { Milliamps, Watts } from "../units.js";

/** SG Ready state, contacts 1:2. 1 = blocked 1:0, 2 = normal 0:0, 3 = encouraged 0:1, 4 = forced 1:1. */
export type SgReadyState = 1 | 2 | 3 | 4;

export type Setpoint =
  /** EV: per phase; 0 = off. */
  | { readonly kind: "current"; readonly value: Milliamps }
  /** Battery: charging positive, discharging negative. Heat pump by Modbus: its power limit. */
  | { readonly kind: "power"; readonly value: Watts }
  /** Inverter: production limit, positive. */
  | { readonly kind: "production"; readonly value: Watts }
  | { readonly kind: "sg_ready"; readonly value: SgReadyState };

/** Why a device got what it got. The words are made of it in one place, allocation/reason.ts. */
export type ReasonCode =
  | "asked_in_full"        // nothing binds
  | "limited"              // a limit binds: `limit` names it
  | "below_minimum"        // what is left is below the device's minimum: off
  | "waits_start"          // room for a start is not held long enough yet
  | "waits_off_time"       // minimum off-time
  | "on_time"              // kept on at its minimum by the minimum on-time, within every limit
  | "rising"               // on its way up, 0.2 A/s
  | "overload"             // still over after settling: halved, then off
  | "unused"               // draws clearly less than it may: the rest is handed on
  | "meter_stale" | "meter_never" | "meter_ageing"
  | "offline"
  | "not_wanted"           // no car, battery full
  | "surplus"              // PV surplus raised it
  | "blocked"              // nothing else is left to turn down
  | "block_minimum"        // no longer needed, but a block begun lasts
  | "block_spent"          // needed, but the 24 h budget is out: the pump counts as uncontrolled
  | "block_apart"          // needed, but too soon after the last one
  | "covers_shortage";     // battery discharging into negative headroom

export interface Decision {
  readonly device: string;
  readonly setpoint: Setpoint;
  /** What it would have been given without any limit, in the setpoint's unit. */
  readonly asked: number;
  readonly reason: ReasonCode;
  /** The limit that binds, where one does. */
  readonly limit: LimitSource | null;
}
