import type { Profile, Register } from "../profile.js";

const u32 = (address: number, scale: number): Register => ({ table: "holding", address, type: "u32", scale });

/**
 * The charger counts any read as a sign of life; after the timeout of 4106H without one it goes into an
 * error state and ends the session, which is 0 A. 0 in 4100H pauses. 400CH: bits 8-14 are the state
 * (1 B1, 2 B2, 3 C1, 4 C2), bit 15 says that it charges below its rated current.
 */
export const abbTerraAc: Profile = {
  id: "abb_terra_ac",
  maker: "ABB",
  models: "Terra AC wallbox",
  document: "ABB, TACWB Modbus Communication v1.7 (10M1003), 4000H-401EH and 4100H-4106H; compared with evcc charger/abb.go and a published map of v1.7. The timeout's unit (s) is from the map alone",
  kind: "ev",
  unit: 1,
  read: {
    wants: { table: "holding", address: 0x400c, type: "u32", mask: 0x7f00, trueWhen: [0x100, 0x200, 0x300, 0x400] },
    current_l1: u32(0x4010, -3), current_l2: u32(0x4012, -3), current_l3: u32(0x4014, -3),
    voltage_l1: u32(0x4016, -1), voltage_l2: u32(0x4018, -1), voltage_l3: u32(0x401a, -1),
    power: u32(0x401c, 0),
  },
  write: [u32(0x4100, -3)],
  readBack: u32(0x400e, -3),
  setpoint: "A",
  minimum: 6,
  maximum: 32,
  watchdog: { register: { table: "holding", address: 0x4106, type: "u16" }, seconds: 60, fallback: null, to: 0 },
};
