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

/** CAPS.md "Who may say what". Caps come from operators, tests from installers, tighter limits from owners. */
export type KeyRole = "operator" | "installer" | "owner" | "maker";

export type CapChannel = "mqtt" | "p1" | "http" | "file" | "store";

/**
 * What binds for one (kid, aud) from now on. services/cap_inbox.ts makes it of a token that passed
 * every rule and whose sequence is stored. The newest one handed on replaces the one before of the
 * same (kid, aud), whole: an event that is missing is cancelled, an empty list means no cap.
 *
 * `clockTrusted` false: there was no trusted clock, so `start` and `exp` cannot be compared with
 * now. Nothing was relaxed: `events` is then the token's own events together with those that were
 * held before and that it does not tighten (up to 2 x TOKEN_EVENTS_MAX; where the scopes differ an
 * id may stand there twice). Count each event's duration from the moment this object arrives; what
 * starts later than `exp` cannot have begun at arrival and begins `start - exp` after it. As soon as
 * the clock is trusted, the same token is handed on again with `clockTrusted` true and its own
 * events: that one replaces this one.
 *
 * The same union is handed on, with `clockTrusted` as it is, while the store cannot be written.
 */
export interface AcceptedToken {
  /** Lower-case hex of the 8 kid bytes. */
  readonly kid: string;
  /** Whose word it is. Only an operator's token keeps the link to the operator alive. */
  readonly role: KeyRole;
  readonly aud: string;
  readonly seq: number;
  readonly iat: EpochSeconds;
  /** The sender's promise to speak again before this. A restored token may be past it. */
  readonly exp: EpochSeconds;
  readonly events: readonly CapEvent[];
  readonly clockTrusted: boolean;
  /** "store": restored at boot; the channel it once came by is in the evidence. */
  readonly channel: CapChannel;
  /** First 16 hex digits of the SHA-256 of its bytes: its name in the evidence. */
  readonly hash: string;
}
