import type { EpochSeconds, Seconds, Watts } from "../units.js";

/** CAPS.md "The token": an event of a cap token. 0 W is the strictest limit, null is none. */
export interface CapEvent {
  /** Lower-case hex of the 4 to 8 id bytes. */
  readonly id: string;
  readonly start: EpochSeconds;
  readonly duration: Seconds;
  readonly importLimit: Watts | null;
  readonly exportLimit: Watts | null;
  /** Flag 1: may spend the heat pump's reserve. */
  readonly emergency: boolean;
  /** Flag 2: the controllable devices together, not the net power at the meter. */
  readonly controllable: boolean;
  /** The operator's wish for D of the release; null = the rule. */
  readonly release: Seconds | null;
}

export type CapChannel = "mqtt" | "p1" | "http" | "file" | "store";

/** A token that passed every rule and whose sequence is stored: the whole state of one (kid, aud). */
export interface AcceptedToken {
  /** Lower-case hex of the 8 kid bytes. */
  readonly kid: string;
  readonly aud: string;
  readonly seq: number;
  readonly iat: EpochSeconds;
  readonly exp: EpochSeconds;
  readonly events: readonly CapEvent[];
  readonly channel: CapChannel;
  /** First 16 hex digits of the SHA-256 of its bytes: its name in the evidence. */
  readonly hash: string;
}
