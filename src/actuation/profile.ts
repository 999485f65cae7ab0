/**
 * A device profile is data: where the maker's register document puts each quantity, and how it is
 * written. Users may define their own in site.json, so every field is documented in
 * docs/profiles.md and checked by services/site_config.ts. What is done with them: registers.ts.
 */
export type RegisterType = "u16" | "i16" | "u32" | "i32" | "u64" | "f32" | "f64" | "string";
export type RegisterTable = "holding" | "input" | "coil";

export interface Register {
  readonly table: RegisterTable;
  /** As on the wire, from 0. A SunSpec register counts from the model's first register (its ID). */
  readonly address: number;
  readonly type: RegisterType;
  /** Registers of a string; otherwise follows from the type. */
  readonly length?: number;
  /** Most significant word first ("big", Modbus' habit) or last ("little"). */
  readonly wordOrder?: "big" | "little";
  /** value = raw x 10^scale, in the quantity's base unit before our milli-units. Default 0. */
  readonly scale?: number;
  /** SunSpec: register of the scale factor (sunssf), counted from the model's start. Adds to `scale`. */
  readonly scaleRegister?: number;
  /** SunSpec model the address is counted from, or several of one layout of which a device has one; absent = absolute. */
  readonly model?: number | readonly number[];
  /** Raw values that mean "not implemented", unsigned as read. NaN always does. */
  readonly absent?: readonly number[];
  /** The maker counts the other way round (charging negative, export positive, ...). */
  readonly negate?: boolean;
  /** Raw values that mean yes, for `wants` and other two-valued quantities. */
  readonly trueWhen?: readonly number[];
  /** Bits of the raw value that `trueWhen` looks at; absent = all. Up to 31 bits. */
  readonly mask?: number;
  /** For a string: beginnings that mean yes ("B", "C" of an IEC 61851 state). */
  readonly trueWhenText?: readonly string[];
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
  /** The setpoint in percent of `percentOf`, or of the site's rated power where that is absent. */
  readonly percent?: boolean;
  /** Where the device itself says what 100 % is, in watts. */
  readonly percentOf?: Register;
  /** The setpoint is spread evenly over this many registers (one a phase). */
  readonly divide?: number;
  /** Write only when the setpoint is (not) zero: on/off commands of some makers. */
  readonly when?: "zero" | "not_zero";
}

export interface Watchdog {
  /** Where the seconds of silence are set; null = fixed, or set by the installer. */
  readonly register: Register | null;
  readonly seconds: number;
  /** Where the value to fall to is set; null = fixed, or set by the installer. */
  readonly fallback: RegisterWrite | null;
  /** What it falls to, in base units, or the site's safe value; written is the lower of both. */
  readonly to: number | "safe";
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
  /** Registers that may be skipped over to join two reads; 0 (the default) joins only neighbours. */
  readonly readGap?: number;
  /** Most registers the device gives in one answer; default MODBUS_REGISTERS_MAX. 2: one value a read. */
  readonly readMax?: number;
  /** Written in this order, lowest effect first where the maker asks for an enable. */
  readonly write: readonly RegisterWrite[];
  /** Function code of a write of one register; default 16. */
  readonly writeFunction?: 6 | 16;
  /** Where the setpoint is read back from; absent = the written register. Null = not readable. */
  readonly readBack?: Register | null;
  /** Unit of the setpoint on the wire. */
  readonly setpoint?: "A" | "W" | "state";
  readonly minimum?: number;
  readonly maximum?: number;
  readonly step?: number;
  /** The device's own fallback: seconds of silence until it falls to `to` (base units). */
  readonly watchdog?: Watchdog;
  /** What the installer must set on the device by hand, because no register does. */
  readonly setup?: string;
}
