import type { Profile, Register } from "../profile.js";

const u32 = (address: number, scale: number): Register => ({ table: "holding", address, type: "u32", scale });

/**
 * One value a read: a read across two values is refused. Off is register 5014, because 5004 takes
 * 6,000 to 63,000 mA only; the current is written before the enable. 5020 is left alone, so that the
 * failsafe is not kept over a restart of the charger (it is written again after each connection).
 */
export const kebaP30: Profile = {
  id: "keba_p30",
  maker: "KEBA",
  models: "KeContact P30 c-series (firmware 3.10.16 and later), x-series (1.11 and later)",
  document: "KEBA, KeContact P30 Modbus TCP Programmers Guide V1.04 (read in V1.02: 3.1-3.10, 4.1-4.5); compared with evcc charger/keba-modbus.go",
  kind: "ev",
  unit: 255,
  readMax: 2,
  read: {
    wants: { table: "holding", address: 1004, type: "u32", trueWhen: [5, 7] },
    current_l1: u32(1008, -3), current_l2: u32(1010, -3), current_l3: u32(1012, -3),
    power: u32(1020, -3),
    imported: u32(1036, -1),
    voltage_l1: u32(1040, 0), voltage_l2: u32(1042, 0), voltage_l3: u32(1044, 0),
  },
  write: [
    { table: "holding", address: 5014, type: "u16", constant: 0, when: "zero" },
    { table: "holding", address: 5004, type: "u16", scale: -3, when: "not_zero" },
    { table: "holding", address: 5014, type: "u16", constant: 1, when: "not_zero" },
  ],
  writeFunction: 6,
  // 1100 (maximum charging current) is what the charger allows now, not what it was told alone.
  readBack: null,
  setpoint: "A",
  minimum: 6,
  maximum: 32,
  watchdog: {
    register: { table: "holding", address: 5018, type: "u16" }, seconds: 30,
    fallback: { table: "holding", address: 5016, type: "u16", scale: -3 }, to: 0,
  },
  setup: "DIP switch DSW1.3 on",
};
