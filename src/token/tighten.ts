import { TOKEN_EVENTS_MAX } from "../constants.js";
import type { EpochSeconds, Watts } from "../units.js";
import type { CapEvent } from "./cap.js";

/** Events of a new token and the ones held before it, together. */
export const TIGHTENED_EVENTS_MAX = 2 * TOKEN_EVENTS_MAX;

/**
 * What may act of a new token while nothing may be relaxed (no trusted clock: CAPS.md, Life 6; or a
 * store that cannot be written): its events, and every held one besides. One with the id and scope
 * of a held one becomes the stricter of both in each respect. Held events that are over (`utc`, where
 * the clock is trusted) are left out; where too many are left, two become their envelope.
 */
export function tightenOnly(held: readonly CapEvent[], events: readonly CapEvent[], utc: EpochSeconds | null): readonly CapEvent[] {
  const result = events.slice();
  for (const old of held) {
    if (utc !== null && old.start + old.duration <= utc) continue;
    const same = result.findIndex((event) => event.id === old.id && event.controllable === old.controllable);
    if (same >= 0) result[same] = strictest(result[same]!, old);
    else result.push(old);
  }
  while (result.length > TIGHTENED_EVENTS_MAX) foldTwo(result);
  return result;
}

/** The last two of one scope become one; of any three events two share a scope, as there are two. */
function foldTwo(events: CapEvent[]): void {
  for (let from = events.length - 1; from > 0; from--) {
    for (let into = from - 1; into >= 0; into--) {
      if (events[into]!.controllable !== events[from]!.controllable) continue;
      events[into] = strictest(events[into]!, events[from]!);
      events.splice(from, 1);
      return;
    }
  }
}

/** From the earlier start to the later end, the lower limit in each direction; the rest is the first's. */
function strictest(a: CapEvent, b: CapEvent): CapEvent {
  const start = Math.min(a.start, b.start);
  return {
    ...a, start, duration: Math.max(a.start + a.duration, b.start + b.duration) - start,
    importLimit: lower(a.importLimit, b.importLimit), exportLimit: lower(a.exportLimit, b.exportLimit),
  };
}

const lower = (a: Watts | null, b: Watts | null): Watts | null => (a === null ? b : b === null ? a : Math.min(a, b));
