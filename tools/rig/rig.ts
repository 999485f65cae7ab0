/**
 * `npm run rig -- --level change|release [--seed S] [--minutes M] [--cores C] [--only NAME] [--block B] [--out DIR]`
 * Fuzzers first, then worlds until the time is up; the scoreboard on the terminal, as JSON and as one
 * page of HTML. `--mutants` puts bugs into a copy of the sources instead (tools/rig/mutants.ts). The level release goes on where the last run of the same seed ended. Exit 1 on a breach.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { BLOCK } from "./fuzz.js";
import { fuzzers } from "./fuzzers.js";
import { runJob, type Chart, type Done, type Job } from "./job.js";
import { mutantTable, runMutants } from "./mutate.js";
import { scorePage } from "./page.js";
import { addFuzz, addWorld, newTally, score, scoreText, type Tally } from "./score.js";

type Level = "change" | "release";
const LEVEL_MINUTES: Record<Level, number> = { change: 4.5, release: 30 };
/** Blocks a worker takes at a time: some seconds. */
const PIECE = 20;
const CHARTS = 3;
/** Seconds of a run that is drawn though nothing broke in it. */
const CHART_S = 3_600;
/** Part of the time that worlds have at least, while fuzzers still run. */
const WORLD_SHARE = 0.4;
const LAST_WORLD_MS = 12_000;

if (isMainThread) {
  main().then((code) => { process.exitCode = code; }, (error: unknown) => {
    process.stderr.write(`rig: ${error instanceof Error ? error.stack : String(error)}\n`);
    process.exitCode = 2;
  });
} else {
  parentPort!.on("message", (job: Job) => parentPort!.postMessage(runJob(job)));
}

interface Saved { seed: number; tally: Tally; blocks: Record<string, number>; world: number }

async function main(): Promise<number> {
  const { values } = parseArgs({ options: {
    level: { type: "string", default: "change" }, seed: { type: "string" }, minutes: { type: "string" }, cores: { type: "string" },
    only: { type: "string" }, mutants: { type: "boolean", default: false }, block: { type: "string" }, out: { type: "string", default: "build/rig" },
  } });
  if (values.mutants) return seeded(values.only ?? null, Number(values.minutes ?? 0.5) * 60, values.out);
  const level = values.level as Level;
  if (level !== "change" && level !== "release") throw new Error("--level change or release");
  const minutes = Number(values.minutes ?? LEVEL_MINUTES[level]), seed = Number(values.seed ?? 1), cores = Number(values.cores ?? Math.min(availableParallelism(), level === "change" ? 2 : 64));
  for (const value of [minutes, seed, cores]) if (!Number.isFinite(value) || value < 0) throw new Error("--minutes, --seed and --cores are numbers");
  const only = values.only ?? null;
  mkdirSync(values.out, { recursive: true });
  const stateFile = join(values.out, `release-${seed}.json`);
  const saved: Saved = level === "release" && existsSync(stateFile) ? JSON.parse(readFileSync(stateFile, "utf8")) as Saved : { seed, tally: newTally(), blocks: {}, world: 0 };
  const began = performance.now(), beganAt = new Date().toISOString(), end = began + minutes * 60_000;
  const jobs = makeJobs(level, seed, saved, only, values.block === undefined ? null : Number(values.block), end);
  const charts = await work(cores, jobs, saved, began, end);
  const result = score(saved.tally, { level, seed, commit: commit(), began: beganAt, seconds: (performance.now() - began) / 1000, only });
  if (level === "release") {
    writeFileSync(`${stateFile}.part`, JSON.stringify(saved));
    renameSync(`${stateFile}.part`, stateFile);
  }
  writeFileSync(join(values.out, `${level}.json`), JSON.stringify(result, null, 2));
  writeFileSync(join(values.out, `${level}.html`), scorePage(result, charts));
  process.stdout.write(`${scoreText(result)}\n${join(values.out, `${level}.html`)}\n`);
  return result.passed ? 0 : 1;
}

/** Seeded bugs: every one must be caught. */
function seeded(only: string | null, rigSeconds: number, out: string): number {
  const verdicts = runMutants({ only, rigSeconds, tests: true }, (verdict) => process.stdout.write(`${mutantTable([verdict]).split("\n").slice(0, 3).join("\n")}\n`));
  const table = mutantTable(verdicts);
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, "mutants.txt"), `${table}\n`);
  process.stdout.write(`${table.split("\n").at(-1)!}\n${join(out, "mutants.txt")}\n`);
  return verdicts.every(({ tests, rig }) => tests !== null || rig !== null) ? 0 : 1;
}

