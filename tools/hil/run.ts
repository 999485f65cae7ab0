/**
 * `npm run hil -- --target node|linux [--scenario NAME] [--pace N] [--variant release|debug|instrument]`:
 * plays test/hil/scenarios against a firmware in its own process. docs/hil.md says what the files mean.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Status } from "../../src/services/status.js";
import { Firmware, type Target } from "./firmware.js";
import { HilHouse, pause } from "./house.js";
import { holds, readScenario, type Observed, type Scenario, type Step } from "./scenario.js";

const LOOK_MS = 50;
const PACE = 10;

class Failed extends Error {}

export async function run(args: string[]): Promise<number> {
  const root = process.cwd();
  let options;
  try {
    options = parseArgs({ args, options: { target: { type: "string" }, scenario: { type: "string", multiple: true }, pace: { type: "string" }, variant: { type: "string" } } }).values;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    return 2;
  }
  const { target } = options, variant = options.variant ?? "release";
  if (target !== "node" && target !== "linux") {
    process.stderr.write("--target is node or linux\n");
    return 2;
  }
  if (target === "linux" && !existsSync(join(root, "build/firmware/linux", variant, "mc.so"))) {
    process.stderr.write(`build/firmware/linux/${variant} is not built: npm run build -- --board linux\n`);
    return 2;
  }
  const folder = join(root, "test/hil/scenarios");
  const wanted = readdirSync(folder).filter((file) => file.endsWith(".json")).map((file) => file.slice(0, -5)).sort()
    .filter((name) => options.scenario === undefined || options.scenario.includes(name));
  let failed = 0;
  for (const name of wanted) {
    const began = performance.now();
    let words = "";
    try {
      words = await play(name, readScenario(readFileSync(join(folder, `${name}.json`), "utf8")), { root, target, variant, pace: Number(options.pace ?? PACE) });
    } catch (error) {
      failed++;
      words = `FAILED: ${error instanceof Failed ? error.message : String((error as Error).stack)}`;
    }
    process.stdout.write(`${target} ${name}: ${words} (${((performance.now() - began) / 1000).toFixed(0)} s)\n`);
  }
  process.stdout.write(`${wanted.length - failed} passed, ${failed} failed\n`);
  return failed === 0 && wanted.length > 0 ? 0 : 1;
}

async function play(name: string, scenario: Scenario, how: { root: string; target: Target; variant: string; pace: number }): Promise<string> {
  const house = new HilHouse(how.pace);
  const logs = join(how.root, "build/hil");
  mkdirSync(logs, { recursive: true });
  let firmware: Firmware | null = null;
  try {
    house.load = [...scenario.load_W];
    await house.start();
    firmware = new Firmware(how.target, how.root, join(house.directory, "data"), how.variant, house.site(scenario.site), house.pace, join(logs, `${how.target}-${name}.log`));
    firmware.boot();
    const player = new Player(house, firmware, how.pace);
    for (const [i, step] of scenario.steps.entries()) {
      try {
        await player.step(step);
      } catch (error) {
        if (error instanceof Failed) error.message = `step ${i + 1} ${JSON.stringify(step)}: ${error.message}`;
        throw error;
      }
      if (firmware.crashes.length > 0) throw new Failed(`step ${i + 1}: the firmware ended: ${firmware.crashes.join(", ")}`);
    }
    if (house.judge.caps.length > 0 && !house.judge.obeyed) throw new Failed(`not obeyed: ${house.judge.lines().join("; ")}`);
    const last = await player.look();
    if (last.faults !== 0) throw new Failed(`${last.faults} faults of the core`);
    return ["passed", ...house.judge.lines()].join("; ");
  } finally {
    await firmware?.close();
    await house.close();
  }
}

class Player {
  readonly #house: HilHouse;
  readonly #firmware: Firmware;
  readonly #pace: number;
  constructor(house: HilHouse, firmware: Firmware, pace: number) {
    this.#house = house;
    this.#firmware = firmware;
    this.#pace = pace;
  }

  async step(step: Step): Promise<void> {
    const house = this.#house;
    if ("load_W" in step) house.load = [...step.load_W];
    else if ("cap_W" in step) house.cap(step.cap_W, step.for, step.by, step.emergency ?? false);
    else if ("heartbeat" in step) house.beating = step.heartbeat;
    else if ("meter" in step) {
      house.garbled = step.meter === "garbled";
      if (step.meter === "off") house.meterOff();
      else house.meterOn();
    } else if ("meter_clock_s" in step) house.meterClock = step.meter_clock_s;
    else if ("broker" in step) await house.broker(step.broker === "on");
    else if ("charger" in step) house.charger.faults.silent = step.charger === "silent";
    else if ("reboot" in step) await this.#firmware.power();
    else if ("wait" in step) await this.#sleep(step.wait);
    else await this.#expect(step.expect, step.within ?? 0, step.for ?? 0);
  }

  async #sleep(seconds: number): Promise<void> { await pause((seconds * 1000) / this.#pace); }

  /** True at the latest after `within`, and from then on for `hold`. House seconds. */
  async #expect(wanted: Extract<Step, { expect: unknown }>["expect"], within: number, hold: number): Promise<void> {
    const start = performance.now();
    const house = () => ((performance.now() - start) / 1000) * this.#pace;
    let since: number | null = null;
    for (;;) {
      const seen = await this.look();
      const wrong = Object.entries(wanted).filter(([name, bound]) => !holds(seen[name as keyof Observed], bound));
      const at = house();
      if (wrong.length > 0) {
        if (since !== null || at > within) throw new Failed(`after ${at.toFixed(0)} s ${wrong.map(([name]) => `${name} is ${String(seen[name as keyof Observed])}`).join(", ")}; all: ${JSON.stringify(seen)}`);
      } else {
        since ??= at;
        if (at - since >= hold) return;
      }
      if (this.#firmware.crashes.length > 0) return;
      await pause(LOOK_MS);
    }
  }

  async look(): Promise<Observed> {
    const house = this.#house, status = await this.#status();
    const charger = status?.devices.find((device) => device.id === "charger");
    return {
      net_W: house.net, charger_A: house.car.setpoint === null ? null : house.car.setpoint / 1000, sg_state: house.sgState, boots: this.#firmware.boots,
      import_W: status?.limits.import?.watts ?? null, state: status?.limits.state ?? null, freshness: status?.reading.freshness ?? null,
      mqtt: status?.link.mqtt?.state ?? null, charger_fault: charger?.fault ?? null, clock: status === null ? null : status.clock.time === null ? "unknown" : "known",
      telegram_errors: status?.counters["telegramErrors"] ?? null, tokens_accepted: status?.counters["tokensAccepted"] ?? null,
      tokens_refused: status?.counters["tokensRefused"] ?? null, faults: status?.counters["faults"] ?? null,
    };
  }

  async #status(): Promise<Status | null> {
    try {
      const response = await fetch(`http://127.0.0.1:${this.#house.httpPort}/api/status`, { signal: AbortSignal.timeout(3_000) });
      return (await response.json()) as Status;
    } catch {
      return null;
    }
  }
}
