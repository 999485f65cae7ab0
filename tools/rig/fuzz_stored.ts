/** Configurations and what is stored, mutated; and the store cut at every write. */
import { sha256 } from "../../hal/node/crypto.js";
import { Flash } from "../../hal/sim/key_value.js";
import { Power } from "../../hal/sim/power.js";
import { start, tick, type Inputs, type State, type Stored } from "../../src/controller.js";
import { SILENT } from "../../src/reading/report.js";
import { decodeRecord, encodeRecord, type CapRecord } from "../../src/services/cap_record.js";
import { readSite } from "../../src/services/site_config.js";
import { Store } from "../../src/services/store.js";
import type { Site } from "../../src/site.js";
import type { AcceptedToken, CapEvent } from "../../src/token/cap.js";
import { mutated, type Fuzz, type Fuzzer } from "./fuzz.js";
import { makePlan, type Dice } from "./plan.js";

const NOW = 1_768_496_400;
const silent = (site: Site): Inputs => ({
  reading: null, tokens: [], contacts: site.inputs.map(() => null), reports: site.devices.map(() => ({ ...SILENT, online: true })), networkTime: null,
});

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");
const latin = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "latin1"));

/** Somewhere in a JSON value: another value. */
function disturbed(value: unknown, dice: Dice): unknown {
  const odd = [null, 0, -1, 1e308, "", "x", true, [], {}, 0.5, 99_999_999, "auto", ["a"]];
  if (typeof value !== "object" || value === null || dice.chance(100)) return dice.pick(odd);
  if (Array.isArray(value)) {
    if (value.length === 0) return [dice.pick(odd)];
    const copy = [...(value as unknown[])];
    const at = dice.below(copy.length);
    if (dice.chance(150)) copy.splice(at, 1);
    else if (dice.chance(150)) copy.push(copy[at]);
    else copy[at] = disturbed(copy[at], dice);
    return copy;
  }
  const copy = { ...(value as Record<string, unknown>) };
  const names = Object.keys(copy);
  const name = names.length === 0 || dice.chance(60) ? dice.pick(["devices", "__proto__x", "phases", "constructor", "http"]) : dice.pick(names);
  if (dice.chance(120)) delete copy[name];
  else copy[name] = disturbed(copy[name], dice);
  return copy;
}

export const configuration: Fuzzer = {
  name: "configuration", change: 20_000, release: 2_000_000,
  make(dice): Fuzz {
    const seen = { good: 0, refused: 0 };
    const base = makePlan(dice.below(1 << 30), { hours: 1, rate: 0 }).site;
    return {
      seen,
      trial(own) {
        let json: unknown = base;
        for (let i = own.between(1, 3); i > 0; i--) json = disturbed(json, own);
        const text = own.chance(100) ? textOf(mutated(latin(JSON.stringify(base)), own)) : JSON.stringify(json);
        const read = readSite(text);
        if (!read.ok) {
          seen.refused++;
          return read.faults.length > 0 && read.faults.every(({ problem }) => problem.length > 0) ? null : "refused without a fault that names why";
        }
        seen.good++;
        // What the check lets through, the law must bear.
        let state: State = start(read.site, { limits: null, sgReady: null, clock: null }, 0);
        for (let now = 0; now < 3_000; now += 1_000) {
          const stepped = tick(read.site, state, silent(read.site), now);
          state = stepped.state;
          for (const [i, { setpoint }] of stepped.outputs.decisions.entries()) {
            const device = read.site.devices[i]!;
            const most = device.kind === "inverter" ? device.rated : device.kind === "heat_pump" ? Infinity : 0;
            if (!Number.isInteger(setpoint.value) || setpoint.value > most) return `${device.id} told ${setpoint.value} before the first telegram: ${text}`;
          }
        }
        return null;
      },
    };
  },
};

export const stored: Fuzzer = {
  name: "stored data", change: 50_000, release: 5_000_000,
  make(dice): Fuzz {
    const seen = { whole: 0, damaged: 0 };
    const plan = makePlan(dice.below(1 << 30), { hours: 1, rate: 0 });
    const read = readSite(JSON.stringify(plan.site));
    if (!read.ok) throw new Error("the plan's own site is faulty");
    const { site } = read;
    const kept = lived(site, dice);
    const failsafe = site.failsafe.importLimit;
    return {
      seen,
      trial(own) {
        const which = own.pick(["limits", "sgReady", "clock"] as const);
        const text = kept[which];
        const spoilt: Stored = { ...kept, [which]: text === null ? null : textOf(mutated(latin(text), own, [...latin("0123456789,[]nul-|\n")])) };
        const isSame = spoilt[which] === text;
        let state = start(site, spoilt, 0);
        for (let now = 0; now < 4_000; now += 1_000) {
          const { state: next, outputs } = tick(site, state, silent(site), now);
          state = next;
          const limit = outputs.limits.import;
          if (limit.kind === "none" || limit.watts > failsafe) return `${which} spoilt: limit ${JSON.stringify(limit)} at ${now} ms, failsafe ${failsafe}: ${spoilt[which]}`;
        }
        if (isSame) seen.whole++;
        else seen.damaged++;
        return record(own);
      },
    };
  },
};

