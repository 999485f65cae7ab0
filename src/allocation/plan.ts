import type { Budget } from "../budget/budget.js";
import type { Limits } from "../limits/limit.js";
import type { Reading } from "../reading/reading.js";
import type { DeviceReport } from "../reading/report.js";
import type { Device, Site } from "../site.js";
import type { EpochSeconds, Millis } from "../units.js";
import type { ReasonCode } from "./decision.js";
import type { Consumer } from "./rooms.js";
import { setSafe } from "./shape.js";
import type { AllocationState, DeviceState } from "./state.js";

export interface AllocationInput {
  readonly reading: Reading | null;
  readonly budget: Budget;
  readonly limits: Limits;
  readonly reports: readonly DeviceReport[];
  /** UTC where a clock is trusted. */
  readonly utc: EpochSeconds | null;
}

/** One tick's work. The arrays are its own and filled in; everything else is read. */
export interface Plan {
  readonly site: Site;
  readonly state: AllocationState;
  readonly input: AllocationInput;
  readonly now: Millis;
  readonly commanded: DeviceState[];
  readonly outcome: (Consumer | null)[];
  readonly reasons: ReasonCode[];
  readonly binds: number[];
}

export function safeValue(device: Device): number {
  if (device.kind === "ev" || device.kind === "battery") return 0;
  if (device.kind === "inverter") return device.safe;
  return device.control === "sg_ready" ? 2 : device.safe;
}

/** What a device would be given without any limit, in its setpoint's unit. */
export function askedOf(device: Device): number {
  if (device.kind === "ev") return Math.floor(device.maximum / device.step) * device.step;
  if (device.kind === "battery") return Math.floor(device.chargeMax / device.step) * device.step;
  if (device.kind === "inverter") return Math.floor(device.rated / device.step) * device.step;
  return device.control === "sg_ready" ? 2 : Math.floor(device.maximum / device.step) * device.step;
}

/** The safe value, and below every limit that needs no meter to be kept. A minimum above it is off. */
function boundedSafe(device: Device, limits: Limits): number {
  const safe = safeValue(device);
  if (device.kind !== "inverter" && device.kind !== "heat_pump") return safe;
  if (device.kind === "heat_pump" && device.control === "sg_ready") return safe;
  const first = device.kind === "inverter" ? limits.export : limits.import;
  const second = device.kind === "inverter" ? limits.production : limits.controllable;
  let least: number = safe;
  if (first.kind === "limit" && first.watts < least) least = first.watts;
  if (second.kind === "limit" && second.watts < least) least = second.watts;
  if (least === safe) return safe;
  least = Math.floor(Math.max(0, least) / device.step) * device.step;
  return device.kind === "heat_pump" && least < device.minimum ? 0 : least;
}

/** The meter is silent: everything but SG Ready pumps, whose blocks have a length to keep. */
export function allSafe(plan: Plan): void {
  const { site, input, now } = plan;
  const { budget, limits } = input;
  const reason: ReasonCode = budget.freshness === "never" ? "meter_never" : "meter_stale";
  for (let index = 0; index < site.devices.length; index++) {
    const device = site.devices[index]!;
    if (device.kind === "heat_pump" && device.control === "sg_ready") continue;
    plan.reasons[index] = input.reports[index]!.online ? reason : "offline";
    plan.commanded[index] = setSafe(plan.commanded[index]!, boundedSafe(device, limits), device.kind === "heat_pump", budget.settle, now);
  }
}

/** True where the device answers and a fresh meter lets it be served; else it is told its safe value. */
export function reachable(plan: Plan, index: number, device: Device): boolean {
  if (plan.input.reports[index]!.online) return true;
  plan.reasons[index] = "offline";
  plan.commanded[index] = setSafe(plan.commanded[index]!, boundedSafe(device, plan.input.limits), device.kind === "heat_pump", plan.input.budget.settle, plan.now);
  return false;
}
