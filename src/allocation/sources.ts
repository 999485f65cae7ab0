import type { Budget } from "../budget/budget.js";
import type { Battery } from "../site.js";
import { askedOf, reachable, type Plan } from "./plan.js";
import { consumer, most, take, NET, type Consumer, type Rooms } from "./rooms.js";
import { distribute } from "./share.js";
import { set, shape } from "./shape.js";
import type { DeviceState } from "./state.js";

/** Batteries take the rest, and discharge into a shortage. */
export function serveBatteries(plan: Plan, rooms: Rooms, feedIn: Rooms): void {
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

/** Inverters: what may be fed in, less what batteries give. */
export function serveInverters(plan: Plan, feedIn: Rooms): void {
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
