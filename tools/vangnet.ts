#!/usr/bin/env node
/** The `vangnet` command: finds the verb and hands it the rest. Each verb is a file in commands/. */
import process from "node:process";

interface Verb {
  readonly summary: string;
  /** Gives the exit code: 0 done, 1 the answer is no (bad signature, cap not obeyed), 2 wrong usage. */
  load(): Promise<{ run(args: string[]): Promise<number> }>;
}

const verbs: Record<string, Verb> = {
  start: { summary: "run the controller against a simulated home over real sockets", load: () => import("./commands/start.js") },
  run: { summary: "run the controller on real hardware: run --config site.json", load: () => import("./commands/run.js") },
  config: { summary: "config check site.json: name every fault by its path", load: () => import("./commands/config.js") },
  p1: { summary: "p1 decode | p1 emulate: read or play a smart meter", load: () => import("./commands/p1.js") },
  modbus: { summary: "modbus emulate | modbus profiles: play a device", load: () => import("./commands/modbus.js") },
  keys: { summary: "keys new | show | sign: signing keys, and signed sets of them", load: () => import("./commands/keys.js") },
  cap: { summary: "cap issue | list | cancel | refresh | inspect: the operator's caps", load: () => import("./commands/cap.js") },
  evidence: { summary: "evidence export | verify: what was received, commanded and measured", load: () => import("./commands/evidence.js") },
  replay: { summary: "replay RECORDING: each decision of a recorded day, with its reason", load: () => import("./commands/replay.js") },
  shrink: { summary: "shrink SEED: a smaller run of the rig that breaches the same rule", load: () => import("./commands/shrink.js") },
};

async function main(): Promise<number> {
  const [name, ...rest] = process.argv.slice(2);
  const verb = name === undefined ? undefined : verbs[name];
  if (!verb) {
    const asked = name === undefined || name === "help" || name === "--help" || name === "-h";
    if (!asked) process.stderr.write(`vangnet: no verb "${name}"\n\n`);
    const lines = Object.entries(verbs).map(([key, { summary }]) => `  vangnet ${key.padEnd(9)} ${summary}`);
    (asked ? process.stdout : process.stderr).write(`Usage:\n${lines.join("\n")}\n\n\`vangnet VERB --help\` says more.\n`);
    return asked ? 0 : 2;
  }
  return (await verb.load()).run(rest);
}

// A reader that goes away (`vangnet p1 decode … | head`) is not a failure of ours. `run` goes on without one.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));

main().then(
  (code) => { process.exitCode = code; },
  (error: unknown) => {
    process.stderr.write(`vangnet: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  },
);
