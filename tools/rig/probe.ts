/** A short look for mutate.ts, in a process of its own: fuzzers, then worlds, to the first breach. Exit 1 with it. */
import { performance } from "node:perf_hooks";
import process from "node:process";
import { runFuzzer } from "./fuzz.js";
import { fuzzers } from "./fuzzers.js";
import { makePlan } from "./plan.js";
import { RigWorld } from "./world.js";

const BLOCKS = 4;
const FIRST_SEED = 1;
const HOURS = 1.5;

function probe(seconds: number): string | null {
  for (const fuzzer of fuzzers) {
    const { failures } = runFuzzer(fuzzer, 1, 0, BLOCKS);
    if (failures.length > 0) return `${fuzzer.name}: ${failures[0]!.detail.slice(0, 160)}`;
  }
  const end = performance.now() + seconds * 1000;
  for (let seed = FIRST_SEED; performance.now() < end; seed++) {
    const { breaches } = new RigWorld(makePlan(seed, { hours: HOURS })).run();
    if (breaches.length > 0) return `world ${seed}: ${breaches[0]!.rule} at ${breaches[0]!.at} s: ${breaches[0]!.detail.slice(0, 160)}`;
  }
  return null;
}

const found = probe(Number(process.argv[2] ?? 30));
if (found !== null) process.stdout.write(`${found}\n`);
process.exitCode = found === null ? 0 : 1;
