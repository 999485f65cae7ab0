/**
 * What the core costs on XS, in numbers that are the same on every machine: computrons (bytecodes
 * run, as XS itself counts them), slots and chunk bytes handed out. budget.json holds what they were
 * when somebody last looked; more than 5 % above that fails. VANGNET_BUDGET=update writes it anew.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { publicEntry } from "../../tools/operator/files.js";
import { makeEvent, makeToken, testKey } from "../helpers/token.js";
import { vector } from "../telegram/read.js";
import { hardDay } from "./day.js";
import { Engine, engineMissing } from "./engine.js";

const reason = engineMissing();
const entry = new URL("./entry.ts", import.meta.url).pathname;
const file = new URL("./budget.json", import.meta.url).pathname;
const latin = (bytes: Uint8Array): string => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");

interface Cost {
  computrons: number;
  /** A slot is 16 bytes on an ESP32. */
  slots: number;
  /** On this 64-bit XS, where a chunk's array of slots is twice the size it has on an ESP32. */
  chunkBytes: number;
}
type Budget = Record<string, Cost>;

const RISE = 1.05;
const ESP32_SLOT_BYTES = 16;
const COARSE_STEP = 256 * 1024;
const FINE_STEP = 4 * 1024;
/** What a measured run may take of the chunk memory that is left. */
const COARSE_STEPS_KEPT = 16;

describe.skipIf(reason !== null)(`costs on XS${reason === null ? "" : ` [skipped: ${reason}]`}`, () => {
  let xs: Engine;
  const measured: Budget = {};
  const recorded: Budget = process.env["VANGNET_BUDGET"] === "update" ? {} : JSON.parse(readFileSync(file, "utf8")) as Budget;
  beforeAll(async () => { xs = await Engine.start(entry); }, 120_000);
  afterAll(() => {
    xs?.stop();
    if (process.env["VANGNET_BUDGET"] === "update") writeFileSync(file, `${JSON.stringify(measured, null, 2)}\n`);
  });

  /** One call of the `times` that are done in a command. */
  async function cost(name: string, times: number): Promise<{ computrons: number; slots: number }> {
    await xs.call("collect");
    const empty = await xs.call("runNothing", times);
    const full = await xs.call(name, times);
    const again = await xs.call("runNothing", times);
    const own = again.slots - full.slots;
    return { computrons: Math.round((full.computrons - empty.computrons) / times), slots: Math.round((full.slots - empty.slots - own) / times) };
  }

  /** Steps until XS collects by itself, which shows in fewer slots being in use than before. */
  async function steps(slots: number, step: number): Promise<number> {
    let before = slots;
    for (let count = 0; ; count++) {
      const now = (await xs.call("fill", step)).slots;
      if (now < before) return count;
      before = now;
    }
  }

  /** Fills the memory up behind a run: what it cannot take any more, the run had taken. */
  async function chunkBytes(name: string, times: number): Promise<number> {
    await xs.call("collect");
    const coarse = (await steps(0, COARSE_STEP)) - COARSE_STEPS_KEPT;
    const left: number[] = [];
    for (const run of ["runNothing", name]) {
      await xs.call("collect");
      await xs.call(run, times);
      for (let i = 0; i < coarse; i++) await xs.call("fill", COARSE_STEP);
      left.push(await steps(0, FINE_STEP));
    }
    return Math.round(((left[0]! - left[1]!) * FINE_STEP) / times);
  }

  function judge(name: string, now: Cost): void {
    measured[name] = now;
    if (process.env["VANGNET_BUDGET"] === "update") return;
    const was = recorded[name];
    expect(was, `${name} is not in budget.json: VANGNET_BUDGET=update`).toBeDefined();
    for (const key of ["computrons", "slots", "chunkBytes"] as const) {
      // Counts are of whole slots and of whole steps of the fill.
      const slack = key === "chunkBytes" ? 16 : 1;
      expect(now[key], `${key} of a ${name}; budget.json is changed on purpose with VANGNET_BUDGET=update`).toBeLessThanOrEqual(Math.max(was![key] * RISE, was![key] + slack));
    }
  }

  it.each(["esmr5_text.txt", "emucs_3phase.txt"])("telegram %s, with its reading", async (name) => {
    await xs.call("loadBytes", latin(vector(name)), []);
    await xs.call("runTelegram", 3);
    const now: Cost = { ...await cost("runTelegram", 50), chunkBytes: await chunkBytes("runTelegram", 500) };
    expect(now.computrons).toBeLessThanOrEqual(100_000);
    expect(now.slots * ESP32_SLOT_BYTES + now.chunkBytes).toBeLessThanOrEqual(4_096);
    judge(`telegram ${name}`, now);
  });

  it("a token of two events, without its signature", async () => {
    const keys = [{ ...publicEntry(testKey()), audiences: undefined, not_before: undefined, not_after: undefined }];
    await xs.call("loadBytes", latin(makeToken({ aud: "all", events: [makeEvent(), makeEvent({ id: "0a0b0c0e" })] })), keys);
    await xs.call("runToken", 3);
    judge("token", { ...await cost("runToken", 50), chunkBytes: await chunkBytes("runToken", 100) });
  });

  it("a tick with six devices on a hard day", async () => {
    const { site, inputs } = hardDay();
    await xs.call("loadDay", site, inputs);
    const some: { computrons: number; slots: number }[] = [];
    // The day's input stands in the machine already; a few ticks at a time leave no room for a collection.
    for (let at = 0; at + 100 <= inputs.length; at += 100) {
      some.push(await cost("runTicks", 20));
      await xs.call("runTicks", 80);
    }
    const mean = (key: "computrons" | "slots"): number => Math.round(some.reduce((sum, one) => sum + one[key], 0) / some.length);
    // A machine whose memory has not grown beyond its first block, so that bytes can be counted.
    xs.stop();
    xs = await Engine.start(entry);
    await xs.call("loadDay", site, inputs.slice(0, 300));
    await xs.call("runTicks", 150);
    judge("tick", { computrons: mean("computrons"), slots: mean("slots"), chunkBytes: await chunkBytes("runTicks", 100) });
  });
});
