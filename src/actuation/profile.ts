/**
 * A device profile is data: where the maker's register document puts each quantity, and how it is
 * written. Users may define their own in site.json, so every field is documented in
 * docs/profiles.md and checked by services/site_config.ts.
 */
export type RegisterType = "u16" | "i16" | "u32" | "i32" | "u64" | "f32" | "string";

export interface Register {
  readonly table: "holding" | "input" | "coil";
  /** As on the wire, from 0. A SunSpec register counts from the model's first register (its ID). */
  readonly address: number;
  readonly type: RegisterType;
  /** Registers of a string; otherwise follows from the type. */
  readonly length?: number;
  /** Most significant word first ("big", Modbus' habit) or last ("little"). */
  readonly wordOrder?: "big" | "little";
  /** value = raw x 10^scale, in the quantity's base unit before our milli-units. Default 0. */
  readonly scale?: number;
  /** SunSpec: register of the scale factor, counted from the model's start. */
  readonly scaleRegister?: number;
  /** SunSpec model the address is counted from; absent = absolute. */
  readonly model?: number;
  /** Raw values that mean "not implemented". */
  readonly absent?: readonly number[];
  /** The maker counts the other way round (charging negative, export positive, ...). */
  readonly negate?: boolean;
  /** Raw values that mean yes, for `wants` and other two-valued quantities. */
  readonly trueWhen?: readonly number[];
}

/** Quantities a profile may read. Amperes, volts, watts, percent, watt-hours; made milli by us. */
export type Quantity =
  | "current_l1" | "current_l2" | "current_l3"
  | "voltage_l1" | "voltage_l2" | "voltage_l3"
  | "power" | "power_l1" | "power_l2" | "power_l3"
  | "state_of_charge" | "wants" | "imported" | "exported";

/** One register of a write. The value is the setpoint in base units, or a constant. */
export interface RegisterWrite extends Register {
  /** Constant raw value written beside the setpoint (enable bit, mode). */
  readonly constant?: number;
  /** The setpoint as a percentage of `percentOf` (from the site: rated power), in percent. */
  readonly percent?: boolean;
  /** Write only when the setpoint is (not) zero: on/off commands of some makers. */
  readonly when?: "zero" | "not_zero";
}

export interface Profile {
  readonly id: string;
  readonly maker: string;
  readonly models: string;
  /** The maker's register document, its version or date, and pages. */
  readonly document: string;
  readonly kind: "ev" | "battery" | "inverter" | "heat_pump" | "meter" | "relay";
  /** Modbus unit identifier out of the box. */
  readonly unit: number;
  readonly read: Readonly<Partial<Record<Quantity, Register>>>;
  /** Written in this order, lowest effect first where the maker asks for an enable. */
  readonly write: readonly RegisterWrite[];
  /** Where the setpoint is read back from; absent = the written register. Null = not readable. */
  readonly readBack?: Register | null;
  /** Unit of the setpoint on the wire. */
  readonly setpoint?: "A" | "W" | "state";
  readonly minimum?: number;
  readonly maximum?: number;
  readonly step?: number;
  /** The device's own fallback: seconds of silence until it falls to `to` (base units). */
  readonly watchdog?: { readonly register: Register | null; readonly seconds: number; readonly fallback: Register | null; readonly to: number };
}
