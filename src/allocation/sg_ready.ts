import {
  HEADROOM_MARGIN_W, SG_BLOCK_HOLD_MS, SG_BLOCK_MIN_MS, SG_SURPLUS_HOLD_MS, SG_SURPLUS_MIN_MS, SG_UNBLOCK_HOLD_MS, SG_UNBLOCK_SPREAD_MS,
} from "../constants.js";
import type { Budget } from "../budget/budget.js";
import { phaseCount } from "../budget/controlled.js";
import type { Limits } from "../limits/limit.js";
import { spreadOver } from "../limits/spread.js";
import type { DeviceReport } from "../reading/report.js";
import type { SgReadyHeatPump, Site } from "../site.js";
import type { Millis, Watts } from "../units.js";
import type { ReasonCode } from "./decision.js";
import { NET, SCOPED, UNBOUND, type Rooms } from "./rooms.js";
import { sgBlocked, sgOut, sgPlace, sgRefusal, type SgState } from "./sg_budget.js";
import { set } from "./shape.js";
import type { DeviceState } from "./state.js";

export interface SgInput {
  readonly budget: Budget;
  readonly limits: Limits;
  readonly reports: readonly DeviceReport[];
  readonly utcOffset: number | null;
  /** What is left after all other devices have theirs. */
  readonly left: Rooms;
  /** W that the devices at least as important as the pump may draw, by place in site.devices. */
  readonly states: readonly DeviceState[];
}

export interface SgOutcome {
  readonly sg: SgState;
  readonly device: DeviceState;
  readonly reason: ReasonCode;
  readonly bind: number;
}

/** What the pump draws or may draw at any moment: measured where it measures, else its nominal power. */
export function sgDraw(pump: SgReadyHeatPump, report: DeviceReport, state: number): Watts {
  if (state === 1) return 0;
  return report.online && report.power !== null ? report.power : pump.nominal;
}

/**
 * By how much the load that nobody controls is above each limit, were every continuous device at
 * zero; what batteries give now is taken off. Not peak-held: a kettle must not cost a block.
 */
export function shortages(site: Site, budget: Budget, limits: Limits, reports: readonly DeviceReport[], states: readonly DeviceState[], sgWatts: Watts): Rooms {
  const short = [
    budget.uncontrolled.milliamps[0] - limits.fuse[0], budget.uncontrolled.milliamps[1] - limits.fuse[1], budget.uncontrolled.milliamps[2] - limits.fuse[2],
    limits.import.kind === "none" ? -UNBOUND : budget.uncontrolled.watts + HEADROOM_MARGIN_W - limits.import.watts,
    budget.headroomControllable === null ? -UNBOUND : sgWatts - budget.headroomControllable,
  ];
  for (let index = 0; index < site.devices.length; index++) {
    const device = site.devices[index]!;
    const report = reports[index]!;
    if (device.kind !== "battery" || !report.online) continue;
    const gives = Math.max(0, -(report.power === null ? states[index]!.setpoint : Math.max(report.power, states[index]!.setpoint)));
    short[NET]! -= gives;
    const phases = phaseCount(device);
    for (let phase = 0; phase < 3; phase++) {
      if (device.phases[phase]) short[phase]! -= (gives * 1_000_000) / (phases * budget.voltage[phase]!);
    }
  }
  return short;
}

