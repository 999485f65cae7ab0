import type { Milliamps, Millis, Millivolts, PerPhase, Watts } from "./units.js";

/**
 * What the core must know of the house it stands in. services/site_config.ts makes it from
 * site.json, checked; the core trusts it. Plain data, so that a recording can carry it.
 */
export interface Site {
  /** The controller's own serial number; hashed for every spread in time (release, dither). */
  readonly serial: string;
  /** 18 digits, or null where not entered: then only `msr:` and `all` caps reach this house. */
  readonly ean: string | null;
  /** The transformer's id in `msr:<id>`. */
  readonly msr: string | null;
  readonly connection: Connection;
  readonly failsafe: Failsafe;
  /** The static limit that holds while autonomous; null = voltage droop alone. */
  readonly autonomousImport: Watts | null;
  /** Month-peak target of the Flemish capacity tariff; null = no such tariff. */
  readonly tariffTarget: Watts | null;
  /** The owner's own limits: always tighter, never looser. */
  readonly ownerImport: Watts | null;
  readonly ownerExport: Watts | null;
  /** True where section 14a EnWG applies: caps are dims of the controllable devices. */
  readonly par14a: boolean;
  /** True where a grid operator's key is installed; without one there is no link to lose. */
  readonly hasOperator: boolean;
  readonly inputs: readonly ContactInput[];
  /** At most DEVICES_MAX; every per-device array in the core is in this order. */
  readonly devices: readonly Device[];
}

export interface Connection {
  readonly phases: 1 | 3;
  /** 3 x 230 V without neutral: phase "voltages" read some 133 V and do not witness the feeder. */
  readonly delta: boolean;
  /** Main fuse per phase. */
  readonly fuse: Milliamps;
  /** Contracted power; null = the fuse alone. */
  readonly importMax: Watts | null;
  readonly exportMax: Watts | null;
}

export interface Failsafe {
  readonly importLimit: Watts;
  readonly exportLimit: Watts | null;
  /** FAILSAFE_DURATION_MIN_MS to _MAX_MS. */
  readonly duration: Millis;
}

/** A relay of a ripple-control receiver or FNN control box. Unreadable or floating = active. */
export interface ContactInput {
  readonly id: string;
  readonly importLimit: Watts | null;
  readonly exportLimit: Watts | null;
  /** "net": at the meter. "controllable": the controllable devices together. */
  readonly scope: "net" | "controllable";
}

interface DeviceBase {
  readonly id: string;
  /** 1 is served first. Equal priorities share. */
  readonly priority: number;
  /** Which phases of the connection it draws from. */
  readonly phases: PerPhase<boolean>;
}

export interface EvCharger extends DeviceBase {
  readonly kind: "ev";
  /** Per phase; IEC 61851-1: not below 6 A. */
  readonly minimum: Milliamps;
  readonly maximum: Milliamps;
  readonly step: Milliamps;
}

export interface Battery extends DeviceBase {
  readonly kind: "battery";
  readonly chargeMax: Watts;
  readonly dischargeMax: Watts;
  readonly step: Watts;
}

export interface Inverter extends DeviceBase {
  readonly kind: "inverter";
  readonly rated: Watts;
  /** Production limit when the meter is stale. */
  readonly safe: Watts;
  readonly step: Watts;
}

/** Two contacts; what it draws is not commanded but blocked, left, or encouraged. */
export interface SgReadyHeatPump extends DeviceBase {
  readonly kind: "heat_pump";
  readonly control: "sg_ready";
  /** Electrical power when it runs. */
  readonly nominal: Watts;
}

/** A heat pump that takes a power limit over Modbus: preferred to a block. */
export interface PowerHeatPump extends DeviceBase {
  readonly kind: "heat_pump";
  readonly control: "power";
  readonly minimum: Watts;
  readonly maximum: Watts;
  readonly step: Watts;
  /** Written when the meter is stale: what the maker allows for at least, often its minimum. */
  readonly safe: Watts;
}

export type HeatPump = SgReadyHeatPump | PowerHeatPump;
export type Device = EvCharger | Battery | Inverter | HeatPump;

/** Nominal phase voltage: used only to turn a device's rated watts into amperes, never for limits. */
export const NOMINAL_MV: Millivolts = 230_000;
