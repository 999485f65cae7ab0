/** A smaller plan that breaches the same rule: faults and deeds taken out in halves, quarters, one by one. */
import type { Plan } from "./plan.js";
import { RigWorld, type RigBreach } from "./world.js";

export interface Shrunk { readonly plan: Plan; readonly breach: RigBreach; readonly runs: number }

export function shrink(plan: Plan, told: (line: string) => void = () => {}): Shrunk | null {
  let runs = 0;
  const breachOf = (one: Plan): RigBreach | null => {
    runs++;
    return new RigWorld(one).run().breaches[0] ?? null;
  };
  let breach = breachOf(plan);
  if (breach === null) return null;
  told(`seed ${plan.seed}: ${breach.rule} at ${breach.at} s: ${breach.detail}`);
  const { rule } = breach;
  let small = rule.startsWith("end:") ? plan : cut(plan, breach.at);
  const attempt = (one: Plan): boolean => {
    const found = breachOf(one);
    if (found?.rule !== rule) return false;
    breach = found;
    small = rule.startsWith("end:") ? one : cut(one, found.at);
    return true;
  };
  for (const list of ["faults", "deeds"] as const) {
    for (let size = Math.max(1, small[list].length >> 1); ; size = size >> 1) {
      for (let from = small[list].length - size; from > -size; from -= size) {
        const start = Math.max(0, from);
        const rest = small[list].filter((_, i) => i < start || i >= from + size);
        if (rest.length < small[list].length) attempt({ ...small, [list]: rest });
      }
      if (size <= 1) break;
    }
    told(`${small[list].length} ${list} left after ${runs} runs, ${small.seconds} s`);
  }
  return { plan: small, breach, runs };
}

/** Nothing after the breach matters. */
function cut(plan: Plan, at: number): Plan {
  const seconds = Math.min(plan.seconds, Math.ceil(at) + 1);
  return { ...plan, seconds, faults: plan.faults.filter((fault) => fault.at < seconds), deeds: plan.deeds.filter((deed) => deed.at < seconds) };
}
