import type { Profile, Register } from "../profile.js";

const f32 = (address: number): Register => ({ table: "holding", address, type: "f32" });

/**
 * Socket 1 is unit 1, socket 2 unit 2; the station itself (unit 200) is not needed. Values below 6 A
 * pause charging. The setpoint is valid for as long as the installer set (60 s out of the box,
 * counted down in 1208); after that the socket falls to the safe current (1212, read only), also set
 * by the installer, who must set it no higher than the house can always bear.
 */
export const alfen: Profile = {
  id: "alfen",
  maker: "Alfen",
  models: "Eve Single/Double Pro-line and S-line, NG9xx",
  document: "Alfen, Implementation of Modbus Slave TCP/IP for NG9xx, v2.3, 30-10-2020, 1.3.1 and 3.4; registers compared with evcc charger/alfen.go and OpenEMS",
  kind: "ev",
  unit: 1,
  read: {
    voltage_l1: f32(306), voltage_l2: f32(308), voltage_l3: f32(310),
    current_l1: f32(320), current_l2: f32(322), current_l3: f32(324),
    power: f32(344),
    imported: { table: "holding", address: 374, type: "f64" },
    wants: { table: "holding", address: 1201, type: "string", length: 5, trueWhenText: ["B", "C", "D"] },
  },
  write: [f32(1210)],
  // Socket measurements are one table without holes (300 to 425), as are status and control (1200 to
  // 1215): two requests a poll instead of six.
  readGap: 28,
  setpoint: "A",
  minimum: 6,
  maximum: 32,
  watchdog: { register: null, seconds: 60, fallback: null, to: 0 },
  setup: "Active load balancing on, data source 'Energy Management System', safe current at its lowest",
};
