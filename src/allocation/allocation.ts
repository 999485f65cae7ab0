import type { Limits, LimitSource } from "../limits/limit.js";
import type { Device, Site } from "../site.js";
import type { Millis } from "../units.js";
import type { Decision, ReasonCode, Setpoint, SgReadyState } from "./decision.js";
import { judgeOverload, serveLoads } from "./loads.js";
import { allSafe, askedOf, safeValue, type AllocationInput, type Plan } from "./plan.js";
import { UNBOUND, NET, type Consumer, type Rooms } from "./rooms.js";
import { sgLogText, sgRestore, sgStart, type SgState, type StoredLog } from "./sg_budget.js";
import { sgDraw, shortages, stepPump } from "./sg_ready.js";
import { serveBatteries, serveInverters } from "./sources.js";
import type { AllocationState, DeviceState } from "./state.js";

export { safeValue, sgRestore, type AllocationInput, type AllocationState, type DeviceState, type StoredLog };

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

/** CONTROL.md "Allocation" and "Shape": what each device is told in this tick, and why. */
export function allocationTick(site: Site, state: AllocationState, input: AllocationInput, now: Millis): AllocationResult {
  const { budget } = input;
  const utcOffset = input.utc === null ? state.utcOffset : input.utc * 1000 - now;
  const commanded = state.commanded.slice();
  const { length } = site.devices;
  const outcome = new Array<Consumer | null>(length).fill(null);
  const binds = new Array<number>(length).fill(-1);
  const reasons = new Array<ReasonCode>(length).fill("asked_in_full");
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

function sgWatts(plan: Plan): number {
  let watts = 0;
  for (let index = 0; index < plan.site.devices.length; index++) {
    const device = plan.site.devices[index]!;
    if (device.kind === "heat_pump" && device.control === "sg_ready") watts += sgDraw(device, plan.input.reports[index]!, plan.state.commanded[index]!.setpoint);
  }
  return watts;
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
    const outcome = stepPump(site, device, index, before, view, {
      budget: input.budget, limits: input.limits, reports: input.reports, utcOffset, left, states: plan.commanded,
    }, now);
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

function decide(plan: Plan): readonly Decision[] {
  const { site, state, input } = plan;
  // What is decided as before is the same object: a quiet tick leaves no garbage.
  let decisions: Decision[] | null = null;
  for (let index = 0; index < site.devices.length; index++) {
    const device = site.devices[index]!;
    const value = plan.commanded[index]!.setpoint;
    const reason = plan.reasons[index]!;
    const limit = sourceOf(device, plan.binds[index]!, input.limits);
    const old = state.decisions[index];
    if (old !== undefined && old.setpoint.value === value && old.reason === reason && old.limit === limit) continue;
    decisions ??= state.decisions.slice();
    decisions[index] = { device: device.id, setpoint: setpointOf(device, value), asked: askedOf(device), reason, limit };
  }
  return decisions ?? state.decisions;
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
