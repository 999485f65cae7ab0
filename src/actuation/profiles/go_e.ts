import type { Profile, Register } from "../profile.js";

const u32 = (address: number, scale: number): Register => ({ table: "input", address, type: "u32", scale });

/**
 * Writes only by function 16. The current goes into the volatile register (299): 300 is EEPROM with
 * some 100,000 writes of life. Off is FORCE_STATE 1, on is 0 (neutral): the charger's own access
 * control stays in force. Over Modbus it has no watchdog: it keeps the last current. A paused car may
 * report "finished" (4), so every state with a car counts as wanting.
 */
export const goE: Profile = {
  id: "go_e",
  maker: "go-e",
  models: "Charger HOME+, HOMEfix, Gemini, PRO (firmware 55.6 and later; 60.3 swaps bytes: not that one)",
  document: "go-e, goecharger/go-eCharger-API-v2, modbus-en.md, commit b4d7f85 (2026-08-12)",
  kind: "ev",
  unit: 1,
  read: {
    wants: { table: "input", address: 100, type: "u16", trueWhen: [2, 3, 4] },
    voltage_l1: u32(108, 0), voltage_l2: u32(110, 0), voltage_l3: u32(112, 0),
    current_l1: u32(114, -1), current_l2: u32(116, -1), current_l3: u32(118, -1),
    power: u32(120, -2),
    imported: u32(128, 2),
  },
  write: [
    { table: "holding", address: 337, type: "u16", constant: 1, when: "zero" },
    { table: "holding", address: 299, type: "u16", when: "not_zero" },
    { table: "holding", address: 337, type: "u16", constant: 0, when: "not_zero" },
  ],
  readBack: { table: "holding", address: 299, type: "u16" },
  setpoint: "A",
  minimum: 6,
  maximum: 32,
  step: 1,
  setup: "Modbus on in the app (API key men); no watchdog over Modbus, so set the charger's own current limit to what the house can always bear",
};
