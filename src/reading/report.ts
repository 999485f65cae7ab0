import type { Milliamps, Millis, Millivolts, PerPhase, Permille, Watts } from "../units.js";

/** What a device says of itself: the newest poll, made by services/device.ts from its profile. */
export interface DeviceReport {
  /** It answered within DEVICE_OFFLINE_MS, and a poll of its values got through. Contacts without a bus are always online. */
  readonly online: boolean;
  /** When the values below were read, monotonic. */
  readonly at: Millis;
  /** Signed: consumption or charging positive, production or discharging negative. */
  readonly power: Watts | null;
  readonly current: PerPhase<Milliamps | null>;
  readonly voltage: PerPhase<Millivolts | null>;
  /** EV: a car is connected and wants energy. Null where the device does not say. */
  readonly wants: boolean | null;
  readonly stateOfCharge: Permille | null;
  /** What the device says it was told (read-back), in its setpoint's unit; null where not readable. */
  readonly applied: number | null;
  /** A named fault: "read_back_mismatch", "exception_2", "contact_stuck", ...; null when well. */
  readonly fault: string | null;
}

export const SILENT: DeviceReport = {
  online: false, at: 0, power: null, current: [null, null, null], voltage: [null, null, null],
  wants: null, stateOfCharge: null, applied: null, fault: null,
};
