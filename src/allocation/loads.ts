import { DERATE_ABOVE_MA, DERATE_MS } from "../constants.js";
import type { Millis } from "../units.js";
import type { ReasonCode } from "./decision.js";
import { askedOf, reachable, type Plan } from "./plan.js";
import { consumer, type Consumer, type Rooms } from "./rooms.js";
import { admit, distribute } from "./share.js";
import { drawn, setSafe, shape, unusedMaximum, unusedSince } from "./shape.js";
import type { DeviceState } from "./state.js";

/**
 * Still over after settling: the devices that draw more than they were told, and those that do not
 * tell what they draw, are halved, then switched off. Returns since when the meter is above a limit.
 */
export function judgeOverload(plan: Plan): Millis | null {
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

/** EV chargers and heat pumps by Modbus: admission, shares, shape. */
export function serveLoads(plan: Plan, rooms: Rooms): void {
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