/** What a house stores in the middle of a cap. */
function lived(site: Site, dice: Dice): Stored {
  const event: CapEvent = { id: "0a0b0c0d", start: NOW, duration: 7_200, importLimit: dice.pick([0, 1_000, 9_000]), exportLimit: null, emergency: false, controllable: false, release: null };
  const token: AcceptedToken = { kid: "0101010101010101", role: "operator", aud: "all", seq: 5, iat: NOW, exp: NOW + 900, events: [event], clockTrusted: true, channel: "mqtt", hash: "00112233445566ff" };
  let state = start(site, { limits: null, sgReady: null, clock: null }, 0);
  const kept: { limits: string | null; sgReady: string | null; clock: string | null } = { limits: null, sgReady: null, clock: null };
  for (let now = 0; now < 60_000; now += 1_000) {
    const { state: next, outputs } = tick(site, state, { ...silent(site), tokens: now === 30_000 ? [token] : [], networkTime: NOW + now / 1000 }, now);
    state = next;
    kept.limits = outputs.store.limits ?? kept.limits;
    kept.sgReady = outputs.store.sgReady ?? kept.sgReady;
    kept.clock = outputs.store.clock ?? kept.clock;
  }
  return kept;
}

function record(dice: Dice): string | null {
  const one: CapRecord = { role: "operator", kid: "0123456789abcdef", aud: "all", seq: dice.below(1 << 30), token: Uint8Array.from({ length: dice.below(200) }, () => dice.below(256)), isTimely: dice.chance(500) };
  const bytes = encodeRecord(one, sha256);
  const back = decodeRecord(bytes, sha256);
  if (back === null || back.seq !== one.seq || back.isTimely !== one.isTimely || Buffer.compare(back.token, one.token) !== 0) return "a record is not what was written";
  const spoilt = mutated(bytes, dice);
  if (Buffer.compare(spoilt, bytes) !== 0 && decodeRecord(spoilt, sha256) !== null) return `a spoilt record is believed: ${Buffer.from(spoilt).toString("hex")}`;
  return null;
}

/** The store cut at every write: the old value or the new one, never neither, never an older one. */
export const storeCuts: Fuzzer = {
  name: "store cuts", change: 20_000, release: 1_000_000,
  make(dice): Fuzz {
    const seen = { cuts: 0, old: 0, now: 0 };
    const power = new Power();
    power.onCut = () => { power.off = true; };
    const flash = new Flash(power, dice);
    flash.torn = true;
    const values = new Map<string, number>();
    const valueOf = (n: number): Uint8Array => Uint8Array.from({ length: 4 + (n % 60) }, (_, i) => (n >> (8 * (i % 4))) & 255);
    const same = (bytes: Uint8Array, n: number): boolean => Buffer.compare(bytes, valueOf(n)) === 0;
    let n = 0;
    return {
      seen,
      trial(own) {
        const key = own.pick(["limits", "clock", "cap0"]);
        const before = values.get(key) ?? null;
        const next = ++n;
        const cut = own.chance(500);
        if (cut) power.cutAtWrite = power.writes + 1;
        let done = false;
        try {
          done = new Store(flash.open("vangnet")).write(key, valueOf(next));
        } catch (error) {
          if (!power.off) throw error;
        }
        power.cutAtWrite = null;
        power.off = false;
        if (cut) seen.cuts++;
        const loaded = new Store(flash.open("vangnet")).load(key);
        if (loaded.kind === "value" && same(loaded.bytes, next)) {
          values.set(key, next);
          seen.now++;
          return null;
        }
        if (done) return `${key}: write ${next} was reported done and is not there (${loaded.kind})`;
        if (loaded.kind === "value" && before !== null && same(loaded.bytes, before)) {
          seen.old++;
          return null;
        }
        // The very first write of a key may be lost, and may leave rubbish that is told apart.
        if (before === null && loaded.kind !== "value") return null;
        return `${key}: neither the old ${before} nor the new ${next} (${loaded.kind})`;
      },
    };
  },
};
