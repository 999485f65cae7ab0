import { DERATE_ABOVE_MA, DERATE_MS } from "../constants.js";
import type { Budget } from "../budget/budget.js";
import type { Limits, LimitSource } from "../limits/limit.js";
import type { Reading } from "../reading/reading.js";
import type { DeviceReport } from "../reading/report.js";
import type { Battery, Device, Site } from "../site.js";
import type { EpochSeconds, Millis } from "../units.js";
import type { Decision, ReasonCode, Setpoint, SgReadyState } from "./decision.js";
import { consumer, most, take, UNBOUND, NET, type Consumer, type Rooms } from "./rooms.js";
import { sgLogText, sgRestore, sgStart, type SgState, type StoredLog } from "./sg_budget.js";
import { sgDraw, shortages, stepPump } from "./sg_ready.js";
import { drawn, set, setSafe, shape, unusedMaximum, unusedSince } from "./shape.js";
import { admit, distribute } from "./share.js";
import type { AllocationState, DeviceState } from "./state.js";

export { sgRestore, type AllocationState, type DeviceState, type StoredLog };

export interface AllocationInput {
  readonly reading: Reading | null;
  readonly budget: Budget;
  readonly limits: Limits;
  readonly reports: readonly DeviceReport[];
  /** UTC where a clock is trusted. */
  readonly utc: EpochSeconds | null;
}

export interface AllocationResult {
  readonly state: AllocationState;
  /** One per device, in the order of site.devices. */
  readonly decisions: readonly Decision[];
  /** The SG Ready log changed: sgPersist(state) must be stored before the contacts move. */
  readonly persistChanged: boolean;
}

/** From power-on every device is commanded its safe value (invariant 14). */
export function allocationStart(site: Site, logs: readonly StoredLog[] | null, now: Millis): AllocationState {
  const order: number[] = [];
  for (let index = 0; index < site.devices.length; index++) {
    let place = order.length;
    while (place > 0 && site.devices[order[place - 1]!]!.priority > site.devices[index]!.priority) place -= 1;
    order.splice(place, 0, index);
  }
  const commanded: DeviceState[] = [];
  const sg: (SgState | null)[] = [];
  for (const device of site.devices) {
    const safe = safeValue(device);
    commanded.push({
      setpoint: safe, changedAt: null, recent: [], onSince: safe > 0 ? now : null, offSince: null, startSince: null,
      riseSince: null, riseTo: 0, unusedSince: null, derateTo: null, derateUntil: 0,
    });
    sg.push(device.kind === "heat_pump" && device.control === "sg_ready" ? sgStart(device.id, logs, now) : null);
  }
  return { order, commanded, sg, overSince: null, utcOffset: null, decisions: [] };
}

/** The rolling SG Ready log as it is to be stored. */
export function sgPersist(state: AllocationState): string {
  return sgLogText(state.sg, state.utcOffset);
}

export function safeValue(device: Device): number {
  if (device.kind === "ev" || device.kind === "battery") return 0;
  if (device.kind === "inverter") return device.safe;
  return device.control === "sg_ready" ? 2 : device.safe;
}

/** CONTROL.md "Allocation" and "Shape": what each device is told in this tick, and why. */
export function allocationTick(site: Site, state: AllocationState, input: AllocationInput, now: Millis): AllocationResult {
  const { budget } = input;
  const utcOffset = input.utc === null ? state.utcOffset : input.utc * 1000 - now;
  const commanded = state.commanded.slice();
  const outcome: (Consumer | null)[] = [];
  const binds: number[] = [];
  const reasons: ReasonCode[] = [];
  for (let index = 0; index < site.devices.length; index++) {
    outcome.push(null);
    binds.push(-1);
    reasons.push("asked_in_full");
  }
  const plan: Plan = { site, state, input, now, commanded, outcome, reasons, binds };
  const overSince = judgeOverload(plan);

  const rooms: Rooms = [
    budget.headroomPhase[0], budget.headroomPhase[1], budget.headroomPhase[2], budget.headroom ?? UNBOUND,
    (budget.headroomControllable ?? UNBOUND) - (budget.headroomControllable === null ? 0 : sgWatts(plan)),
  ];
  const feedIn: Rooms = [
    budget.headroomPhaseExport[0], budget.headroomPhaseExport[1], budget.headroomPhaseExport[2],
    budget.headroomExport ?? UNBOUND, budget.headroomProduction ?? UNBOUND,
  ];
  if (budget.freshness === "stale" || budget.freshness === "never") allSafe(plan);
  else {
    serveLoads(plan, rooms);
    serveBatteries(plan, rooms, feedIn);
    serveInverters(plan, feedIn);
  }
  const sg = servePumps(plan, rooms, utcOffset);
  if (state.decisions.length === 0) forgetStart(commanded);
  const decisions = decide(plan);
  const firstClock = state.utcOffset === null && utcOffset !== null;
  return {
    state: { order: state.order, commanded, sg, overSince, utcOffset, decisions },
    decisions,
    persistChanged: logChanged(state.sg, sg, firstClock),
  };
}

