import type { AcceptedToken, CapEvent } from "../token/cap.js";
import type { EpochSeconds, Millis, Watts } from "../units.js";
import type { Reading } from "../reading/reading.js";
import type { DeviceReport } from "../reading/report.js";
import type { DroopState } from "./droop.js";
import type { ContactState } from "./event.js";
import type { LifeState, Limit, LimitSource } from "./limit.js";
import type { TariffState } from "./tariff.js";
import type { Voltage } from "./voltage.js";

/** What the limits see in one tick. */
export interface LimitsInput {
  /** Null = the clock is not trusted: only tightening is accepted. */
  readonly utc: EpochSeconds | null;
  /** Accepted since the last tick, oldest first. */
  readonly tokens: readonly AcceptedToken[];
  /** In the order of site.inputs; null or missing = unreadable = active. */
  readonly contacts: readonly (boolean | null)[];
  /** The newest known, however old. */
  readonly reading: Reading | null;
  /** Where the reading has no voltage: of the first device that measures one. */
  readonly reports?: readonly DeviceReport[];
  /** The same, worked out already; goes before `reports`. */
  readonly deviceVoltage?: Voltage | null;
}

/** How the instants of a held event came about. */
export type Timing =
  /** From a trusted clock. */
  | "clock"
  /** Counted from the token's arrival, or from the reboot, without a trusted clock. */
  | "arrival"
  /** After a reboot without a clock an event that had yet to begin is taken to begin soon. */
  | "guess";

/** An event of an accepted token with its instants on the monotonic clock. */
export interface HeldEvent {
  readonly event: CapEvent;
  readonly startsAt: Millis;
  readonly endsAt: Millis;
  readonly inForce: boolean;
  readonly timing: Timing;
}

/**
 * What came while the clock was not trusted: it replaces once the clock is. The cap inbox then hands
 * on the token's own events, and those replace in turn.
 */
export interface WaitingToken {
  readonly exp: EpochSeconds;
  readonly events: readonly CapEvent[];
}

/** What one operator key says to one audience. */
export interface Link {
  readonly kid: string;
  /** Only an operator's link keeps the house out of failsafe; an installer's test cap does not. */
  readonly operator: boolean;
  readonly aud: string;
  readonly seq: number;
  readonly exp: EpochSeconds;
  /** exp on the monotonic clock; null = not known yet (after a reboot, or a token without clock). */
  readonly aliveUntil: Millis | null;
  readonly events: readonly HeldEvent[];
  readonly waiting: WaitingToken | null;
}

/** What holds a channel: one event, contact or state of the link. */
export interface Binding {
  readonly watts: Watts;
  readonly source: LimitSource;
  readonly id: string;
  readonly until: EpochSeconds | null;
  readonly since: Millis;
  /** How long it was meant to be; null = open. */
  readonly length: Millis | null;
  /** The operator's wish for D. */
  readonly release: Millis | null;
}

/** A delay at `from`, then a straight line to `to`. */
export interface Rise {
  readonly id: string;
  readonly from: Watts;
  readonly to: Watts;
  readonly begin: Millis;
  readonly delay: Millis;
  readonly ramp: Millis;
  readonly beginUtc: EpochSeconds | null;
}

/** One direction of one scope: what binds it, and how it is being let go. */
export interface Channel {
  /** In force now; null = none. */
  readonly level: Watts | null;
  /** What set the level, kept while it is released. */
  readonly binding: Binding | null;
  /** Towards no cap; runs on unseen below a cap that came meanwhile. */
  readonly release: Rise | null;
  /** Towards a higher cap. */
  readonly raise: Rise | null;
  /** The level in words for others; the same object while nothing changes. */
  readonly limit: Limit;
}

export interface ContactMemory {
  readonly state: ContactState;
  /** Active or unreadable since. */
  readonly since: Millis;
}

/** Plain data: serialises to JSON and back without loss. */
export interface LimitsState {
  /** When the last tick was. */
  readonly at: Millis;
  readonly life: LifeState;
  readonly lifeSince: Millis;
  /** Newest trusted time, or the least it can be; with the monotonic instant it belongs to. */
  readonly clockUtc: EpochSeconds | null;
  readonly clockAt: Millis;
  readonly clockTrusted: boolean;
  /** Trusted at least once in this run: then clockUtc and what has passed since are the time. */
  readonly clockSeen: boolean;
  readonly links: readonly Link[];
  readonly linkAlive: boolean;
  readonly import: Channel;
  readonly export: Channel;
  readonly controllable: Channel;
  readonly production: Channel;
  readonly contacts: readonly ContactMemory[];
  readonly voltageKnown: boolean;
  readonly voltageSince: Millis;
  readonly droopImport: DroopState;
  readonly droopExport: DroopState;
  readonly tariff: TariffState | null;
  /** Records of the store that could not be read; until a token comes no stored link counts. */
  readonly damaged: number;
  /** False until the first tick has told what was restored. */
  readonly announced: boolean;
  /** Grows whenever limitsPersist gives another text: write then, and only then. */
  readonly revision: number;
  /** Time and instant of that growth: the text speaks of then, so that it stands while nothing changes. */
  readonly storedUtc: EpochSeconds | null;
  readonly storedAt: Millis;
}
