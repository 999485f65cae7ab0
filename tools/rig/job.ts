/** What a worker of the rig does: a piece of a fuzzer's blocks, a world, or a run drawn for the page. */
import { performance } from "node:perf_hooks";
import { runFuzzer, type FuzzResult } from "./fuzz.js";
import { fuzzers } from "./fuzzers.js";
import { makePlan, type Plan } from "./plan.js";
import { RigWorld, type Result, type RigBreach } from "./world.js";

export type Job =
  | { readonly kind: "fuzz"; readonly name: string; readonly seed: number; readonly from: number; readonly to: number }
  | { readonly kind: "world"; readonly seed: number }
  | { readonly kind: "chart"; readonly seed: number; readonly until: number };

export interface WorldResult {
  readonly seed: number;
  readonly seconds: number;
  readonly devices: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly boots: number;
  readonly ms: number;
  readonly breaches: readonly RigBreach[];
  readonly words: readonly string[];
  readonly readings: number;
}

/** A sample of a run, every `stepS` seconds: the highest within it. */
export interface Chart {
  readonly seed: number;
  readonly title: string;
  readonly stepS: number;
  readonly names: readonly string[];
  readonly net: number[];
  readonly limit: (number | null)[];
  readonly volts: number[];
  /** Per device; A, W or SG Ready state. */
  readonly setpoints: number[][];
}

export type Done =
  | { readonly kind: "fuzz"; readonly result: FuzzResult }
  | { readonly kind: "world"; readonly result: WorldResult }
  | { readonly kind: "chart"; readonly result: Chart };

export function runJob(job: Job): Done {
  switch (job.kind) {
    case "fuzz": {
      const fuzzer = fuzzers.find(({ name }) => name === job.name);
      if (fuzzer === undefined) throw new Error(`no fuzzer ${job.name}`);
      return { kind: "fuzz", result: runFuzzer(fuzzer, job.seed, job.from, job.to) };
    }
    case "world": return { kind: "world", result: runWorld(makePlan(job.seed)) };
    case "chart": return { kind: "chart", result: drawn(job.seed, job.until) };
  }
}

export function runWorld(plan: Plan): WorldResult {
  const began = performance.now();
  const world = new RigWorld(plan);
  const result: Result = world.run();
  const faults: Record<string, number> = {};
  for (const { kind, at } of plan.faults) if (at < result.seconds) faults[kind] = (faults[kind] ?? 0) + 1;
  return {
    seed: plan.seed, seconds: result.seconds, devices: plan.things.length, faults, boots: result.boots, ms: performance.now() - began,
    breaches: result.breaches, words: result.breaches.length > 0 ? result.words : [], readings: result.counters["readings"] ?? 0,
  };
}

const POINTS = 400;

function drawn(seed: number, until: number): Chart {
  const plan = makePlan(seed);
  const seconds = Math.min(plan.seconds, until);
  const stepS = Math.max(1, Math.ceil(seconds / POINTS));
  const names = plan.things.map(({ id }) => id);
  const chart: Chart = {
    seed, stepS, names, net: [], limit: [], volts: [], setpoints: names.map(() => []),
    title: `seed ${seed}: DSMR ${plan.version}, ${plan.phases} phase${plan.phases === 1 ? "" : "s"}, ${plan.faults.length} faults`,
  };
  let second = 0, net = -Infinity, volts = Infinity;
  new RigWorld(plan, {
    stop: false,
    each: (seen, world) => {
      net = Math.max(net, seen.watts[0] + seen.watts[1] + seen.watts[2]);
      volts = Math.min(volts, seen.volts[0]);
      if (++second % stepS !== 0) return;
      const limit = world.outputs?.limits.import;
      chart.net.push(Math.round(net));
      chart.volts.push(Math.round(volts * 10) / 10);
      chart.limit.push(limit?.kind === "limit" && seen.on ? limit.watts : null);
      names.forEach((_, i) => chart.setpoints[i]!.push(world.outputs?.decisions[i]?.setpoint.value ?? 0));
      net = -Infinity;
      volts = Infinity;
    },
  }).run(seconds);
  return chart;
}
