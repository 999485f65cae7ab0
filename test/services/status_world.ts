/** A house and its moments, for the status and the page. */
import type { Decision } from "../../src/allocation/decision.js";
import { NO_LIMIT, type Limit, type Limits } from "../../src/limits/limit.js";
import type { Reading } from "../../src/reading/reading.js";
import { SILENT, type DeviceReport } from "../../src/reading/report.js";
import type { StatusInput } from "../../src/services/status.js";
import { noCounts } from "../../src/services/mqtt_status.js";
import type { Site } from "../../src/site.js";

/** 2026-01-15T17:00:00Z. */
export const NOON = 1_768_496_400;

export const site: Site = {
  serial: "VN-000042", ean: "871234567890123456", msr: "amersfoort-12",
  connection: { phases: 3, delta: false, fuse: 25_000, importMax: null, exportMax: null },
  failsafe: { importLimit: 4_200, exportLimit: null, duration: 7_200_000 },
  autonomousImport: null, tariffTarget: null, ownerImport: null, ownerExport: null, par14a: false, hasOperator: true, inputs: [],
  devices: [
    { id: "charger", kind: "ev", priority: 2, phases: [true, true, true], minimum: 6_000, maximum: 16_000, step: 1_000 },
    { id: "battery", kind: "battery", priority: 3, phases: [true, false, false], chargeMax: 5_000, dischargeMax: 5_000, step: 100 },
    { id: "roof", kind: "inverter", priority: 1, phases: [true, true, true], rated: 6_000, safe: 6_000, step: 100 },
    { id: "heat-pump", kind: "heat_pump", control: "sg_ready", priority: 1, phases: [true, false, false], nominal: 2_400 },
  ],
};

export const reading: Reading = {
  source: "p1", at: 99_400, period: 1_000, net: 3_870, power: [1_210, 1_320, 1_340], current: [5_000, 6_000, 6_000], currentWhole: true,
  voltage: [229_800, 230_400, 231_100], imported: null, exported: null, quarterAverage: null, monthPeak: null, meterTime: NOON,
};

export const cap: Extract<Limit, { kind: "limit" }> = { kind: "limit", watts: 4_200, source: "cap", id: "a1b2c3d4", until: NOON + 7_200 };

export function limits(changes: Partial<Limits> = {}): Limits {
  return {
    state: "controlled", import: { kind: "limit", watts: 17_250, source: "fuse", id: "", until: null }, export: NO_LIMIT, controllable: NO_LIMIT,
    production: NO_LIMIT, fuse: [24_000, 24_000, 24_000], emergency: false, next: null, weighed: [], ...changes,
  } as Limits;
}

export const decisions: Decision[] = [
  { device: "charger", setpoint: { kind: "current", value: 0 }, asked: 16_000, reason: "below_minimum", limit: "cap" },
  { device: "battery", setpoint: { kind: "power", value: -1_200 }, asked: 0, reason: "covers_shortage", limit: "cap" },
  { device: "roof", setpoint: { kind: "production", value: 6_000 }, asked: 6_000, reason: "asked_in_full", limit: null },
  { device: "heat-pump", setpoint: { kind: "sg_ready", value: 1 }, asked: 2, reason: "blocked", limit: "cap" },
];

const online: DeviceReport = { ...SILENT, online: true, at: 99_000 };
export const reports: DeviceReport[] = [
  { ...online, power: 0, current: [0, 0, 0] }, { ...online, power: -1_180 }, { ...online, power: -240 },
  { ...online, fault: "contact_stuck" },
];

export function input(changes: Partial<StatusInput> = {}): StatusInput {
  return {
    version: "0.1.0", now: 100_000, utc: NOON, site, reading, freshness: "fresh", limits: limits(), decisions, reports,
    mqtt: { state: "up", since: 40_000, reason: "connected", detail: "", version: 5, waiting: 0, counters: noCounts() },
    counters: { telegrams: 99, telegrams_refused: 1 }, events: [
      { time: NOON - 100, type: "link", words: "link to the grid operator is alive" },
      { time: NOON - 60, type: "cap_in_force", words: "cap a1b2c3d4 in force, import 4.2 kW, 17:00 UTC to 19:00 UTC" },
    ], ...changes,
  };
}
