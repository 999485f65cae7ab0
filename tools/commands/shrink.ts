import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makePlan, type Plan } from "../rig/plan.js";
import { shrink } from "../rig/shrink.js";
import { RigWorld } from "../rig/world.js";

const usage = `Usage:
  vangnet shrink SEED|PLAN.json [--out DIR]

Runs the rig's world of a seed. Where it breaches a rule, takes out faults and deeds one by one as long
as the same rule is breached, and writes what is left: a plan to run again, and a recording of the
controller's last start for \`vangnet replay\`. Exit 0: nothing was breached.
`;

export async function run(args: string[]): Promise<number> {
  const at = args.indexOf("--out");
  const out = at < 0 ? "build/rig" : args[at + 1];
  const what = args.find((arg, i) => !arg.startsWith("--") && (at < 0 || i !== at + 1));
  const isFile = what !== undefined && existsSync(what);
  if (what === undefined || out === undefined || !(isFile || Number.isInteger(Number(what)))) {
    const asked = args.includes("--help");
    (asked ? process.stdout : process.stderr).write(usage);
    return asked ? 0 : 2;
  }
  const plan = isFile ? JSON.parse(readFileSync(what, "utf8")) as Plan : makePlan(Number(what));
  const found = shrink(plan, (line) => process.stdout.write(`${line}\n`));
  if (found === null) {
    process.stdout.write(`seed ${plan.seed}: ${plan.seconds} s, nothing breached\n`);
    return 0;
  }
  mkdirSync(out, { recursive: true });
  const lines: string[] = [];
  let boot = -1;
  const result = new RigWorld(found.plan, {
    record: (line, life) => {
      if (life !== boot) lines.length = 0;
      boot = life;
      lines.push(line);
    },
  }).run();
  const name = join(out, `seed-${plan.seed}`);
  writeFileSync(`${name}.jsonl`, lines.join("\n") + "\n");
  writeFileSync(`${name}.plan.json`, JSON.stringify(found.plan, null, 1));
  const { rule, at: when, detail } = result.breaches[0]!;
  process.stdout.write([
    `seed ${plan.seed}: ${rule} at ${when} s: ${detail}`,
    ...found.plan.faults.map((fault) => `  fault ${JSON.stringify(fault)}`),
    ...found.plan.deeds.map((deed) => `  deed ${JSON.stringify(deed)}`),
    ...result.words.slice(-12).map((word) => `  ${word}`),
    `${name}.plan.json, ${name}.jsonl (npx vangnet replay ${name}.jsonl)`, "",
  ].join("\n"));
  return 1;
}
