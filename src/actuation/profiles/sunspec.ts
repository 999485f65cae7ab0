import type { Profile, Register, RegisterWrite } from "../profile.js";

/** Sources: SunSpec Alliance, sunspec/models json/model_N.json, commit 7abdf89 (2026-04-22). */
const MODELS = "SunSpec Alliance, Information Model Reference: sunspec/models, commit 7abdf89 (2026-04-22), ";
type Wanted = number | readonly number[];

// "Not implemented" by type (SunSpec Device Information Model Specification 1.1, 4.4.1).
const u16 = (model: Wanted, address: number, scaleRegister: number): Register =>
  ({ table: "holding", model, address, type: "u16", scaleRegister, absent: [0xffff] });
const i16 = (model: Wanted, address: number, scaleRegister: number): Register =>
  ({ table: "holding", model, address, type: "i16", scaleRegister, absent: [0x8000] });
const acc32 = (model: Wanted, address: number, scaleRegister: number): Register =>
  ({ table: "holding", model, address, type: "u32", scaleRegister, absent: [0] });
const acc64 = (model: Wanted, address: number, scaleRegister: number): Register =>
  ({ table: "holding", model, address, type: "u64", scaleRegister, absent: [0] });
const constant = (model: Wanted, address: number, value: number): RegisterWrite =>
  ({ table: "holding", model, address, type: "u16", constant: value });
const negate = (register: Register): Register => ({ ...register, negate: true });

/** Models of one layout differ in phases alone. A whole model can be read, so gaps do not matter. */
const GAP = 40;

const inverter: Wanted = [101, 102, 103];
const inverterRead = {
  current_l1: negate(u16(inverter, 3, 6)), current_l2: negate(u16(inverter, 4, 6)), current_l3: negate(u16(inverter, 5, 6)),
  voltage_l1: u16(inverter, 10, 13), voltage_l2: u16(inverter, 11, 13), voltage_l3: u16(inverter, 12, 13),
  power: negate(i16(inverter, 14, 15)),
  exported: acc32(inverter, 24, 26),
};

/**
 * Production limit through model 123. WMaxLimPct_RvrtTms is written as 0, "no timeout": what an
 * inverter of this model reverts to is no limit at all, and the last limit is the safer of the two.
 */
export const sunspecInverter: Profile = {
  id: "sunspec_inverter",
  maker: "SunSpec",
  models: "inverters with models 101-103 and 123 (Fronius, SolarEdge, SMA, Kostal, Huawei by logger)",
  document: `${MODELS}models 101-103, 121 (WMax), 123 (WMaxLimPct)`,
  kind: "inverter",
  unit: 1,
  readGap: GAP,
  read: inverterRead,
  write: [
    { ...u16(123, 5, 23), percent: true, percentOf: u16(121, 2, 22) },
    constant(123, 7, 0),
    constant(123, 9, 1),
  ],
  setpoint: "W",
  setup: "Control by Modbus on; SunSpec model type 'int + SF' (Fronius), not 'float'",
};

const der: Wanted = 701;
const derRead = {
  power: negate(i16(der, 10, 116)),
  current_l1: negate(i16(der, 45, 113)), current_l2: negate(i16(der, 68, 113)), current_l3: negate(i16(der, 91, 113)),
  voltage_l1: u16(der, 47, 114), voltage_l2: u16(der, 70, 114), voltage_l3: u16(der, 93, 114),
  exported: acc64(der, 19, 120), imported: acc64(der, 23, 120),
};
const derWMax = u16(702, 26, 45);

/** IEEE 1547-2018 models: the limit reverts to the safe value when nothing is written for 60 s. */
export const sunspecInverter700: Profile = {
  id: "sunspec_inverter_700",
  maker: "SunSpec",
  models: "inverters with models 701, 702 and 704",
  document: `${MODELS}models 701, 702 (WMax), 704 (WMaxLimPct)`,
  kind: "inverter",
  unit: 1,
  readGap: GAP,
  read: derRead,
  write: [
    { ...u16(704, 15, 54), percent: true, percentOf: derWMax },
    constant(704, 17, 1),
    constant(704, 14, 1),
  ],
  setpoint: "W",
  watchdog: {
    register: { table: "holding", model: 704, address: 18, type: "u32" }, seconds: 60,
    fallback: { ...u16(704, 16, 54), percent: true, percentOf: derWMax }, to: "safe",
  },
};

