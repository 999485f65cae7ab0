/**
 * The core on XS and on Node: the same telegrams, tokens, recorded days and random cases give the
 * same bytes. It runs as the firmware has it, preloaded: whatever a module holds is read-only.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { publicEntry } from "../../tools/operator/files.js";
import { makeToken, makeEvent, testKey, TEST_EAN, TEST_NOW } from "../helpers/token.js";
import { runs } from "../services/runs.js";
import { vector } from "../telegram/read.js";
import type { Budget } from "../../src/budget/budget.js";
import { NO_LIMIT } from "../../src/limits/limit.js";
import type { Reading } from "../../src/reading/reading.js";
import { battery, ev, inverter, limit, powerPump, report, sgPump, testLimits, testReading, testSite } from "../house.js";
import { capAt, DAY_UTC, hardDay, makeDay, tokenOf } from "./day.js";
import { Engine, engineMissing } from "./engine.js";
import * as node from "./entry.js";
import type { AllocationCase, LimitsCase } from "./entry.js";

const reason = engineMissing();
const entry = new URL("./entry.ts", import.meta.url).pathname;
const latin = (bytes: Uint8Array): string => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");

const NAMES = ["austria_integer.txt", "dsmr22.txt", "dsmr30.txt", "dsmr42_3phase.txt", "emucs_3phase.txt", "esmr5_text.txt", "heat_unpadded_crc.txt", "hungary.txt", "two_mbus_dead_first.txt"];

const priority = fc.integer({ min: 1, max: 3 });
const phasesArb = fc.constantFrom([true, true, true] as const, [true, false, false] as const, [false, false, true] as const);
const deviceArb = fc.oneof(
  fc.record({ priority, phases: phasesArb, step: fc.constantFrom(1_000, 100) }).map((over) => ev("car", over)),
  fc.record({ priority, phases: phasesArb, chargeMax: fc.integer({ min: 500, max: 9_000 }) }).map((over) => battery("battery", over)),
  fc.record({ priority, rated: fc.integer({ min: 500, max: 9_000 }) }).map((over) => inverter("roof", over)),
  fc.record({ priority, nominal: fc.integer({ min: 500, max: 6_000 }) }).map((over) => sgPump("pump", over)),
  fc.record({ priority, phases: phasesArb }).map((over) => powerPump("boiler", over)),
);
const siteArb = fc.tuple(fc.array(deviceArb, { minLength: 1, maxLength: 6 }), fc.boolean(), fc.constantFrom(null, 5_000), fc.constantFrom(null, 4_000), fc.boolean())
  .map(([devices, delta, tariffTarget, autonomousImport, par14a]) => testSite(devices.map((device, i) => ({ ...device, id: `${device.id}${i}` })), {
    tariffTarget, autonomousImport, par14a, connection: { phases: 3, delta, fuse: 25_000, importMax: 17_250, exportMax: null },
    inputs: [{ id: "relay", importLimit: 4_200, exportLimit: 0, scope: par14a ? "controllable" : "net" }],
  }));

const wattsArb = fc.option(fc.nat(12_000));
const limitStep = fc.record({
  after: fc.constantFrom(0, 1, 1, 1, 10, 60, 900, 9_000), trusted: fc.boolean(), life: fc.constantFrom(5, 900, 86_400), contact: fc.constantFrom(true, false, null),
  volts: fc.option(fc.integer({ min: 190, max: 270 })),
  events: fc.option(fc.array(fc.record({
    start: fc.integer({ min: -600, max: 1_800 }), duration: fc.integer({ min: 1, max: 5_400 }), importLimit: wattsArb, exportLimit: wattsArb,
    emergency: fc.boolean(), controllable: fc.boolean(), release: fc.option(fc.nat(600)),
  }), { maxLength: 4 }).map((list) => list.map(({ start, duration, ...rest }) => ({ start, duration, ...rest })))),
});
const headroom = fc.option(fc.integer({ min: -8_000, max: 12_000 }));
const allocationStep = fc.record({
  after: fc.constantFrom(1, 1, 1, 5, 70, 400), age: fc.constantFrom(0, 0, 4_000, 60_000), fresh: fc.constantFrom("fresh" as const, "fresh" as const, "ageing" as const, "stale" as const, "never" as const),
  phases: fc.array(fc.integer({ min: -20_000, max: 25_000 }), { minLength: 3, maxLength: 3 }), net: headroom, scoped: headroom, feedIn: headroom,
  reports: fc.array(fc.record({ online: fc.boolean(), power: fc.option(fc.integer({ min: -5_000, max: 11_000 })), wants: fc.constantFrom(true, false, null), stateOfCharge: fc.option(fc.nat(1_000)) }), { minLength: 1, maxLength: 6 }),
});

describe.skipIf(reason !== null)(`the core on XS${reason === null ? "" : ` [skipped: ${reason}]`}`, () => {
  let xs: Engine;
  beforeAll(async () => { xs = await Engine.start(entry, { preload: true }); }, 120_000);
  afterAll(async () => {
    try {
      const { watched, changed } = (await xs.call<{ watched: number; changed: string[] }>("vangnetPreloaded")).value;
      expect(watched).toBeGreaterThan(0);
      expect(changed).toEqual([]);
    } finally {
      xs?.stop();
    }
  });

  /** The same call on both engines. */
  async function same<Name extends "read" | "tokens" | "play" | "limits" | "allocation">(name: Name, ...args: Parameters<(typeof node)[Name]>): Promise<readonly string[]> {
    const { value } = await xs.call<string[]>(name, ...args);
    // As the arguments come through JSON on XS, so they do here.
    const here = (node[name] as (...list: unknown[]) => string[])(...(JSON.parse(JSON.stringify(args)) as unknown[]));
    for (let i = 0; i < here.length; i++) expect(value[i]).toBe(here[i]);
    expect(value.length).toBe(here.length);
    return value;
  }

  it.each(NAMES)("telegram %s", async (name) => {
    const text = latin(vector(name));
    for (const piece of [text.length, 64, 7]) {
      // Five times: so many a meter without a CRC must show before it is believed.
      const said = await same("read", [text, text.repeat(5)], "auto", piece);
      expect(said[1]).toContain(name.startsWith("heat") ? `"rule":"no_power"` : `"kind":"reading"`);
    }
  });

  it("telegrams with mutated, doubled and missing bytes", async () => {
    const texts = NAMES.map((name) => latin(vector(name)));
    await fc.assert(fc.asyncProperty(
      fc.integer({ min: 0, max: texts.length - 1 }),
      fc.array(fc.record({ at: fc.nat(4_000), take: fc.nat(3), put: fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 3 }) }), { maxLength: 4 }),
      fc.constantFrom("auto" as const, "required" as const, "none" as const), fc.integer({ min: 1, max: 300 }),
      async (which, edits, crc, piece) => {
        let text = texts[which]!;
        for (const { at, take, put } of edits) {
          const p = at % text.length;
          text = text.slice(0, p) + String.fromCharCode(...put) + text.slice(p + take);
        }
        await same("read", [text + texts[which]!], crc, piece);
      }), { numRuns: runs(150) });
  });

  it("tokens, whole and mutated, of every role", async () => {
    const roles = ["operator", "installer", "owner", "maker"] as const;
    const keys = roles.map((role) => ({ ...publicEntry(testKey(role)), audiences: undefined, not_before: undefined, not_after: undefined }));
    const identity = { ean: TEST_EAN, msr: "MSR1" };
    const limit = fc.option(fc.nat(20_000));
    const event = fc.record({ start: fc.integer({ min: TEST_NOW - 1e5, max: TEST_NOW + 1e5 }), duration: fc.integer({ min: 1, max: 1e5 }), importLimit: limit, exportLimit: limit,
      emergency: fc.boolean(), controllable: fc.boolean(), release: fc.option(fc.nat(86_400)) });
    const said: string[] = [];
    await fc.assert(fc.asyncProperty(
      fc.constantFrom(...roles), fc.constantFrom(`ean:${TEST_EAN}`, "msr:MSR1", "msr:MSR2", "all"), fc.array(event, { maxLength: 16 }), fc.nat(0xffff_ffff_ffff), fc.integer({ min: -10, max: 4_000_000 }),
      fc.array(fc.tuple(fc.nat(800), fc.nat(255)), { maxLength: 2 }), fc.constantFrom("mqtt" as const, "http" as const, "p1" as const), fc.option(fc.integer({ min: TEST_NOW - 1_000, max: TEST_NOW + 1_000 })),
      async (role, aud, events, seq, life, edits, channel, utc) => {
        const bytes = makeToken({ key: testKey(role), aud, seq, exp: Math.max(0, TEST_NOW + life), events: events.map((one, i) => makeEvent({ ...one, id: `0000000${i.toString(16)}` })) });
        for (const [at, value] of edits) bytes[at % bytes.length] = value;
        said.push(...await same("tokens", [{ bytes: latin(bytes), channel, utc }], keys, identity));
      }), { numRuns: runs(200) });
    for (const told of [`"repeat":false`, `"rule":"structure"`, `"rule":"role"`, `"rule":"audience"`, `"rule":"times"`]) expect(said.some((one) => one.includes(told)), told).toBe(true);
  });

  it("a hard day: every tick's outputs, and what is told of them", async () => {
    const { lines, outputs } = hardDay();
    let text = "";
    for (let i = 0; i < lines.length; i += 200) text += (await same("play", lines.slice(i, i + 200))).join("\n");
    // What the day was made for did happen.
    const pump = new Set(outputs.map((one) => one.decisions[0]!.setpoint.value));
    expect([...pump].sort()).toEqual([1, 2]);
    expect(outputs.some((one) => one.decisions[5]!.setpoint.value < 8_000)).toBe(true);
    const absent = ["cap_in_force", "cap_ended", "release_begins", "measured", "contact", "clock"].filter((kind) => !text.includes(`"kind":"${kind}"`));
    expect([...absent, ...["meter_stale", `"freshness":"ageing"`, "offline", `"state":"failsafe"`, `"state":"limited"`].filter((said) => !text.includes(said))]).toEqual([]);
  });

  it("the limits, alone, on whatever comes", async () => {
    await fc.assert(fc.asyncProperty(siteArb, fc.array(limitStep, { minLength: 5, maxLength: 40 }), async (site, steps) => {
      const list: LimitsCase["steps"][number][] = [];
      let now = 0;
      let utc = DAY_UTC;
      let seq = 0;
      for (const { after, trusted, events, contact, volts, life } of steps) {
        now += after * 1_000;
        utc += after;
        const tokens = events === null ? [] : [tokenOf(++seq, utc, events.map((one, i) => capAt(`0000000${i}`, utc + one.start, one.duration, one.importLimit, { ...one, start: utc + one.start })), { exp: utc + life, clockTrusted: trusted })];
        const reading: Reading | null = volts === null ? null : testReading(now, [500, 300, 100], { voltage: [volts * 1_000, 230_000, null], meterTime: utc });
        list.push({ now, input: { utc: trusted ? utc : null, tokens, contacts: [contact], reading } });
      }
      await same("limits", { site, stored: null, steps: list });
    }), { numRuns: runs(80) });
  });

  it("the allocation, alone, on whatever comes", async () => {
    await fc.assert(fc.asyncProperty(siteArb, fc.array(allocationStep, { minLength: 5, maxLength: 40 }), async (site, steps) => {
      const list: AllocationCase["steps"][number][] = [];
      let now = 0;
      for (const { after, fresh, phases, net, scoped, feedIn, reports, age } of steps) {
        now += after * 1_000;
        const phase: [number, number, number] = [phases[0]!, phases[1]!, phases[2]!];
        const budget: Budget = {
          freshness: fresh, held: { watts: 100, milliamps: phase }, uncontrolled: { watts: 100, milliamps: phase }, headroom: net, headroomPhase: phase,
          headroomControllable: scoped, headroomExport: feedIn, headroomPhaseExport: [phase[2], phase[0], phase[1]], headroomProduction: feedIn,
          voltage: [230_000, 253_000, 231_000], voltageLow: [230_000, 207_000, 231_000], excess: { watts: net === null ? null : -net, milliamps: [-phase[0], -phase[1], -phase[2]] }, settle: 10_000,
        };
        const limits = testLimits(site, { import: net === null ? NO_LIMIT : limit(Math.max(0, net), "cap"), controllable: scoped === null ? NO_LIMIT : limit(Math.max(0, scoped), "contact") });
        list.push({ now, input: {
          budget, limits, utc: DAY_UTC + now / 1_000, reading: testReading(now - age, [phase[0], phase[1], phase[2]]),
          reports: site.devices.map((_, i) => report({ at: now, ...reports[i % reports.length]! })),
        } });
      }
      await same("allocation", { site, steps: list });
    }), { numRuns: runs(80) });
  });

  it("random houses in closed loop, whole", async () => {
    await fc.assert(fc.asyncProperty(
      siteArb, fc.record({ seed: fc.nat(), base: fc.integer({ min: -2_000, max: 4_000 }), swing: fc.nat(800), sun: fc.double({ min: 0, max: 1, noNaN: true }), meter: fc.constantFrom("dsmr5" as const, "dsmr4" as const, "net_only" as const, "no_current" as const, "belgian" as const) }),
      fc.array(fc.record({ at: fc.nat(200), start: fc.integer({ min: -50, max: 100 }), duration: fc.integer({ min: 1, max: 150 }), watts: fc.option(fc.nat(9_000)) }), { maxLength: 4 }),
      async (site, house, caps) => {
        const { lines } = makeDay({
          site, seconds: 250, house,
          tokensAt: (second) => caps.filter(({ at }) => at === second).map(({ start: from, duration, watts }, i) => tokenOf(second * 10 + i, DAY_UTC + second, [capAt("0000bb01", DAY_UTC + second + from, duration, watts)])),
        });
        await same("play", lines);
      }), { numRuns: runs(12) });
  });
});
