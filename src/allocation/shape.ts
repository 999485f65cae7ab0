import {
  DEADBAND_MA, OFF_TIME_MIN_MS, RISE_HOLD_MS, RISE_MA_PER_S, RISE_STEP_MAX_MA, UNUSED_HOLD_MS, UNUSED_MA,
} from "../constants.js";
import { replaced } from "../budget/commanded.js";
import { phaseVolts } from "../budget/controlled.js";
import type { DeviceReport } from "../reading/report.js";
import type { Device } from "../site.js";
import type { Millis, PerPhase } from "../units.js";
import type { Consumer } from "./rooms.js";
import type { DeviceState } from "./state.js";

/** CONTROL.md "Shape": down in the same tick; up after the headroom held, slowly, and not for crumbs. */
export function shape(one: Consumer, state: DeviceState, mayRise: boolean, settle: Millis, now: Millis): DeviceState {
  const { target } = one;
  if (target <= state.setpoint) return set(rest(state), target, settle, now);
  if (state.setpoint === 0 && one.minimum > 0) return set(rest(state), one.minimum, settle, now);
  const gap = target - state.setpoint;
  // At the maximum the last crumb is worth it: the target cannot wander any more.
  if (!mayRise || (gap < DEADBAND_MA * one.scale && target !== one.maximum)) return rest(state);
  const since = state.riseSince ?? now;
  const to = state.riseSince === null ? target : Math.min(target, state.riseTo);
  const changed = state.changedAt ?? now - RISE_STEP_MAX_MA * 1000;
  let next = state.setpoint;
  if (now - since >= RISE_HOLD_MS && now - changed >= RISE_HOLD_MS) {
    const allowed = Math.min(RISE_STEP_MAX_MA, Math.floor((RISE_MA_PER_S * (now - changed)) / 1000)) * one.scale;
    next = Math.floor(Math.min(to, state.setpoint + allowed) / one.step + 1e-9) * one.step;
  }
  if (next > state.setpoint) return set({ ...rest(state), riseSince: now, riseTo: target }, next, settle, now);
  if (state.riseSince === since && state.riseTo === to) return state;
  return { ...state, riseSince: since, riseTo: to };
}

/** A new setpoint, with what must be remembered of it. */
export function set(state: DeviceState, setpoint: number, settle: Millis, now: Millis): DeviceState {
  if (setpoint === state.setpoint) return state;
  return {
    ...state, setpoint, changedAt: now, recent: replaced(state, settle, now),
    onSince: setpoint > 0 ? state.onSince ?? now : null,
    offSince: setpoint > 0 ? null : state.setpoint > 0 ? now : state.offSince,
    startSince: null,
  };
}

function rest(state: DeviceState): DeviceState {
  return state.riseSince === null ? state : { ...state, riseSince: null };
}

/** The safe value, where nothing better is known: a device that was just switched off stays so for its off-time. */
export function setSafe(state: DeviceState, safe: number, keepOffTime: boolean, settle: Millis, now: Millis): DeviceState {
  const waits = keepOffTime && state.setpoint === 0 && state.offSince !== null && now - state.offSince < OFF_TIME_MIN_MS;
  const next = set(rest(state), waits ? 0 : safe, settle, now);
  return next.startSince === null && next.unusedSince === null ? next : { ...next, startSince: null, unusedSince: null };
}

/** What the device draws, in its setpoint's unit; null where it does not say. */
export function drawn(device: Device, report: DeviceReport, voltage: PerPhase<number>): number | null {
  const { power, current } = report;
  const { phases } = device;
  if (device.kind !== "ev" && power !== null) return power;
  const first = phases[0] ? current[0] : null;
  const second = phases[1] ? current[1] : null;
  const third = phases[2] ? current[2] : null;
  if (first === null && second === null && third === null) {
    return device.kind !== "ev" || power === null ? null : Math.trunc((power * 1_000_000) / phaseVolts(device, voltage));
  }
  if (device.kind === "ev") return Math.max(first ?? second ?? third!, second ?? third ?? first!, third ?? first ?? second!);
  return Math.trunc(((first ?? 0) * voltage[0] + (second ?? 0) * voltage[1] + (third ?? 0) * voltage[2]) / 1_000_000);
}

/**
 * A share that lies unused is handed on: a device that draws clearly less than it may, for a minute,
 * asks for no more than what it draws and UNUSED_MA. It rises again as soon as it takes that.
 */
export function unusedSince(one: Consumer, state: DeviceState, draws: number | null, settle: Millis, now: Millis): Millis | null {
  if (draws === null || state.setpoint <= 0 || (state.changedAt !== null && now - state.changedAt < settle && state.unusedSince === null)) return null;
  // Once reduced, the setpoint lies at most a step above what is drawn and UNUSED_MA.
  return state.setpoint - draws >= UNUSED_MA * one.scale ? state.unusedSince ?? now : null;
}

export function unusedMaximum(one: Consumer, since: Millis | null, draws: number | null, now: Millis): number {
  if (since === null || draws === null || now - since < UNUSED_HOLD_MS) return one.maximum;
  const wanted = Math.ceil((draws + UNUSED_MA * one.scale) / one.step) * one.step;
  return Math.min(one.maximum, Math.max(one.minimum, wanted));
}
