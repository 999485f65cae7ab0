import type { Profile, Register } from "../profile.js";

const f32 = (address: number, scale = 0): Register => ({ table: "input", address, type: "f32", scale });

/** Import positive when wired as printed. Asked in short reads: some SDM72 refuse more than ten values. */
export const eastronSdm630: Profile = {
  id: "eastron_sdm630",
  maker: "Eastron",
  models: "SDM630-Modbus, SDM630 V2, SDM72D-M V2",
  document: "Eastron, SDM630-Modbus Smart Meter Modbus Protocol Implementation V1.5, input registers 30001-30076; compared with volkszaehler/mbmd meters/rs485/sdm.go and openWB packages/modules/common/sdm.py",
  kind: "meter",
  unit: 1,
  readMax: 20,
  read: {
    voltage_l1: f32(0x00), voltage_l2: f32(0x02), voltage_l3: f32(0x04),
    current_l1: f32(0x06), current_l2: f32(0x08), current_l3: f32(0x0a),
    power_l1: f32(0x0c), power_l2: f32(0x0e), power_l3: f32(0x10),
    power: f32(0x34),
    imported: f32(0x48, 3), exported: f32(0x4a, 3),
  },
  write: [],
  readBack: null,
};
