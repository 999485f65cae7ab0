/** The rig's own eyes: the same seed is the same world, and what is broken on purpose is seen. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Player } from "../../src/services/recording.js";
import { readSite } from "../../src/services/site_config.js";
import { run as shrinkCommand } from "../../tools/commands/shrink.js";
import { runFuzzer, type Fuzzer } from "../../tools/rig/fuzz.js";
import { fuzzers } from "../../tools/rig/fuzzers.js";
import { runWorld } from "../../tools/rig/job.js";
import { PumpWatch } from "../../tools/rig/judge_pump.js";
import { applied } from "../../tools/rig/mutate.js";
import { mutants } from "../../tools/rig/mutants.js";
import { scorePage } from "../../tools/rig/page.js";
import { FAULTS, makePlan, type Fault, type Plan } from "../../tools/rig/plan.js";
import { addFuzz, addWorld, newTally, score, scoreText } from "../../tools/rig/score.js";
import { shrink } from "../../tools/rig/shrink.js";
import { RigWorld, type RunOptions } from "../../tools/rig/world.js";
import { fileURLToPath } from "node:url";
import { runs } from "../services/runs.js";

const root = fileURLToPath(new URL("../../", import.meta.url));

describe("plans", () => {
  it("the same seed is the same plan, every plan's site is in order, every fault occurs", () => {
    const kinds = new Set<string>();
    for (let seed = 1; seed <= runs(200); seed++) {
      const plan = makePlan(seed);
      expect(makePlan(seed)).toEqual(plan);
      const read = readSite(JSON.stringify(plan.site));
      expect(read.ok || read.faults, `seed ${seed}`).toBe(true);
      for (const { kind, at, for: length } of plan.faults) {
        kinds.add(kind);
        expect(at + length, `seed ${seed}`).toBeLessThanOrEqual(plan.seconds);
      }
    }
    expect([...kinds].sort()).toEqual(Object.keys(FAULTS).sort());
  });
});

/** A plain house: one car on three phases, DSMR 5, 25 A, a cap of 3 kW after ten minutes. */
function plain(faults: readonly Fault[] = [], seconds = 1_500): Plan {
  const plan = makePlan(1, { hours: 1, rate: 0 });
  return {
    ...plan, seconds, version: "5.0", phases: 3, faults, things: [{ id: "car0", kind: "ev", profile: "alfen", phases: [1, 2, 3], size: 60_000 }],
    site: {
      ...plan.site, connection: { phases: 3, fuse_A: 25 }, meter: { type: "p1", device: "/dev/p1", line: "115200 8N1" }, limits: { failsafe_W: 4_200 }, inputs: [],
      buses: { car0: { tcp: "car0:502" } }, devices: [{ id: "car0", kind: "ev", priority: 1, profile: "alfen", bus: "car0", maximum_A: 16 }],
    },
    deeds: [{ kind: "cap", at: 600, id: "ca000001", start: 600, for: 3_600, watts: 3_000, exportWatts: null, emergency: false, via: "mqtt" }],
  };
}

const breachesOf = (plan: Plan, options: RunOptions = {}) => new RigWorld(plan, { stop: false, ...options }).run().breaches.filter(({ rule }) => rule.startsWith("judge:")).map(({ rule }) => rule);

describe("the judge", () => {
  it("has nothing to say of a plain house, nor of seeds with everything mixed", () => {
    expect(breachesOf(plain())).toEqual([]);
    for (const seed of [1, 7]) expect(runWorld(makePlan(seed, { hours: 1 })).breaches, `seed ${seed}`).toEqual([]);
  });

  /** From that second on the charger hears nothing but 16 A, whatever is written to it. */
  const bewitched = (from: number): RunOptions => ({
    sabotage: (world, second) => {
      if (second !== from) return;
      const car = world.models.get("car0")!, told = car.told.bind(car);
      car.told = () => told(16_000);
      told(16_000);
    },
  });

  it("sees a house above its cap, a rise that is too steep, a value out of range", () => {
    expect(breachesOf(plain(), bewitched(700))).toContain("judge:cap");
    const meddle = (value: number): RunOptions => ({ sabotage: (world, second) => { if (second === 700) world.judge.write(world.world.now, "car0", value); } });
    expect(breachesOf({ ...plain([], 720), deeds: [] }, { sabotage: (world, second) => { if (second === 75) world.judge.write(world.world.now, "car0", 16_000); } })).toContain("judge:rise");
    expect(breachesOf(plain([], 720), meddle(40_000))).toContain("judge:range");
  });

  it("sees setpoints that stay when the meter falls silent, and one that is not written again", () => {
    const silent: Fault = { kind: "p1_silent", at: 400, for: 120, target: "", n: 0 };
    expect(breachesOf(plain([silent], 600))).toEqual([]);
    expect(breachesOf(plain([silent], 600), { sabotage: (world, second) => { if (second === 430) world.judge.write(world.world.now, "car0", 9_000); } })).toContain("judge:stale");
    expect(breachesOf(plain([], 300), { sabotage: (world, second) => { if (second === 100) world.world.link("controller", "car0").up = false; } })).toContain("judge:rewrite");
  });

  it("sees a failsafe that is not kept", () => {
    const mute: Fault = { kind: "operator_mute", at: 0, for: 3_000, target: "", n: 0 };
    const quiet = { ...plain([{ ...mute, at: 1 }], 1_400), deeds: [] };
    expect(breachesOf(quiet)).toEqual([]);
    expect(breachesOf(quiet, bewitched(1_000))).toContain("judge:failsafe");
  });

  it("counts blocks of a heat pump", () => {
    const minute = 60_000;
    const watch = new PumpWatch("pump");
    const block = (from: number, to: number): string[] => [...watch.moved(from, 1, 0, false, false, false), ...watch.moved(to, 0, 0, false, false, false)];
    expect(block(0, 20 * minute)).toEqual([]);
    expect(block(25 * minute, 30 * minute)).toEqual(["blocked again 300000 ms after the last block", "unblocked after 300000 ms"]);
    expect(block(60 * minute, 80 * minute)).toEqual(["the reserved block spent without emergency"]);
    expect(watch.moved(100 * minute, 1, 0, false, true, false)).toEqual(["block 4 in 24 h"]);
    expect(watch.moved(101 * minute, 1, 1, false, false, false)).toContain("forced on (1:1), which nobody asks for");
  });
});