/** One SG Ready pump in one tick. `short` is lowered by what a new block takes away. */
export function stepPump(site: Site, pump: SgReadyHeatPump, index: number, before: SgState, short: Rooms, input: SgInput, now: Millis): SgOutcome {
  const sg = sgPlace(before, input.utcOffset, now);
  const device = input.states[index]!;
  const report = input.reports[index]!;
  const blocked = sgBlocked(sg);
  if (blocked !== null) return stepBlocked(site, pump, device, sg, blocked.start, input, now);

  const known = input.budget.freshness === "fresh" && report.online;
  const idle = device.setpoint === 3 ? device : set(device, 2, input.budget.settle, now);
  if (!known) {
    const reason = report.online ? staleReason(input.budget) : "offline";
    // No rise while the meter ages; a pump that is encouraged already may go on until it is stale.
    const keeps = report.online && input.budget.freshness === "ageing";
    return { sg: calm(sg), device: keeps ? idle : set(device, 2, input.budget.settle, now), reason, bind: -1 };
  }
  const bind = bindingShortage(pump, short);
  // Not before the last command has had time to show: another pump's block, or the end of its own.
  if (bind >= 0 && sgDraw(pump, report, device.setpoint) > 0) {
    const since = sg.shortSince ?? now;
    const waiting: SgState = { ...sg, shortSince: since, fitSince: null, surplusSince: null };
    const normal = set(device, 2, input.budget.settle, now);
    if (now - since < SG_BLOCK_HOLD_MS) return { sg: waiting, device: normal, reason: "asked_in_full", bind: -1 };
    const refusal = sgRefusal(sg, input.limits.emergency, now);
    if (refusal !== null) return { sg: waiting, device: normal, reason: refusal, bind };
    const draw = sgDraw(pump, report, 2);
    for (let place = 0; place < 5; place++) short[place]! -= costOf(pump, input.budget, place, draw);
    return {
      sg: { ...calm(sg), blocks: [...sg.blocks, { start: now, end: null }] },
      device: set(device, 1, input.budget.settle, now), reason: "blocked", bind,
    };
  }
  return stepSurplus(site, pump, index, idle, sg.shortSince === null ? sg : { ...sg, shortSince: null }, input, now);
}

function stepBlocked(site: Site, pump: SgReadyHeatPump, device: DeviceState, sg: SgState, start: Millis, input: SgInput, now: Millis): SgOutcome {
  const { budget, limits } = input;
  const known = budget.freshness === "fresh" && input.reports[site.devices.indexOf(pump)]!.online;
  const again = known && nominalFits(pump, input);
  const fitSince = again ? sg.fitSince ?? now : null;
  const next: SgState = fitSince === sg.fitSince ? sg : { ...sg, fitSince };
  // Begun is begun: makers want at least ten minutes, whatever else happens.
  if (now - start < SG_BLOCK_MIN_MS) return { sg: next, device: set(device, 1, budget.settle, now), reason: again ? "block_minimum" : "blocked", bind: scarcest(pump, input) };
  const out = sgOut(sg, limits.emergency, now);
  const stale = budget.freshness === "stale" || budget.freshness === "never" || !input.reports[site.devices.indexOf(pump)]!.online;
  // The neighbourhood's pumps must not come back at once, so a block's end is spread by the serial.
  // Its begin is not: a block begins only where a limit is exceeded already.
  const over = fitSince !== null && now - fitSince >= SG_UNBLOCK_HOLD_MS + spreadOver(SG_UNBLOCK_SPREAD_MS, site.serial, pump.id);
  if (!out && !stale && !over) return { sg: next, device: set(device, 1, budget.settle, now), reason: again ? "block_minimum" : "blocked", bind: scarcest(pump, input) };
  const blocks = sg.blocks.slice();
  blocks[blocks.length - 1] = { start, end: now };
  return {
    sg: { ...calm(sg), blocks }, device: set(device, 2, budget.settle, now),
    reason: out && !over ? "block_spent" : stale ? staleReason(budget) : "asked_in_full", bind: -1,
  };
}

