/** Invariant 11: nobody has more than its share while a higher priority, or an equal, is short of a step. */
import type { Limits } from "../../src/limits/limit.js";
import type { DeviceReport } from "../../src/reading/report.js";
import type { Site } from "../../src/site.js";
import { FUSE_MARGIN_MA, isSg, load, MARGIN_W, range, stepOf, type CheckedHouse } from "./checker_house.js";

export interface Seen {
  readonly site: Site;
  readonly house: CheckedHouse;
  /** What each device was last told. */
  readonly told: readonly (number | null)[];
  /** The highest load of the last 30 s: W, L1, L2, L3. */
  readonly held: readonly (number | null)[];
  /** True where a device has stood still for some minutes: only then is it judged. */
  readonly calm: (device: number) => boolean;
  readonly limits: Limits;
  readonly reports: readonly DeviceReport[];
}

export function priorityBreaches(seen: Seen): string[] {
  const { site, house, told, calm, limits, reports } = seen;
  const breaches: string[] = [];
  const devices = site.devices;
  for (let h = 0; h < devices.length; h++) {
    const high = devices[h]!;
    const has = told[h]!;
    const short = range(high)[1] - has;
    const scale = high.kind === "ev" ? 1 : house.wattsOf(high, 1_000, reports) / 1_000;
    const crumb = Math.max(stepOf(high), 500 * scale) + stepOf(high);
    if (!load(high) || has <= 0 || short <= crumb || !calm(h)) continue;
    const draws = house.draws(high, reports[h]!);
    if (draws !== null && draws < has / scale - 1_900) continue; // its share lies unused and is handed on
    for (let l = 0; l < devices.length; l++) {
      const low = devices[l]!;
      const least = Math.max(0, range(low)[0]);
      const lowScale = low.kind === "ev" ? 1 : house.wattsOf(low, 1_000, reports) / 1_000;
      if (l === h || !(load(low) || low.kind === "battery") || low.priority < high.priority || !calm(l)) continue;
      const above = told[l]! - least;
      if (above <= Math.max(stepOf(low), 500 * lowScale) ) continue;
      // What it has must be enough for the other's step, in the room that is full: else it has the crumbs.
      const enough = above / lowScale > crumb / scale;
      const enoughWatts = house.wattsOf(low, above / lowScale, reports) > house.wattsOf(high, crumb / scale, reports);
      // Everything that keeps the higher one from its next step must be something the lower one draws on.
      const need = stepOf(high) / scale;
      const full = [0, 1, 2].filter((p) => high.phases[p] && left(seen, p + 1) < need);
      const fullWatts = limits.import.kind === "limit" && left(seen, 0, limits.import.watts - MARGIN_W) < house.wattsOf(high, need, reports);
      // Others may hold back up to a deadband each of what they could have: those places may be full too.
      const perhaps = [0, 1, 2].filter((p) => high.phases[p] && left(seen, p + 1) < need + 600 * devices.length);
      const fullScope = limits.controllable.kind === "limit";
      const shared = !fullScope && (full.length > 0 || fullWatts) && (full.length === 0 || enough) && (!fullWatts || enoughWatts) && perhaps.every((p) => low.phases[p]);
      if (!shared) continue;
      if (low.priority > high.priority || low.kind === "battery") breaches.push(`${low.id} has ${above} above its minimum while ${high.id} is ${short} short`);
      else {
        const apart = told[l]! / lowScale - has / scale;
        if (apart > 500 + stepOf(high) / scale + stepOf(low) / lowScale) breaches.push(`${low.id} has ${Math.round(apart)} mA more than its equal ${high.id}`);
      }
    }
  }
  return breaches;
}

/** What is left in a room: 0 = W, 1..3 = mA per phase. */
function left({ site, house, told, held, reports }: Seen, place: number, limit = 0): number {
  let rest = (place === 0 ? limit : site.connection.fuse - FUSE_MARGIN_MA) - (held[place] ?? 0);
  site.devices.forEach((device, i) => {
    const value = told[i] ?? 0;
    if (isSg(device) || device.kind === "inverter" || value <= 0) return;
    if (place === 0) rest -= device.kind === "ev" ? house.wattsOf(device, value, reports) : value;
    else if (device.phases[place - 1]) rest -= device.kind === "ev" ? value : house.ampsOf(device, value, place - 1, reports);
  });
  return rest;
}
