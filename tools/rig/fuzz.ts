/**
 * Fuzzers: each trial gives null or what was wrong. What a fuzzer throws is a failure like any other.
 * Trials come in blocks of BLOCK with a seed each; a block by its seed and number is the same again.
 */
import { performance } from "node:perf_hooks";
import { seedOf } from "../../hal/sim/random.js";
import { Dice } from "./plan.js";

export const BLOCK = 500;

export interface Fuzz {
  /** One trial of a block; state may live through the block. */
  trial(dice: Dice): string | null;
  /** After a block: null, or what no longer works. */
  after?(): string | null;
  /** What the trials did, so that nobody mistakes silence for success: counts by name. */
  readonly seen: Record<string, number>;
}
export interface Fuzzer {
  readonly name: string;
  /** Trials at the levels change and release. */
  readonly change: number;
  readonly release: number;
  make(dice: Dice): Fuzz;
}

export interface FuzzFailure { readonly seed: number; readonly block: number; readonly trial: number; readonly detail: string }
export interface FuzzResult {
  readonly name: string;
  readonly trials: number;
  readonly failures: readonly FuzzFailure[];
  readonly seen: Readonly<Record<string, number>>;
  readonly ms: number;
  /** Bytes of heap after the last block less after the first, collected where the engine can. */
  readonly heap: number;
  /** The slowest trial, ms. */
  readonly slowest: number;
}

const FAILURES_MAX = 10;
/** A trial that takes longer hangs: the slowest by far is a signature's check. */
const TRIAL_MS_MAX = 2_000;

/** Blocks [from, to), or until `deadline` (performance.now()). */
export function runFuzzer(fuzzer: Fuzzer, seed: number, from: number, to: number, deadline = Infinity, progress?: (trials: number) => void): FuzzResult {
  const collect = (globalThis as { gc?: () => void }).gc;
  const heapUsed = (): number => {
    collect?.();
    return process.memoryUsage().heapUsed;
  };
  const began = performance.now();
  const failures: FuzzFailure[] = [];
  const seen: Record<string, number> = {};
  let trials = 0, slowest = 0, first = 0, told = began;
  for (let block = from; block < to && failures.length < FAILURES_MAX; block++) {
    if (performance.now() > deadline) break;
    trials += runBlock(fuzzer, seed, block, seen, (failure, ms) => {
      slowest = Math.max(slowest, ms);
      if (failure !== null) failures.push(failure);
    });
    if (block === from) first = heapUsed();
    if (performance.now() - told > 500) {
      told = performance.now();
      progress?.(trials);
    }
  }
  return { name: fuzzer.name, trials, failures, seen, ms: performance.now() - began, heap: heapUsed() - first, slowest };
}

export function runBlock(fuzzer: Fuzzer, seed: number, block: number, seen: Record<string, number>, told: (failure: FuzzFailure | null, ms: number) => void): number {
  const dice = new Dice(seedOf(seed + block, fuzzer.name));
  const fail = (trial: number, detail: string): FuzzFailure => ({ seed, block, trial, detail });
  let trial = 0;
  let began = performance.now();
  try {
    const fuzz = fuzzer.make(dice);
    for (; trial < BLOCK; trial++) {
      began = performance.now();
      const wrong = fuzz.trial(dice);
      const ms = performance.now() - began;
      if (wrong !== null || ms > TRIAL_MS_MAX) {
        told(fail(trial, wrong ?? `took ${Math.round(ms)} ms`), ms);
        return trial + 1;
      }
      told(null, ms);
    }
    const wrong = fuzz.after?.() ?? null;
    if (wrong !== null) told(fail(trial, wrong), 0);
    for (const [name, count] of Object.entries(fuzz.seen)) seen[name] = (seen[name] ?? 0) + count;
  } catch (error) {
    told(fail(trial, `threw ${error instanceof Error ? error.stack?.split("\n").slice(0, 4).join(" | ") : String(error)}`), performance.now() - began);
  }
  return trial;
}

/** One to four changes of bytes: set, bit flipped, inserted, removed, a piece doubled, cut off. */
export function mutated(bytes: Uint8Array, dice: Dice, spice: readonly number[] = []): Uint8Array {
  let out = new Uint8Array(2 * bytes.length + 16);
  let length = bytes.length;
  out.set(bytes);
  for (let i = dice.between(1, 4); i > 0; i--) {
    const at = dice.below(Math.max(1, length));
    const byte = spice.length > 0 && dice.chance(500) ? dice.pick(spice) : dice.below(256);
    const what = dice.below(10);
    if (what < 4) out[at] = byte;
    else if (what < 6) out[at]! ^= 1 << dice.below(8);
    else if (what === 6) {
      out.copyWithin(at + 1, at, length++);
      out[at] = byte;
    } else if (what === 7) {
      const gone = Math.min(length - at, dice.between(1, 4));
      out.copyWithin(at, at + gone, length);
      length -= gone;
    } else if (what === 8) {
      const from = dice.below(at + 1);
      const larger = new Uint8Array(length + (at - from) + 16);
      larger.set(out.subarray(0, at));
      larger.set(out.subarray(from, length), at);
      length += at - from;
      out = larger;
    } else if (dice.chance(200)) length = at;
    else out[at] = byte;
  }
  return out.slice(0, length);
}
