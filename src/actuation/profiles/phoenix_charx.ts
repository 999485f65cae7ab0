import type { Profile, Register } from "../profile.js";

const at = (address: number, type: Register["type"], scale: number): Register => ({ table: "holding", address, type, scale });
/** -1 where the phase is unknown. */
const current = (address: number): Register => ({ table: "holding", address, type: "i32", scale: -3, absent: [0xffffffff] });

/** Charging point 1; point n lies (n - 1) x 1000 higher. Whole amperes, 0 = off. */
export const phoenixCharx: Profile = {
  id: "phoenix_charx",
  maker: "Phoenix Contact",
  models: "CHARX SEC-3xxx, charging point 1",
  document: "Phoenix Contact, UM EN CHARX SEC, revision 08, appendix B3, p. 167-174 (as transcribed in aiophoenixcontactcharx); compared with evcc charger/phoenix-charx.go",
  kind: "ev",
  unit: 1,
  read: {
    voltage_l1: at(1232, "u32", -3), voltage_l2: at(1234, "u32", -3), voltage_l3: at(1236, "u32", -3),
    current_l1: current(1238), current_l2: current(1240), current_l3: current(1242),
    power: at(1244, "i32", -3),
    imported: at(1250, "u64", 0),
    wants: { table: "holding", address: 1299, type: "string", length: 1, trueWhenText: ["B", "C", "D"] },
  },
  write: [at(1301, "u16", 0)],
  setpoint: "A",
  minimum: 6,
  maximum: 80,
  step: 1,
  watchdog: { register: at(1307, "u16", 0), seconds: 30, fallback: at(1306, "u16", 0), to: 0 },
  setup: "Release mode 'Modbus' or 'permanent' for the charging point",
};