/**
 * A battery on a hybrid inverter, model 124. Charging at exactly x: InWRte = x and OutWRte = -x, both
 * limits active (StorCtl_Mod 3); discharging the other way round. The two are neighbours and go in one
 * request. After 60 s of silence the inverter takes its own control up again, which charges from
 * surplus; holding the last charging power for ever would be worse. Model 124 has no battery power.
 */
export const sunspecBattery: Profile = {
  id: "sunspec_battery",
  maker: "SunSpec",
  models: "hybrid inverters with model 124 (Fronius GEN24, Symo Hybrid)",
  document: `${MODELS}model 124 (WChaMax, StorCtl_Mod, OutWRte, InWRte); charging by a negative OutWRte as in evcc's fronius-gen24 template, discharging by a negative InWRte not seen elsewhere`,
  kind: "battery",
  unit: 1,
  readGap: GAP,
  read: {
    state_of_charge: u16(124, 8, 22),
    voltage_l1: inverterRead.voltage_l1, voltage_l2: inverterRead.voltage_l2, voltage_l3: inverterRead.voltage_l3,
  },
  write: [
    { ...i16(124, 12, 25), negate: true, percent: true, percentOf: u16(124, 2, 18) },
    { ...i16(124, 13, 25), percent: true, percentOf: u16(124, 2, 18) },
    constant(124, 17, 1),
    constant(124, 5, 3),
  ],
  setpoint: "W",
  watchdog: { register: { table: "holding", model: 124, address: 15, type: "u16" }, seconds: 60, fallback: null, to: 0 },
  setup: "Control by Modbus on; SunSpec model type 'int + SF' (Fronius), not 'float'",
};

/** Storage with the IEEE 1547-2018 models: a signed set point in watts that reverts to 0 W. */
export const sunspecBattery700: Profile = {
  id: "sunspec_battery_700",
  maker: "SunSpec",
  models: "storage inverters with models 701, 704 and 713",
  document: `${MODELS}models 701, 704 (WSet, WSetRvrt), 713 (SoC)`,
  kind: "battery",
  unit: 1,
  readGap: GAP,
  read: { ...derRead, state_of_charge: u16(713, 4, 8) },
  write: [
    constant(704, 23, 1),
    { table: "holding", model: 704, address: 24, type: "i32", scaleRegister: 55, absent: [0x80000000], negate: true },
    constant(704, 30, 1),
    constant(704, 22, 1),
  ],
  setpoint: "W",
  watchdog: {
    register: { table: "holding", model: 704, address: 31, type: "u32" }, seconds: 60,
    fallback: { table: "holding", model: 704, address: 26, type: "i32", scaleRegister: 55, absent: [0x80000000], negate: true }, to: 0,
  },
};

const meter: Wanted = [201, 202, 203, 204];
const meterRead = {
  current_l1: i16(meter, 3, 6), current_l2: i16(meter, 4, 6), current_l3: i16(meter, 5, 6),
  voltage_l1: i16(meter, 8, 15), voltage_l2: i16(meter, 9, 15), voltage_l3: i16(meter, 10, 15),
  power: i16(meter, 18, 22), power_l1: i16(meter, 19, 22), power_l2: i16(meter, 20, 22), power_l3: i16(meter, 21, 22),
  exported: acc32(meter, 38, 54), imported: acc32(meter, 46, 54),
};

/** The models do not fix the sign of power: makers differ. This one is import positive (Fronius: unit 200, 240 on older). */
export const sunspecMeter: Profile = {
  id: "sunspec_meter",
  maker: "SunSpec",
  models: "meters with models 201-204, import positive (Fronius Smart Meter)",
  document: `${MODELS}models 201-204`,
  kind: "meter",
  unit: 200,
  readGap: GAP,
  read: meterRead,
  write: [],
  readBack: null,
};

/** Export positive (SolarEdge). */
export const sunspecMeterReversed: Profile = {
  ...sunspecMeter,
  id: "sunspec_meter_reversed",
  models: "meters with models 201-204, export positive (SolarEdge)",
  unit: 1,
  read: {
    ...meterRead,
    current_l1: negate(meterRead.current_l1), current_l2: negate(meterRead.current_l2), current_l3: negate(meterRead.current_l3),
    power: negate(meterRead.power), power_l1: negate(meterRead.power_l1),
    power_l2: negate(meterRead.power_l2), power_l3: negate(meterRead.power_l3),
  },
};
