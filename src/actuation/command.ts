import type { Setpoint } from "../allocation/decision.js";

/** One contact to move; the order within a list is the order on the terminals. */
export interface ContactMove {
  /** 1 or 2, as printed on the heat pump's SG Ready terminals. */
  readonly contact: 1 | 2;
  readonly value: 0 | 1;
}

/** What leaves the core for a device, by its index in site.devices. */
export type Command =
  | { readonly kind: "write"; readonly device: number; readonly setpoint: Setpoint }
  | { readonly kind: "contacts"; readonly device: number; readonly moves: readonly ContactMove[] };
