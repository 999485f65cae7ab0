import { READ_BACK_RETRY_MS, REWRITE_PERIOD_MS, TICK_PERIOD_MS } from "../constants.js";
import type { Decision, Setpoint } from "../allocation/decision.js";
import type { DeviceReport } from "../reading/report.js";
import type { Device, Site } from "../site.js";
import type { Millis } from "../units.js";
import type { Command } from "./command.js";
import { contactMoves } from "./sg_ready.js";

/** What a device was told last. */
interface Written {
  readonly setpoint: Setpoint;
  readonly at: Millis;
  /** Whether it answered then: one that comes back may have restarted and is told again at once. */
  readonly online: boolean;
}

/** One entry a device, in the order of site.devices; null = not yet told anything since power-on. */
export interface ActuationState {
  readonly written: readonly (Written | null)[];
}

export interface Actuation {
  readonly state: ActuationState;
  readonly commands: readonly Command[];
}

/**
 * The value a device may hold while nobody knows better: what it gets first after power-on and where
 * its own watchdog is set to fall (CONTROL, "Stale meter": EV 0, battery 0 W, SG Ready 2, an inverter
 * or power-limited pump at its configured safe value).
 */
export function safeSetpoint(device: Device): Setpoint {
  switch (device.kind) {
    case "ev": return { kind: "current", value: 0 };
    case "battery": return { kind: "power", value: 0 };
    case "inverter": return { kind: "production", value: device.safe };
    case "heat_pump":
      return device.control === "sg_ready" ? { kind: "sg_ready", value: 2 } : { kind: "power", value: device.safe };
  }
}

/** The safe value, or less where a limit that outlived the restart leaves less to produce or to draw. */
function firstSetpoint(device: Device, decision: Decision | undefined): Setpoint {
  const safe = safeSetpoint(device);
  if (decision === undefined || decision.device !== device.id || decision.setpoint.kind !== safe.kind) return safe;
  if (safe.kind === "production" || (safe.kind === "power" && device.kind === "heat_pump")) {
    return decision.setpoint.value < safe.value ? decision.setpoint : safe;
  }
  return safe;
}

export function actuationStart(site: Site): ActuationState {
  return { written: site.devices.map(() => null) };
}

/**
 * Setpoints to commands. A device is written
 * - first with its safe value, whatever was decided (invariant 14);
 * - in the same tick when its setpoint changes;
 * - again before REWRITE_PERIOD_MS have passed, changed or not: the period less one tick, so that a
 *   tick that comes late still keeps invariant 10;
 * - at once when it answers again after a silence, and every READ_BACK_RETRY_MS while it says that it
 *   holds another value.
 * A device without a decision gets its safe value.
 */
export function actuationTick(
  site: Site, state: ActuationState, decisions: readonly Decision[], reports: readonly DeviceReport[], now: Millis,
): Actuation {
  const commands: Command[] = [];
  let written: (Written | null)[] | null = null;
  for (let i = 0; i < site.devices.length; i++) {
    const device = site.devices[i]!;
    const last = state.written[i] ?? null;
    const report = reports[i];
    const online = report?.online ?? false;
    const setpoint = last === null ? firstSetpoint(device, decisions[i]) : decided(device, last.setpoint.kind, decisions, i);
    if (last !== null && !isDue(last, setpoint, report, now)) {
      if (last.online !== online) {
        written ??= state.written.slice();
        written[i] = { setpoint: last.setpoint, at: last.at, online };
      }
      continue;
    }
    written ??= state.written.slice();
    written[i] = { setpoint, at: now, online };
    commands.push(toCommand(i, setpoint));
  }
  return { state: written === null ? state : { written }, commands };
}

function isDue(last: Written, setpoint: Setpoint, report: DeviceReport | undefined, now: Millis): boolean {
  if (last.setpoint !== setpoint && !sameSetpoint(last.setpoint, setpoint)) return true;
  const age = now - last.at;
  if (age >= REWRITE_PERIOD_MS - TICK_PERIOD_MS) return true;
  if (report === undefined) return false;
  if (report.online && !last.online) return true;
  return report.fault === "read_back_mismatch" && age >= READ_BACK_RETRY_MS;
}

/** Decisions come in device order; one that is elsewhere or of another kind is looked for by name. */
function decided(device: Device, kind: Setpoint["kind"], decisions: readonly Decision[], index: number): Setpoint {
  const here = decisions[index];
  if (here !== undefined && here.device === device.id && here.setpoint.kind === kind) return here.setpoint;
  const safe = safeSetpoint(device);
  if (here !== undefined && here.device === device.id) return safe;
  for (let i = 0; i < decisions.length; i++) {
    const other = decisions[i]!;
    if (other.device === device.id && other.setpoint.kind === safe.kind) return other.setpoint;
  }
  return safe;
}

function toCommand(device: number, setpoint: Setpoint): Command {
  if (setpoint.kind === "sg_ready") return { kind: "contacts", device, moves: contactMoves(setpoint.value) };
  return { kind: "write", device, setpoint };
}

export function sameSetpoint(a: Setpoint, b: Setpoint): boolean {
  return a.kind === b.kind && a.value === b.value;
}
