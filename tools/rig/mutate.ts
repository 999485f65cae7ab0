/** Puts each mutant into a copy of the sources and asks who notices: its tests, then the rig. */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { mutants, type Mutant } from "./mutants.js";

export interface Verdict { readonly mutant: Mutant; readonly tests: string | null; readonly rig: string | null; readonly fits: boolean }

const PARTS = ["src", "hal", "tools", "test", "package.json", "vitest.config.ts"];

/** Each patch, where it stands exactly once; else null. */
export function applied(text: string, mutant: Mutant): string | null {
  let out = text;
  for (const { search, replace } of mutant.also === undefined ? [mutant] : [mutant, mutant.also]) {
    const at = out.indexOf(search);
    if (at < 0 || out.indexOf(search, at + 1) >= 0) return null;
    out = out.slice(0, at) + replace + out.slice(at + search.length);
  }
  return out;
}

export function runMutants(options: { only: string | null; rigSeconds: number; tests: boolean }, told: (verdict: Verdict) => void): Verdict[] {
  const root = process.cwd();
  if (!existsSync(join(root, "src/controller.ts"))) throw new Error("mutants need the sources: run in the repository");
  const copy = mkdtempSync(join(tmpdir(), "vangnet-mutant-"));
  try {
    const parts = [...PARTS, ...readdirSync(root).filter((name) => /^tsconfig.*\.json$/.test(name))];
    for (const part of parts) if (existsSync(join(root, part))) cpSync(join(root, part), join(copy, part), { recursive: true });
    symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
    const verdicts: Verdict[] = [];
    for (const mutant of mutants) {
      if (options.only !== null && !mutant.name.includes(options.only)) continue;
      const file = join(copy, mutant.file), text = readFileSync(file, "utf8"), spoilt = applied(text, mutant);
      if (spoilt === null) {
        verdicts.push({ mutant, tests: null, rig: null, fits: false });
      } else {
        writeFileSync(file, spoilt);
        verdicts.push({ mutant, fits: true, tests: options.tests ? byTests(copy, mutant) : null, rig: options.rigSeconds > 0 ? byRig(copy, options.rigSeconds) : null });
        writeFileSync(file, text);
      }
      told(verdicts.at(-1)!);
    }
    return verdicts;
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

function byTests(copy: string, { tests }: Mutant): string | null {
  for (const test of tests) {
    const run = spawnSync(process.execPath, ["node_modules/vitest/vitest.mjs", "run", "--bail", "1", test], { cwd: copy, encoding: "utf8", timeout: 180_000, env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: "0" } });
    if (run.status === 0) continue;
    const failed = /FAIL\s+\S+ > (.*)/.exec(run.stdout + run.stderr)?.[1];
    // A test that cannot even load says nothing.
    if (failed === undefined) throw new Error(`${test} does not run: ${(run.stdout + run.stderr).slice(-500)}`);
    return `${test}: ${failed}`;
  }
  return null;
}

function byRig(copy: string, seconds: number): string | null {
  const built = spawnSync(process.execPath, ["node_modules/esbuild/bin/esbuild", "tools/rig/probe.ts", "--bundle", "--platform=node", "--format=esm", "--packages=external", "--outfile=dist/probe.mjs", "--log-level=error"], { cwd: copy, encoding: "utf8" });
  if (built.status !== 0) throw new Error(`the mutant does not build: ${built.stderr}`);
  const run = spawnSync(process.execPath, ["dist/probe.mjs", String(seconds)], { cwd: copy, encoding: "utf8", timeout: (seconds + 60) * 1000 });
  return run.status === 1 ? run.stdout.trim().split("\n")[0]! : run.status === 0 ? null : `does not run: ${run.stderr.trim().split("\n")[0] ?? ""}`;
}

export function mutantTable(verdicts: readonly Verdict[]): string {
  const caught = verdicts.filter(({ tests, rig }) => tests !== null || rig !== null).length;
  return [
    ...verdicts.map(({ mutant, tests, rig, fits }) => `${fits ? (tests ?? rig) === null ? "MISSED" : "caught" : "NO FIT"}  ${mutant.name}${mutant.peer === "" ? "" : ` (${mutant.peer})`}\n`
      + `          tests: ${tests ?? "-"}\n          rig:   ${rig ?? "-"}`),
    `${caught} of ${verdicts.length} caught; ${verdicts.filter(({ tests }) => tests !== null).length} by tests, ${verdicts.filter(({ rig }) => rig !== null).length} by the rig`,
  ].join("\n");
}
