import { describeLimit, describeWatts } from "../limits/words.js";
import type { Limit, Limits, LimitSource } from "../limits/limit.js";
import type { Device, Site } from "../site.js";
import type { Milliamps } from "../units.js";
import type { Decision } from "./decision.js";

/**
 * A decision in words, the one place where they are made: log, page and tests show the same.
 * "charger: 8.0 A of 16.0 A asked; grid operator's cap 4.2 kW until 19:15 UTC binds".
 */
export function describeDecision(site: Site, decision: Decision, limits: Limits): string {
  const device = site.devices.find((one) => one.id === decision.device);
  const what = describeGiven(decision);
  const why = describeReason(decision, device ?? null, limits);
  return `${decision.device}: ${what}${why === "" ? "" : `; ${why}`}`;
}

function describeGiven({ setpoint, asked }: Decision): string {
  switch (setpoint.kind) {
    case "current": return setpoint.value === asked ? `${describeAmperes(asked)} as asked` : `${setpoint.value === 0 ? "off" : describeAmperes(setpoint.value)}, ${describeAmperes(asked)} asked`;
    case "power":
      if (setpoint.value < 0) return `discharges ${describeWatts(-setpoint.value)}`;
      return setpoint.value === asked ? `${describeWatts(asked)} as asked` : `${setpoint.value === 0 ? "0 W" : describeWatts(setpoint.value)}, ${describeWatts(asked)} asked`;
    case "production": return setpoint.value === asked ? `produces freely, up to ${describeWatts(asked)}` : `produces at most ${describeWatts(setpoint.value)} of ${describeWatts(asked)}`;
    case "sg_ready": return setpoint.value === 1 ? "blocked (state 1)" : setpoint.value === 2 ? "normal (state 2)" : setpoint.value === 3 ? "encouraged (state 3)" : "forced on (state 4)";
  }
}

function describeReason(decision: Decision, device: Device | null, limits: Limits): string {
  const limit = decision.limit === null ? "" : describeBinding(decision.limit, device, limits);
  switch (decision.reason) {
    case "asked_in_full": return "";
    case "limited": return limit === "" ? "no more is left" : `${limit} binds`;
    case "below_minimum": return `what ${limit === "" ? "is left" : `${limit} leaves`} is below its minimum`;
    case "waits_start": return "room for a start must hold for a minute";
    case "waits_off_time": return "stays off for at least five minutes";
    case "on_time": return "stays on at its minimum for at least five minutes";
    case "rising": return "rises slowly";
    case "overload": return "the meter stayed above the limit: the device does not follow its setpoint";
    case "unused": return "draws less: the rest is handed on";
    case "meter_stale": return "no telegram for too long: safe value";
    case "meter_never": return "no telegram yet: safe value";
    case "meter_ageing": return "telegrams are late: no rise";
    case "offline": return "does not answer: safe value";
    case "not_wanted": return "wants nothing";
    case "surplus": return "solar surplus";
    case "blocked": return `nothing else is left to turn down${limit === "" ? "" : `: ${limit} binds`}`;
    case "block_minimum": return "a block lasts at least ten minutes and ends once the pump fits again";
    case "block_spent": return "needed, but the blocks of these 24 hours are spent: the pump counts as uncontrolled";
    case "block_apart": return "needed, but blocks are at least ten minutes apart";
    case "covers_shortage": return `covers a shortage${limit === "" ? "" : `: ${limit} binds`}`;
  }
}

/** The limit of that source that can have bound this device. */
function describeBinding(source: LimitSource, device: Device | null, limits: Limits): string {
  if (source === "fuse") return "main fuse";
  const order: readonly Limit[] = device !== null && device.kind === "inverter"
    ? [limits.export, limits.production] : [limits.import, limits.controllable];
  for (const limit of order) if (limit.kind === "limit" && limit.source === source) return describeLimit(limit);
  return source;
}

/** 8000 -> "8.0 A". */
export function describeAmperes(milliamps: Milliamps): string {
  const tenths = Math.floor(milliamps / 100);
  return `${Math.floor(tenths / 10)}.${tenths % 10} A`;
}