/** What was assumed before the first tick was never told to anybody. */
function forgetStart(commanded: DeviceState[]): void {
  for (let index = 0; index < commanded.length; index++) {
    if (commanded[index]!.recent.length > 0) commanded[index] = { ...commanded[index]!, recent: [] };
  }
}

/** One tick's work. The arrays are its own and filled in; everything else is read. */
interface Plan {
  readonly site: Site;
  readonly state: AllocationState;
  readonly input: AllocationInput;
  readonly now: Millis;
  readonly commanded: DeviceState[];
  readonly outcome: (Consumer | null)[];
  readonly reasons: ReasonCode[];
  readonly binds: number[];
}

function sgWatts(plan: Plan): number {
  let watts = 0;
  for (let index = 0; index < plan.site.devices.length; index++) {
    const device = plan.site.devices[index]!;
    if (device.kind === "heat_pump" && device.control === "sg_ready") watts += sgDraw(device, plan.input.reports[index]!, plan.state.commanded[index]!.setpoint);
  }
  return watts;
}

/**
 * Still over after settling: the devices that draw more than they were told, and those that do not
 * tell what they draw, are halved, then switched off. Returns since when the meter is above a limit.
 */
function judgeOverload(plan: Plan): Millis | null {
  const { site, input, now } = plan;
  const { excess, settle, freshness, voltage } = input.budget;
  for (let index = 0; index < plan.commanded.length; index++) {
    const one = plan.commanded[index]!;
    if (one.derateTo !== null && now >= one.derateUntil) plan.commanded[index] = { ...one, derateTo: null };
  }
  const watts = excess.watts !== null && excess.watts > 0;
  const over = watts || excess.milliamps[0] > 0 || excess.milliamps[1] > 0 || excess.milliamps[2] > 0;
  if (!over || freshness !== "fresh") return null;
  const since = plan.state.overSince ?? now;
  if (now - since < settle) return since;
  let acted = false;
  for (let index = 0; index < site.devices.length; index++) {
    const device = site.devices[index]!;
    const one = plan.commanded[index]!;
    if (device.kind === "inverter" || (device.kind === "heat_pump" && device.control === "sg_ready") || one.setpoint <= 0) continue;
    const concerned = watts || (device.phases[0] && excess.milliamps[0] > 0) || (device.phases[1] && excess.milliamps[1] > 0) || (device.phases[2] && excess.milliamps[2] > 0);
    if (!concerned || (one.changedAt !== null && now - one.changedAt < settle)) continue;
    const draws = drawn(device, input.reports[index]!, voltage);
    const scale = consumer(device, index, one.setpoint, input.budget).scale;
    if (draws !== null && draws <= one.setpoint + DERATE_ABOVE_MA * scale) continue;
    const half = one.derateTo === null ? Math.floor(one.setpoint / 2 / device.step) * device.step : 0;
    plan.commanded[index] = { ...one, derateTo: half, derateUntil: now + DERATE_MS };
    acted = true;
  }
  return acted ? now : since;
}

