import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { run as replay } from "../../tools/commands/replay.js";
import { run as start } from "../../tools/commands/start.js";
import { CapJudge, capEvent } from "../../tools/home.js";

const directory = mkdtempSync(join(tmpdir(), "vangnet-test-"));
const recording = join(directory, "day.jsonl");
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Standard output and error of a command, and its exit code. */
async function said(command: () => Promise<number>): Promise<{ code: number; out: string; err: string }> {
  let out = "", err = "";
  const stdout = vi.spyOn(process.stdout, "write").mockImplementation((text) => { out += String(text); return true; });
  const stderr = vi.spyOn(process.stderr, "write").mockImplementation((text) => { err += String(text); return true; });
  try {
    return { code: await command(), out, err };
  } finally {
    stdout.mockRestore();
    stderr.mockRestore();
  }
}

describe("vangnet start --fast, and its recording", () => {
  let first: { code: number; out: string };
  beforeAll(async () => {
    first = await said(() => start(["--fast", "--for", "1500", "--seed", "7", "--no-view", "--record", recording]));
  });

  test("a cap on virtual time is obeyed: exit code 0 and a summary", () => {
    expect(first.code).toBe(0);
    expect(first.out).toMatch(/1500 s, seed 7: the cap was obeyed\n {2}cap 00005001 of 4200 W: 750 s in force/);
    expect(first.out).toMatch(/ 0 refused, 0 faults/);
  });

  test("replay tells each decision with its reason, and the same bytes every time", async () => {
    const one = await said(() => replay([recording]));
    const two = await said(() => replay([recording]));
    expect(one.code).toBe(0);
    expect(one.out).toBe(two.out);
    expect(one.out).toMatch(/import: grid operator's cap 4\.2 kW until /);
    expect(one.out).toMatch(/import: slow release after 00005001/);
    expect(one.out).toMatch(/charger: off, 16\.0 A asked; what grid operator's cap 4\.2 kW .* leaves is below its minimum/);
  });

  test("replay --json gives one line a tick with all outputs", async () => {
    const { out } = await said(() => replay([recording, "--json"]));
    const ticks = out.trim().split("\n").map((line) => JSON.parse(line) as { at: number; decisions: unknown[] });
    expect(ticks.length).toBeGreaterThan(1500);
    expect(ticks.every((tick, i) => tick.decisions.length === 3 && (i === 0 || tick.at >= ticks[i - 1]!.at))).toBe(true);
  });

  test("a recording cut off in its last line is played up to there; damage in the middle is named by its line", async () => {
    const text = readFileSync(recording, "utf8");
    const cut = join(directory, "cut.jsonl");
    writeFileSync(cut, text.slice(0, -3));
    const torn = await said(() => replay([cut]));
    expect(torn.code).toBe(0);
    expect(torn.err).toMatch(/cut off, left out/);
    const lines = text.split("\n");
    lines[10] = lines[10]!.slice(5);
    writeFileSync(cut, lines.join("\n"));
    const damaged = await said(() => replay([cut]));
    expect(damaged.code).toBe(1);
    expect(damaged.err).toMatch(/:11: not_json/);
    writeFileSync(cut, "{}\n");
    expect((await said(() => replay([cut]))).err).toMatch(/:1: not_a_recording/);
  });

  test("wrong usage is exit code 2", async () => {
    expect((await said(() => start(["--nonsense"]))).code).toBe(2);
    expect((await said(() => start(["--for", "minus"]))).code).toBe(2);
    expect((await said(() => replay([]))).code).toBe(2);
  });
});

describe("the judge of the demo", () => {
  const judged = (net: (second: number) => number, free = 0) => {
    const judge = new CapJudge();
    judge.watch(capEvent("00", 100, 60, 4_200));
    for (let now = 90; now < 170; now++) judge.second(now, net(now - 100), free);
    return judge;
  };
  test("under the cap within ten seconds: obeyed", () => expect(judged((s) => (s < 9 ? 9_000 : 4_100)).obeyed).toBe(true));
  test("a kettle for a few seconds is answered, not a breach", () => expect(judged((s) => (s > 30 && s < 38 ? 6_000 : 4_100)).obeyed).toBe(true));
  test("above it for longer: not obeyed", () => expect(judged(() => 4_300).obeyed).toBe(false));
  test("above it by load that nobody controls: not the controller's breach", () => expect(judged(() => 4_300, 4_300).obeyed).toBe(true));
  test("a cap that never came into force is not obeyed", () => expect(new CapJudge().obeyed).toBe(false));
});
