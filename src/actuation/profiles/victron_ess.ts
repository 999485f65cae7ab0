import type { Profile, Register, RegisterWrite } from "../profile.js";

const at = (address: number, type: Register["type"], scale: number): Register => ({ table: "holding", address, type, scale });
const setpoint = (address: number, divide: number): RegisterWrite => ({ table: "holding", address, type: "i16", divide });

/**
 * A Multi or Quattro under ESS mode 3 (external control). The setpoint is power at its AC input: what
 * hangs on AC-out is part of it, so nothing that the house needs may hang there. Registers of the
 * vebus service; its unit is shown on the GX device (227 on a Cerbo GX, 246 on a CCGX). A setpoint
 * that is not repeated is dropped after 60 s and the Multi only passes the grid through.
 */
export const victronEss: Profile = {
  id: "victron_ess",
  maker: "Victron Energy",
  models: "GX device with a single-phase MultiPlus or Quattro, ESS mode 3",
  document: "Victron Energy, CCGX Modbus-TCP register list: victronenergy/dbus_modbustcp attributes.csv, commit 24c50db (2026-04-21), com.victronenergy.vebus; ESS mode 2 and 3, 3.2. The 60 s are not in the part that could be read",
  kind: "battery",
  unit: 227,
  read: {
    voltage_l1: at(3, "u16", -1), current_l1: at(6, "i16", -1), power_l1: at(12, "i16", 1),
    state_of_charge: at(30, "u16", -1),
  },
  write: [setpoint(37, 1)],
  setpoint: "W",
  watchdog: { register: null, seconds: 60, fallback: null, to: 0 },
  setup: "On the GX device: Modbus TCP on, ESS mode 'External control' (register 2902 of unit 100 = 3)",
};

/** Three units, one a phase: the setpoint is spread evenly. */
export const victronEss3p: Profile = {
  ...victronEss,
  id: "victron_ess_3p",
  models: "GX device with three MultiPlus or Quattro, ESS mode 3",
  read: {
    ...victronEss.read,
    voltage_l2: at(4, "u16", -1), voltage_l3: at(5, "u16", -1),
    current_l2: at(7, "i16", -1), current_l3: at(8, "i16", -1),
    power_l2: at(13, "i16", 1), power_l3: at(14, "i16", 1),
  },
  write: [setpoint(37, 3), setpoint(40, 3), setpoint(41, 3)],
};
