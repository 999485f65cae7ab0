/** The scoreboard: trials, failures, rates, and what N trials without a failure say: at most 3/N (95 %). */
import type { FuzzResult } from "./fuzz.js";
import { fuzzers } from "./fuzzers.js";
import type { WorldResult } from "./job.js";

export interface Failure { readonly what: string; readonly seed: number; readonly detail: string; readonly replay: string; readonly words: readonly string[] }

export interface Row {
  readonly name: string;
  readonly trials: number;
  readonly goal: number;
  readonly failures: number;
  readonly perSecond: number;
  /** Zero failures: the rate is at most this with 95 % confidence; else null. */
  readonly bound: number | null;
  readonly note: string;
}

export interface Score {
  readonly level: string;
  readonly seed: number;
  readonly commit: string;
  readonly began: string;
  readonly seconds: number;
  readonly rows: readonly Row[];
  readonly failures: readonly Failure[];
  /** How often each kind of fault was put in. */
  readonly faults: Readonly<Record<string, number>>;
  readonly passed: boolean;
}

/** Sums that go on over runs of the level release. */
export interface Tally {
  fuzz: Record<string, { trials: number; failures: number; ms: number; seen: Record<string, number>; heap: number; slowest: number }>;
  worlds: { trials: number; failed: number; seconds: number; deviceSeconds: number; ms: number; boots: number; faults: Record<string, number> };
  failures: Failure[];
}

export const newTally = (): Tally => ({
  fuzz: {}, worlds: { trials: 0, failed: 0, seconds: 0, deviceSeconds: 0, ms: 0, boots: 0, faults: {} }, failures: [],
});

/** Heap that a piece of a fuzzer may leave behind, bytes: noise of the collector, no leak. */
const HEAP_MAX = 8_000_000;
const YEAR_S = 365.25 * 86_400;

export function addFuzz(tally: Tally, result: FuzzResult): void {
  const sum = (tally.fuzz[result.name] ??= { trials: 0, failures: 0, ms: 0, seen: {}, heap: 0, slowest: 0 });
  sum.trials += result.trials;
  sum.ms += result.ms;
  sum.heap = Math.max(sum.heap, result.heap);
  sum.slowest = Math.max(sum.slowest, result.slowest);
  for (const [name, count] of Object.entries(result.seen)) sum.seen[name] = (sum.seen[name] ?? 0) + count;
  for (const { seed, block, trial, detail } of result.failures) {
    sum.failures++;
    tally.failures.push({ what: result.name, seed, detail, words: [], replay: `npm run rig -- --only "${result.name}" --seed ${seed} --block ${block} (trial ${trial})` });
  }
  if (result.heap > HEAP_MAX) {
    sum.failures++;
    tally.failures.push({ what: result.name, seed: 0, detail: `${(result.heap / 1e6).toFixed(1)} MB of heap left behind by ${result.trials} trials`, words: [], replay: "" });
  }
}

export function addWorld(tally: Tally, result: WorldResult): void {
  const sum = tally.worlds;
  sum.trials++;
  sum.seconds += result.seconds;
  sum.deviceSeconds += result.seconds * result.devices;
  sum.ms += result.ms;
  sum.boots += result.boots;
  for (const [kind, count] of Object.entries(result.faults)) sum.faults[kind] = (sum.faults[kind] ?? 0) + count;
  if (result.breaches.length === 0) return;
  sum.failed++;
  const { rule, at, detail } = result.breaches[0]!;
  tally.failures.push({ what: "worlds", seed: result.seed, detail: `${rule} at ${at} s: ${detail}`, words: result.words, replay: `npx vangnet shrink ${result.seed}` });
}

export function score(tally: Tally, run: { level: "change" | "release"; seed: number; commit: string; began: string; seconds: number; only: string | null }): Score {
  const rows: Row[] = [];
  for (const fuzzer of fuzzers) {
    const sum = tally.fuzz[fuzzer.name];
    if (sum === undefined) continue;
    const seen = Object.entries(sum.seen).map(([name, count]) => `${name} ${count.toLocaleString("en")}`).join(", ");
    rows.push({
      name: fuzzer.name, trials: sum.trials, goal: fuzzer[run.level], failures: sum.failures, perSecond: sum.trials / (sum.ms / 1000),
      bound: sum.failures === 0 ? 3 / Math.max(1, sum.trials) : null, note: `${seen}; slowest ${sum.slowest.toFixed(0)} ms, heap ${(sum.heap / 1e6).toFixed(1)} MB`,
    });
  }
  const { worlds } = tally;
  if (worlds.trials > 0) {
    rows.push({
      name: "worlds", trials: worlds.trials, goal: 0, failures: worlds.failed, perSecond: worlds.trials / (worlds.ms / 1000), bound: worlds.failed === 0 ? 3 / worlds.trials : null,
      note: `${(worlds.seconds / 3_600).toFixed(0)} house-hours, ${Math.round(worlds.seconds / (worlds.ms / 1000)).toLocaleString("en")} times real time a core, `
        + `${worlds.boots} starts, ${Object.values(worlds.faults).reduce((a, b) => a + b, 0)} faults`,
    });
    const years = worlds.deviceSeconds / YEAR_S;
    rows.push({
      name: "device-years", trials: Math.round(years * 1000) / 1000, goal: run.level === "change" ? 10 : 10_000, failures: worlds.failed, perSecond: years / (worlds.ms / 1000),
      bound: worlds.failed === 0 && years > 0 ? 3 / years : null, note: "controlled devices in whole houses with all services, all faults mixed",
    });
  }
  return { level: run.level, seed: run.seed, commit: run.commit, began: run.began, seconds: Math.round(run.seconds), rows, failures: tally.failures, faults: worlds.faults, passed: tally.failures.length === 0 };
}

const number = (value: number): string => (value >= 100 || Number.isInteger(value) ? Math.round(value).toLocaleString("en") : value.toPrecision(3));

export function scoreText(score: Score): string {
  const head = ["trial", "N", "goal", "failures", "per s and core", "rate <="];
  const table = [head, ...score.rows.map((row) => [
    row.name, number(row.trials), row.goal === 0 ? "" : number(row.goal), String(row.failures), number(row.perSecond), row.bound === null ? "-" : row.bound.toExponential(1),
  ])];
  const widths = head.map((_, i) => Math.max(...table.map((cells) => cells[i]!.length)));
  const lines = table.map((cells) => cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  "));
  for (const row of score.rows) lines.push(`${row.name}: ${row.note}`);
  for (const { what, seed, detail, replay, words } of score.failures) {
    lines.push("", `BREACH ${what}, seed ${seed}, commit ${score.commit}: ${detail}`, ...(replay === "" ? [] : [`  again: ${replay}`]), ...words.slice(-12).map((word) => `  ${word}`));
  }
  lines.push("", `level ${score.level}, seed ${score.seed}, commit ${score.commit}, ${score.seconds} s: ${score.passed ? "no breach" : `${score.failures.length} BREACHES`}`);
  return lines.join("\n");
}