function allSafe(plan: Plan): void {
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

/** True where the device answers and a fresh meter lets it be served; else it is told its safe value. */
function reachable(plan: Plan, index: number, device: Device): boolean {
  if (plan.input.reports[index]!.online) return true;
  plan.reasons[index] = "offline";
  plan.commanded[index] = setSafe(plan.commanded[index]!, boundedSafe(device, plan.input.limits), device.kind === "heat_pump", plan.input.budget.settle, plan.now);
  return false;
}

function serveLoads(plan: Plan, rooms: Rooms): void {
  const { site, input, now } = plan;
  const { budget } = input;
  const list: Consumer[] = [];
  const mayRise = budget.freshness === "fresh";
  for (let place = 0; place < plan.state.order.length; place++) {
    const index = plan.state.order[place]!;
    const device = site.devices[index]!;
    if (device.kind !== "ev" && (device.kind !== "heat_pump" || device.control !== "power")) continue;
    if (!reachable(plan, index, device)) continue;
    const report = input.reports[index]!;
    const before = plan.commanded[index]!;
    if (report.wants === false) {
      plan.reasons[index] = "not_wanted";
      plan.commanded[index] = setSafe(before, 0, false, budget.settle, now);
      continue;
    }
    const one = consumer(device, index, before.setpoint, budget);
    const draws = drawn(device, report, budget.voltage);
    const unused = unusedSince(one, before, draws, budget.settle, now);
    if (unused !== before.unusedSince) plan.commanded[index] = { ...before, unusedSince: unused };
    const wanted = unusedMaximum(one, unused, draws, now);
    if (wanted < one.maximum) one.reason = "unused";
    one.maximum = wanted;
    if (before.derateTo !== null && before.derateTo < one.maximum) {
      one.maximum = before.derateTo;
      one.reason = "overload";
    }
    plan.outcome[index] = one;
    list.push(one);
  }
  const why: ReasonCode[] = [];
  for (let place = 0; place < list.length; place++) why.push(list[place]!.reason);
  for (let place = 0; place < list.length; place++) list[place]!.reason = "asked_in_full";
  const startSince = admit(rooms, list, plan.commanded, mayRise, now);
  distribute(rooms, list);
  for (let place = 0; place < list.length; place++) {
    const one = list[place]!;
    const before = plan.commanded[one.index]!;
    const marked = before.startSince === startSince[place] ? before : { ...before, startSince: startSince[place]! };
    const after = shape(one, marked, mayRise, budget.settle, now);
    plan.commanded[one.index] = after;
    explain(plan, one, after, why[place]!, mayRise);
  }
}

/** Why this much: what stopped it first, on its way from what was asked to what it is told. */
function explain(plan: Plan, one: Consumer, after: DeviceState, why: ReasonCode, mayRise: boolean): void {
  const device = plan.site.devices[one.index]!;
  let reason = one.reason;
  let bind = one.bind;
  if (one.maximum < one.minimum || one.maximum === 0) reason = "overload";
  else if (one.admitted) {
    if (one.reason === "on_time" && after.setpoint > one.minimum) reason = "asked_in_full";
    if (after.setpoint >= askedOf(device) || reason === "on_time") bind = reason === "on_time" ? bind : -1;
    else if (after.setpoint < one.target) {
      reason = mayRise ? "rising" : "meter_ageing";
      bind = -1;
    } else if (one.target < one.maximum) reason = "limited";
    else reason = why;
  }
  plan.reasons[one.index] = reason;
  plan.binds[one.index] = bind;
}

/** Batteries take the rest, and discharge into a shortage. */
function serveBatteries(plan: Plan, rooms: Rooms, feedIn: Rooms): void {
  const { site, input, now } = plan;
  const { budget } = input;
  const list: Consumer[] = [];
  const mayRise = budget.freshness === "fresh";
  for (let place = 0; place < plan.state.order.length; place++) {
    const index = plan.state.order[place]!;
    const device = site.devices[index]!;
    if (device.kind !== "battery" || !reachable(plan, index, device)) continue;
    const before = plan.commanded[index]!;
    const one = consumer(device, index, before.setpoint, budget);
    plan.outcome[index] = one;
    const report = input.reports[index]!;
    const may = mayDischarge(device, one, feedIn);
    const gives = report.stateOfCharge === 0 ? 0 : Math.min(may, shortage(one, rooms));
    // It rises slowly out of a discharge; what it may feed in binds at once all the same.
    one.least = -Math.min(may, Math.max(gives, -before.setpoint, 0));
    take(feedIn, one, -one.least);
    if (gives > 0) {
      one.target = -gives;
      one.reason = "covers_shortage";
      cover(rooms, one, gives);
    } else {
      one.admitted = true;
      if (before.derateTo !== null) one.maximum = Math.min(one.maximum, before.derateTo);
      if (report.wants === false || (report.stateOfCharge !== null && report.stateOfCharge >= 1000)) {
        one.maximum = 0;
        one.reason = "not_wanted";
      }
      list.push(one);
    }
  }
  distribute(rooms, list);
  for (let place = 0; place < plan.state.order.length; place++) {
    const index = plan.state.order[place]!;
    const one = plan.outcome[index];
    if (site.devices[index]!.kind !== "battery" || one === null || one === undefined) continue;
    const shaped = shape(one, plan.commanded[index]!, mayRise, budget.settle, now);
    const after = shaped.setpoint < one.least ? set(shaped, one.least, budget.settle, now) : shaped;
    plan.commanded[index] = after;
    if (one.reason !== "not_wanted" && one.reason !== "covers_shortage") explainShare(plan, one, after, mayRise);
    else {
      plan.reasons[index] = after.setpoint < 0 && one.target >= 0 ? "rising" : one.reason;
      plan.binds[index] = one.reason === "covers_shortage" ? shortOf(one, budget) : -1;
    }
  }
}

function explainShare(plan: Plan, one: Consumer, after: DeviceState, mayRise: boolean): void {
  const asked = askedOf(plan.site.devices[one.index]!);
  const rising = after.setpoint < one.target;
  plan.reasons[one.index] = after.setpoint >= asked ? "asked_in_full"
    : rising ? (mayRise ? "rising" : "meter_ageing")
    : one.target < one.maximum ? "limited" : after.derateTo !== null ? "overload" : "limited";
  plan.binds[one.index] = plan.reasons[one.index] === "limited" ? one.bind : -1;
}

/** W needed of this battery to bring the rooms it touches back to zero, on its grid. */
function shortage(one: Consumer, rooms: Rooms): number {
  let need = 0;
  for (let place = 0; place <= NET; place++) {
    const each = one.cost[place]!;
    if (each > 0 && -rooms[place]! / each > need) need = -rooms[place]! / each;
  }
  return Math.ceil(need / one.step) * one.step;
}

/** What a discharge adds fills a shortage and no more: one battery must not charge another. */
function cover(rooms: Rooms, one: Consumer, gives: number): void {
  for (let place = 0; place <= NET; place++) {
    if (rooms[place]! < 0) rooms[place] = Math.min(0, rooms[place]! + gives * one.cost[place]!);
  }
}

/** W this battery can and may feed in, on its grid. */
function mayDischarge(device: Battery, one: Consumer, feedIn: Rooms): number {
  const may = Math.min(device.dischargeMax, most(feedIn, one));
  return Math.max(0, Math.floor(may / one.step) * one.step);
}

/** Of the rooms that were short before the battery stepped in, the one it covers. */
function shortOf(one: Consumer, budget: Budget): number {
  if (budget.headroom !== null && budget.headroom < 0) return NET;
  for (let phase = 0; phase < 3; phase++) if (one.cost[phase]! > 0 && budget.headroomPhase[phase]! < 0) return phase;
  return -1;
}

function serveInverters(plan: Plan, feedIn: Rooms): void {
  const { site, input, now } = plan;
  const { budget } = input;
  const list: Consumer[] = [];
  const mayRise = budget.freshness === "fresh";
  for (let place = 0; place < plan.state.order.length; place++) {
    const index = plan.state.order[place]!;
    const device = site.devices[index]!;
    if (device.kind !== "inverter" || !reachable(plan, index, device)) continue;
    const one = consumer(device, index, plan.commanded[index]!.setpoint, budget);
    one.admitted = true;
    plan.outcome[index] = one;
    list.push(one);
  }
  distribute(feedIn, list);
  for (let place = 0; place < list.length; place++) {
    const one = list[place]!;
    const after = shape(one, plan.commanded[one.index]!, mayRise, budget.settle, now);
    plan.commanded[one.index] = after;
    explainShare(plan, one, after, mayRise);
  }
}

/** SG Ready pumps, least important first: they are blocked only when nothing else is left. */
function servePumps(plan: Plan, left: Rooms, utcOffset: number | null): readonly (SgState | null)[] {
  const { site, state, input, now } = plan;
  const short = shortages(site, input.budget, input.limits, input.reports, plan.commanded, sgWatts(plan));
  // A block that has just begun has yet to show at the meter: no second one for the same watts.
  let settling = false;
  for (let index = 0; index < site.devices.length; index++) {
    const one = state.commanded[index]!;
    if (state.sg[index] !== null && one.setpoint === 1 && one.changedAt !== null && now - one.changedAt < input.budget.settle) settling = true;
  }
  const view = settling ? [-UNBOUND, -UNBOUND, -UNBOUND, -UNBOUND, -UNBOUND] : short;
  let sg: (SgState | null)[] | null = null;
  for (let place = state.order.length - 1; place >= 0; place--) {
    const index = state.order[place]!;
    const device = site.devices[index]!;
    const before = state.sg[index];
    if (device.kind !== "heat_pump" || device.control !== "sg_ready" || before === null || before === undefined) continue;
    const outcome = stepPump(site, device, index, before, view, { ...input, utcOffset, left, states: plan.commanded }, now);
    plan.commanded[index] = outcome.device;
    plan.reasons[index] = outcome.reason;
    plan.binds[index] = outcome.bind;
    if (outcome.sg !== before) {
      sg ??= state.sg.slice();
      sg[index] = outcome.sg;
    }
  }
  return sg ?? state.sg;
}

function logChanged(before: readonly (SgState | null)[], after: readonly (SgState | null)[], firstClock: boolean): boolean {
  for (let index = 0; index < after.length; index++) {
    const one = after[index]!;
    const old = before[index]!;
    if (one === null || old === null) continue;
    const count = one.blocks.length;
    if (firstClock && count > 0) return true;
    if (one.unplaced !== old.unplaced) return true;
    if (count !== old.blocks.length || (count > 0 && one.blocks[count - 1] !== old.blocks[count - 1])) return true;
  }
  return false;
}

/** What a device would be given without any limit, in its setpoint's unit. */
function askedOf(device: Device): number {
  if (device.kind === "ev") return Math.floor(device.maximum / device.step) * device.step;
  if (device.kind === "battery") return Math.floor(device.chargeMax / device.step) * device.step;
  if (device.kind === "inverter") return Math.floor(device.rated / device.step) * device.step;
  return device.control === "sg_ready" ? 2 : Math.floor(device.maximum / device.step) * device.step;
}

function decide(plan: Plan): readonly Decision[] {
  const { site, state, input } = plan;
  const decisions: Decision[] = [];
  for (let index = 0; index < site.devices.length; index++) {
    const device = site.devices[index]!;
    const value = plan.commanded[index]!.setpoint;
    const reason = plan.reasons[index]!;
    const limit = sourceOf(device, plan.binds[index]!, input.limits);
    const old = state.decisions[index];
    // The same decision is the same object: a quiet tick leaves no garbage.
    decisions.push(old !== undefined && old.setpoint.value === value && old.reason === reason && old.limit === limit
      ? old : { device: device.id, setpoint: setpointOf(device, value), asked: askedOf(device), reason, limit });
  }
  return decisions;
}

function setpointOf(device: Device, value: number): Setpoint {
  if (device.kind === "ev") return { kind: "current", value };
  if (device.kind === "inverter") return { kind: "production", value };
  if (device.kind === "heat_pump" && device.control === "sg_ready") return { kind: "sg_ready", value: value as SgReadyState };
  return { kind: "power", value };
}

function sourceOf(device: Device, bind: number, limits: Limits): LimitSource | null {
  if (bind < 0) return null;
  if (bind < NET) return "fuse";
  const net = device.kind === "inverter" ? limits.export : limits.import;
  const scoped = device.kind === "inverter" ? limits.production : limits.controllable;
  const limit = bind === NET ? net : scoped;
  return limit.kind === "limit" ? limit.source : null;
}