/** State 3 on PV surplus, with hysteresis in power and time, below every limit. */
function stepSurplus(site: Site, pump: SgReadyHeatPump, index: number, device: DeviceState, sg: SgState, input: SgInput, now: Millis): SgOutcome {
  const { budget } = input;
  let surplus = -budget.held.watts;
  for (let other = 0; other < site.devices.length; other++) {
    const one = site.devices[other]!;
    if (other === index || one.priority > pump.priority || one.kind === "inverter" || (one.kind === "heat_pump" && one.control === "sg_ready")) continue;
    const told = input.states[other]!.setpoint;
    surplus -= one.kind === "ev" ? Math.trunc((told * ((one.phases[0] ? budget.voltage[0] : 0) + (one.phases[1] ? budget.voltage[1] : 0) + (one.phases[2] ? budget.voltage[2] : 0))) / 1_000_000) : Math.max(0, told);
  }
  if (device.setpoint === 3) {
    const since = surplus < 0 ? sg.surplusSince ?? now : null;
    const crowded = !everyRoom(input.left, 0, pump, budget);
    const long = device.changedAt !== null && now - device.changedAt >= SG_SURPLUS_MIN_MS;
    if (crowded || (long && since !== null && now - since >= SG_SURPLUS_HOLD_MS)) {
      return { sg: calm(sg), device: set(device, 2, budget.settle, now), reason: "asked_in_full", bind: -1 };
    }
    return { sg: since === sg.surplusSince ? sg : { ...sg, surplusSince: since }, device, reason: "surplus", bind: -1 };
  }
  const since = surplus >= pump.nominal && everyRoom(input.left, pump.nominal, pump, budget) ? sg.surplusSince ?? now : null;
  if (since !== null && now - since >= SG_SURPLUS_HOLD_MS) {
    return { sg: calm(sg), device: set(device, 3, budget.settle, now), reason: "surplus", bind: -1 };
  }
  return { sg: since === sg.surplusSince ? sg : { ...sg, surplusSince: since }, device, reason: "asked_in_full", bind: -1 };
}

function calm(sg: SgState): SgState {
  return sg.shortSince === null && sg.fitSince === null && sg.surplusSince === null ? sg : { ...sg, shortSince: null, fitSince: null, surplusSince: null };
}

function staleReason(budget: Budget): ReasonCode {
  return budget.freshness === "never" ? "meter_never" : budget.freshness === "ageing" ? "meter_ageing" : "meter_stale";
}

/** What `watts` of this pump takes of a room. */
function costOf(pump: SgReadyHeatPump, budget: Budget, place: number, watts: Watts): number {
  if (place >= NET) return watts;
  return pump.phases[place] ? (watts * 1_000_000) / (phaseCount(pump) * budget.voltageLow[place]!) : 0;
}

/** The limit whose shortage blocking this pump would ease; -1 = none. */
function bindingShortage(pump: SgReadyHeatPump, short: Rooms): number {
  for (let place = SCOPED; place >= 0; place--) if (short[place]! > 0 && (place >= NET || pump.phases[place] === true)) return place;
  return -1;
}

function everyRoom(rooms: Rooms, watts: Watts, pump: SgReadyHeatPump, budget: Budget): boolean {
  for (let place = 0; place < 5; place++) {
    if (place < NET && !pump.phases[place]) continue;
    if (rooms[place]! < costOf(pump, budget, place, watts)) return false;
  }
  return true;
}

/** Would its nominal power fit if the others gave way: it is blocked last and freed first. */
function nominalFits(pump: SgReadyHeatPump, input: SgInput): boolean {
  return everyRoom(wholeRooms(input.budget), pump.nominal, pump, input.budget);
}

function wholeRooms(budget: Budget): Rooms {
  return [budget.headroomPhase[0], budget.headroomPhase[1], budget.headroomPhase[2], budget.headroom ?? UNBOUND, budget.headroomControllable ?? UNBOUND];
}

function scarcest(pump: SgReadyHeatPump, input: SgInput): number {
  const rooms = wholeRooms(input.budget);
  let least = UNBOUND;
  let where = -1;
  for (let place = SCOPED; place >= 0; place--) {
    const cost = costOf(pump, input.budget, place, 1000);
    if (cost > 0 && rooms[place]! < UNBOUND / 2 && rooms[place]! / cost < least) {
      least = rooms[place]! / cost;
      where = place;
    }
  }
  return where;
}
