/** Runs the law against a house, second by second, and lets the checker judge each tick. */
import { allocationStart, allocationTick, type AllocationState } from "../../src/allocation/allocation.js";
import type { Decision, Setpoint } from "../../src/allocation/decision.js";
import type { Budget } from "../../src/budget/budget.js";
import { budgetStart, budgetTick, type BudgetState } from "../../src/budget/assess.js";
import type { Limits } from "../../src/limits/limit.js";
import type { Reading } from "../../src/reading/reading.js";
import type { Site } from "../../src/site.js";
import { Checker } from "../../tools/rig/checker.js";
import { House, type HouseOptions } from "../house.js";

export interface Run {
  readonly site: Site;
  readonly house: HouseOptions;
  readonly seconds: number;
  readonly limitsAt: (second: number) => Limits;
  readonly offline?: (device: number, second: number) => boolean;
  readonly silent?: (second: number) => boolean;
  /** A deliberate fault: what reaches the devices instead of what was decided. */
  readonly tamper?: (setpoints: readonly Setpoint[], second: number) => readonly Setpoint[];
  readonly each?: (seen: { second: number; decisions: readonly Decision[]; budget: Budget; phases: readonly number[]; allocation: AllocationState; reading: Reading | null; drawn: readonly number[] }) => void;
  readonly freeze?: boolean;
}

export function freeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) freeze(inner);
  }
  return value;
}

export function runHouse(run: Run): Checker {
  const { site } = run;
  const checker = new Checker(site);
  const house = new House(site, run.house);
  let budgetState: BudgetState = budgetStart(site);
  let state: AllocationState = allocationStart(site, [], 0);
  let reading: Reading | null = null;
  for (let second = 0; second <= run.seconds; second++) {
    const now = second * 1_000;
    const online = site.devices.map((_, i) => !(run.offline?.(i, second) ?? false));
    const reports = house.reports(online);
    const due = second > 2 && second % (run.house.period / 1_000) === 0 && !(run.silent?.(second) ?? false);
    const fresh = due ? { ...house.reading(), at: now } : null;
    reading = fresh ?? reading;
    const limits = run.limitsAt(second);
    if (run.freeze === true) freeze([budgetState, state, reading, limits, reports, site]);
    const assessed = budgetTick(site, budgetState, { reading, fresh: fresh !== null, limits, reports, commanded: state.commanded }, now);
    const given = allocationTick(site, state, { reading, budget: assessed.budget, limits, reports, utc: 1_700_000_000 + second }, now);
    if (run.freeze === true) {
      const again = budgetTick(site, budgetState, { reading, fresh: fresh !== null, limits, reports, commanded: state.commanded }, now);
      const twice = allocationTick(site, JSON.parse(JSON.stringify(state)) as AllocationState, { reading, budget: again.budget, limits, reports, utc: 1_700_000_000 + second }, now);
      if (JSON.stringify([assessed, given]) !== JSON.stringify([again, twice])) checker.breaches.push({ invariant: 9, at: now, detail: "the same inputs gave another output" });
    }
    budgetState = assessed.state;
    state = given.state;
    const decided = given.decisions.map((one) => one.setpoint);
    const setpoints = run.tamper?.(decided, second) ?? decided;
    checker.observe({ now, reading: fresh, limits, reports, setpoints });
    run.each?.({ second, decisions: given.decisions, budget: assessed.budget, phases: house.phases(), allocation: state, reading: fresh, drawn: house.drawn() });
    house.step(setpoints, online);
  }
  return checker;
}