describe("shrink", () => {
  it("leaves the one fault that matters, and its recording ends at the breach", () => {
    const faults: Fault[] = [
      { kind: "load", at: 30, for: 60, target: "1", n: 1_000 }, { kind: "clock_none", at: 60, for: 100, target: "", n: 0 },
      { kind: "broker_stop", at: 100, for: 2_000, target: "", n: 0 }, { kind: "p1_flip", at: 150, for: 60, target: "", n: 1 },
    ];
    // A broker that is down at the end: by itself a breach of "whole again".
    const found = shrink({ ...plain(faults, 300), deeds: [] })!;
    expect(found.breach.rule).toBe("end:broker");
    expect(found.plan.faults.map(({ kind }) => kind)).toEqual(["broker_stop"]);
  });

  it("as a command: the plan that is left breaches again, and the recording of its last start can be replayed", async () => {
    const directory = mkdtempSync(join(tmpdir(), "vangnet-shrink-"));
    try {
      const file = join(directory, "plan.json");
      const cut: Fault = { kind: "power_cut", at: 60, for: 10, target: "", n: 0 };
      writeFileSync(file, JSON.stringify({ ...plain([cut, { kind: "broker_stop", at: 100, for: 2_000, target: "", n: 0 }], 240), deeds: [] }));
      expect(await shrinkCommand([file, "--out", directory])).toBe(1);
      const left = JSON.parse(readFileSync(join(directory, "seed-1.plan.json"), "utf8")) as Plan;
      expect(left.faults).toHaveLength(1);
      const player = new Player();
      let ticks = 0;
      for (const line of readFileSync(join(directory, "seed-1.jsonl"), "utf8").trim().split("\n")) {
        expect(player.line(line)).toMatchObject({ ok: true });
        ticks++;
      }
      expect(ticks).toBeGreaterThan(200);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});

describe("fuzzers", () => {
  for (const fuzzer of fuzzers) {
    it(`${fuzzer.name}: a block without a failure, the same again by its seed`, () => {
      const one = runFuzzer(fuzzer, 5, 0, Math.max(2, runs(2)));
      expect(one.failures).toEqual([]);
      expect(one.trials).toBeGreaterThanOrEqual(1_000);
      expect(Object.values(one.seen).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(500);
      expect(runFuzzer(fuzzer, 5, 0, 1).seen).toEqual(runFuzzer(fuzzer, 5, 0, 1).seen);
    });
  }

  it("what throws or is wrong is a failure with its seed, not a pass", () => {
    const broken: Fuzzer = { name: "broken", change: 1, release: 1, make: () => ({ seen: {}, trial: (dice) => { if (dice.below(50) === 0) throw new Error("odd"); return dice.below(100) === 0 ? "wrong" : null; } }) };
    const { failures } = runFuzzer(broken, 9, 0, 3);
    expect(failures).toHaveLength(3);
    expect(failures.every(({ seed, detail }) => seed === 9 && /threw Error: odd|wrong/.test(detail))).toBe(true);
  });
});

describe("the scoreboard", () => {
  it("prints seed, commit and 3/N, and does not pass with a breach", () => {
    const tally = newTally();
    const run = { level: "change" as const, seed: 3, commit: "abc", began: "now", seconds: 1, only: null };
    addFuzz(tally, runFuzzer(fuzzers.at(-1)!, 3, 0, 2));
    const good = score(tally, run);
    expect(good).toMatchObject({ passed: true, rows: [{ trials: 1_000, bound: 0.003 }] });
    addWorld(tally, { seed: 77, seconds: 100, devices: 2, faults: {}, boots: 1, ms: 1, breaches: [{ rule: "judge:cap", at: 50, detail: "<too much>" }], words: ["car0: off"], readings: 1 });
    const bad = score(tally, run);
    expect(bad.passed).toBe(false);
    expect(scoreText(bad)).toMatch(/BREACH worlds, seed 77, commit abc: judge:cap at 50 s[\s\S]*npx vangnet shrink 77/);
    expect(scorePage(bad, [])).toContain("&lt;too much&gt;");
  });
});

describe("seeded bugs", () => {
  it("there are twenty or more, each fits the code exactly once, with tests that are there", () => {
    expect(mutants.length).toBeGreaterThanOrEqual(20);
    for (const mutant of mutants) {
      const text = readFileSync(`${root}${mutant.file}`, "utf8");
      expect(applied(text, mutant), mutant.name).not.toBeNull();
      expect(applied(text, mutant), mutant.name).not.toBe(text);
      for (const test of mutant.tests) expect(() => readFileSync(`${root}${test}`), mutant.name).not.toThrow();
    }
  });
});
