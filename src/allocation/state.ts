import type { Commanded } from "../budget/commanded.js";
import type { Millis } from "../units.js";
import type { Decision } from "./decision.js";
import type { SgState } from "./sg_budget.js";

/** What is remembered of a device between ticks. */
export interface DeviceState extends Commanded {
  /** Above zero since; null = not. */
  readonly onSince: Millis | null;
  /** Commanded off since; null = not since power-on. */
  readonly offSince: Millis | null;
  /** Room for a start since; null = none. */
  readonly startSince: Millis | null;
  /** Headroom for a rise since, and the least of it since then. */
  readonly riseSince: Millis | null;
  readonly riseTo: number;
  /** Draws clearly less than it may since; null = does not. */
  readonly unusedSince: Millis | null;
  /** Found not to follow its setpoint: no more than this until then. */
  readonly derateTo: number | null;
  readonly derateUntil: Millis;
}

export interface AllocationState {
  /** Indices of site.devices by priority, then by place: the order in which they are served. */
  readonly order: readonly number[];
  /** In the order of site.devices. */
  readonly commanded: readonly DeviceState[];
  /** In the order of site.devices; null where it is no SG Ready heat pump. */
  readonly sg: readonly (SgState | null)[];
  /** Measured above a limit since; null = not. */
  readonly overSince: Millis | null;
  /** UTC in ms less the monotonic clock; null while no clock is trusted. */
  readonly utcOffset: number | null;
  readonly decisions: readonly Decision[];
}