/** Jobs as long as there are any: fuzzers' pieces in turn with worlds between them, then worlds until the time is up. */
function* makeJobs(level: Level, seed: number, saved: Saved, only: string | null, block: number | null, end: number): Generator<Job> {
  const chosen = fuzzers.filter(({ name }) => only === null || name === only);
  if (only !== null && only !== "worlds" && chosen.length === 0) throw new Error(`--only ${only}: there are ${[...fuzzers.map(({ name }) => name), "worlds"].join(", ")}`);
  if (block !== null) {
    for (const { name } of chosen) yield { kind: "fuzz", name, seed, from: block, to: block + 1 };
    return;
  }
  const worlds = only === null || only === "worlds";
  const { tally } = saved;
  const spent = (): number => Object.values(tally.fuzz).reduce((sum, { ms }) => sum + ms, 0);
  // A world started late would end too late: the longest take one and a half times the mean.
  const isLate = (): boolean => performance.now() > end - Math.max(LAST_WORLD_MS, (1.5 * tally.worlds.ms) / Math.max(1, tally.worlds.trials));
  const world = function* (): Generator<Job> {
    if (worlds && !isLate()) yield { kind: "world", seed: seed + saved.world++ };
  };
  for (let open = [...chosen]; open.length > 0 && performance.now() < end - 5_000;) {
    for (const fuzzer of open) {
      const from = saved.blocks[fuzzer.name] ?? 0, last = Math.ceil(fuzzer[level] / BLOCK), to = Math.min(last, from + PIECE);
      if (from < last) yield { kind: "fuzz", name: fuzzer.name, seed, from, to };
      saved.blocks[fuzzer.name] = to;
      // The telegrams, ten times as many, keep pace with the others.
      if (fuzzer.name === "telegrams") for (let i = 0; i < 3; i++) {
        const at = saved.blocks[fuzzer.name]!, more = Math.min(last, at + PIECE);
        if (at < last) yield { kind: "fuzz", name: fuzzer.name, seed, from: at, to: more };
        saved.blocks[fuzzer.name] = more;
      }
      if (tally.worlds.ms < WORLD_SHARE * (spent() + tally.worlds.ms)) yield* world();
    }
    open = open.filter((fuzzer) => (saved.blocks[fuzzer.name] ?? 0) < Math.ceil(fuzzer[level] / BLOCK));
  }
  while (worlds && !isLate()) yield* world();
}

function work(cores: number, jobs: Generator<Job>, saved: Saved, began: number, end: number): Promise<Chart[]> {
  const charts: Chart[] = [];
  const { tally } = saved;
  let told = began, chartJobs: Job[] | null = null;
  const next = (): Job | null => {
    const job = jobs.next();
    if (!job.done) return job.value;
    chartJobs ??= worst(tally, saved);
    return chartJobs.shift() ?? null;
  };
  const take = (done: Done): void => {
    if (done.kind === "fuzz") addFuzz(tally, done.result);
    else if (done.kind === "world") addWorld(tally, done.result);
    else charts.push(done.result);
    if (performance.now() - told < 5_000) return;
    told = performance.now();
    const fuzzed = Object.values(tally.fuzz).reduce((sum, { trials }) => sum + trials, 0);
    process.stdout.write(`${((told - began) / 1000).toFixed(0)} s: ${fuzzed.toLocaleString("en")} fuzz trials, ${tally.worlds.trials} worlds `
      + `(${(tally.worlds.seconds / 3_600).toFixed(0)} house-hours), ${tally.failures.length} breaches, ${Math.max(0, (end - told) / 1000).toFixed(0)} s left\n`);
  };
  return new Promise((resolve, reject) => {
    let running = 0;
    for (let i = 0; i < Math.max(1, cores); i++) {
      const worker = new Worker(fileURLToPath(import.meta.url));
      running++;
      const go = (): void => {
        const job = next();
        if (job !== null) return worker.postMessage(job);
        void worker.terminate();
        if (--running === 0) resolve(charts);
      };
      worker.on("message", (done: Done) => { take(done); go(); });
      worker.on("error", reject);
      go();
    }
  });
}

/** What the page shows: worlds that broke, else the first ones. */
function worst(tally: Tally, saved: Saved): Job[] {
  if (tally.worlds.trials === 0) return [];
  const broken = tally.failures.filter(({ what }) => what === "worlds").map(({ seed, detail }) => ({ kind: "chart" as const, seed, until: Math.ceil(Number(/at ([\d.]+) s/.exec(detail)?.[1] ?? Infinity)) + 60 }));
  const first = [0, 1].map((i) => ({ kind: "chart" as const, seed: saved.seed + i, until: CHART_S }));
  return [...broken.slice(0, CHARTS), ...(broken.length > 0 ? [] : first)];
}

function commit(): string {
  try {
    const git = (...args: string[]): string => execFileSync("git", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
    return git("rev-parse", "--short", "HEAD") + (git("status", "--porcelain", "--untracked-files=no") === "" ? "" : "+");
  } catch {
    return "unknown";
  }
}
