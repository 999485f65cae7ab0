/**
 * The judge from outside: bytes on the P1 line, setpoints as devices got them, contacts, tokens as
 * the operator sent them, watts at the meter. It shares no code with the controller and asks nothing
 * of what is broken, nor of a little while after: see `patience`.
 *
 * Rules, each a method of a few lines: range, start, rise, stale, rewrite, off_time, contacts, cap,
 * failsafe, fuse, fault.
 */
import { P1Watch } from "./judge_p1.js";
import { Orders } from "./judge_orders.js";
import { PumpWatch } from "./judge_pump.js";
import type { Word } from "./operator.js";
import type { Fault, FaultKind, Plan, Thing } from "./plan.js";

export interface Second {
  /** ms since the world began. */
  readonly at: number;
  readonly on: boolean;
  readonly watts: readonly [number, number, number];
  readonly amps: readonly [number, number, number];
  readonly volts: readonly [number, number, number];
  readonly draws: ReadonlyMap<string, { readonly watts: readonly number[] }>;
}

export interface Finding { readonly rule: string; readonly detail: string }

interface Held { value: number | null; at: number; writtenAt: number; offAt: number | null; risenAt: number | null }

/** A device is judged again this long after its own trouble: the longest back-off is 30 s. */
const DEVICE_AFTER_MS = 60_000;
/** A write may wait for the ones before it, and for the device. */
const WIRE_MS = 3_000;
const BOOT_MS = 20_000;
const FREE_HOLD_S = 45;
const RISING_S = 20;

export class Judge {
  readonly #plan: Plan;
  readonly #p1: P1Watch;
  readonly #orders: Orders;
  readonly #pumps = new Map<string, PumpWatch>();
  readonly #held = new Map<string, Held>();
  readonly #things = new Map<string, Thing>();
  #findings: Finding[] = [];
  #now = 0;
  #bootedAt = 0;
  #on = false;
  #broken: Fault[] = [];
  #free: { watts: number; amps: number[] }[] = [];
  #over = [0, 0, 0, 0];
  #counterFaults = 0;

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#p1 = new P1Watch(plan.version);
    this.#orders = new Orders(plan);
    for (const thing of plan.things) {
      this.#things.set(thing.id, thing);
      if (thing.kind === "pump") this.#pumps.set(thing.id, new PumpWatch(thing.id));
    }
  }

  // ---- What crosses wires and contacts ----

  telegram(now: number, bytes: Uint8Array): void {
    if (this.#on) this.#p1.bytes(now, bytes);
  }

  /** A setpoint as the device understood it: A, W, or null for none. */
  write(now: number, id: string, value: number | null): void {
    this.#now = now;
    const thing = this.#things.get(id)!;
    const held = this.#held.get(id);
    const sick = this.#sick(id, now);
    this.#range(thing, value);
    if (!sick && this.#on) {
      this.#start(thing, value);
      this.#stale(thing, value, held);
      if (held !== undefined && held.at >= this.#bootedAt) this.#rise(thing, value, held);
    }
    const risen = held !== undefined && value !== null && held.value !== null && value > held.value;
    this.#held.set(id, {
      value, at: held !== undefined && held.value === value && held.at >= this.#bootedAt ? held.at : now, writtenAt: now,
      // What was told to a sick device, nobody saw.
      offAt: value !== 0 || sick ? null : held?.value === 0 ? held.offAt : held !== undefined && held.at >= this.#bootedAt ? now : null, risenAt: risen ? now : held?.risenAt ?? null,
    });
  }

  contacts(now: number, id: string, one: 0 | 1, two: 0 | 1): void {
    this.#now = now;
    // A contact that sticks and the relief of power are not the controller's.
    const excused = this.#sick(id, now) || !this.#on || this.#recent(["relay_stuck"], now, DEVICE_AFTER_MS);
    for (const detail of this.#pumps.get(id)!.moved(now, one, two, excused, this.#orders.emergencyNear(now), this.#clockWrong(now))) this.#find("contacts", `${id} ${detail}`);
  }

  power(now: number, on: boolean): void {
    this.#on = on;
    if (on) {
      this.#bootedAt = now;
      this.#p1.reset();
    }
    this.#over.fill(0);
    for (const pump of this.#pumps.values()) pump.power(on);
  }

  spoke(word: Word): void { this.#orders.spoke(word); }

  broke(fault: Fault): void {
    this.#broken.push(fault);
    this.#orders.broke(fault);
  }

  /** The controller's own status, as it went over MQTT: a tick that threw counts a fault. */
  status(now: number, payload: Uint8Array): void {
    this.#now = now;
    const text = new TextDecoder().decode(payload);
    const faults = Number(/"faults":(\d+)/.exec(text)?.[1] ?? 0);
    if (faults > 0 && faults !== this.#counterFaults) this.#find("fault", `${faults} ticks threw; ${/"type":"fault","words":"[^"]*"/.exec(text)?.[0] ?? ""}`);
    this.#counterFaults = faults;
  }

  // ---- Each second ----

  second(seen: Second): Finding[] {
    this.#now = seen.at;
    this.#broken = this.#broken.filter((fault) => (fault.at + fault.for) * 1000 > seen.at - 4_000_000);
    this.#orders.second(seen.at, this.#on);
    if (this.#on && seen.at - this.#bootedAt > BOOT_MS) {
      this.#rewrite();
      for (const [id, pump] of this.#pumps) for (const detail of pump.second(seen.at, this.#orders.emergencyNear(seen.at), this.#clockWrong(seen.at))) this.#find("contacts", `${id} ${detail}`);
    }
    this.#obeyed(seen);
    const found = this.#findings;
    this.#findings = [];
    return found;
  }

  // 1. Off, or within the device's range; finite, whole.
  #range(thing: Thing, value: number | null): void {
    if (value === null) return;
    const json = this.#plan.site["devices"].find((one: { id: string }) => one.id === thing.id);
    const [low, high] = thing.kind === "ev" ? [6_000, json.maximum_A * 1000] : thing.kind === "battery" ? [-thing.size, thing.size] : [0, thing.size];
    // A percentage of the rated power rounds.
    const crumb = thing.kind === "ev" ? 0 : thing.size / 50;
    const inside = value === 0 || (value >= low - crumb && value <= high + crumb);
    if (!Number.isFinite(value) || !inside) this.#find("range", `${thing.id} told ${value}, may ${low}..${high}`);
  }

  // 14. From power-on to the first telegram nothing above safe.
  #start(thing: Thing, value: number | null): void {
    if (this.#p1.first === null && !safe(thing, value)) this.#find("start", `${thing.id} told ${value} before the first telegram`);
  }

  // 3. No rise after 5 periods, safe after 10.
  #stale(thing: Thing, value: number | null, held: Held | undefined): void {
    if (this.#p1.last === null) return;
    const silent = this.#now - this.#p1.last - WIRE_MS;
    if (silent > 10 * this.#p1.period && !safe(thing, value)) this.#find("stale", `${thing.id} told ${value}, last telegram ${this.#now - this.#p1.last} ms ago`);
    if (silent > 5 * this.#p1.period && value !== null && held && held.value !== null && value > held.value && !safe(thing, value)) this.#find("stale", `${thing.id} raised from ${held.value} to ${value}, last telegram ${this.#now - this.#p1.last} ms ago`);
  }

  // 4 and 5. At most 3 A at a step and 0.2 A/s; five minutes off.
  #rise(thing: Thing, value: number | null, held: Held): void {
    if (thing.kind !== "ev" || value === null || held.value === null || value <= held.value) return;
    if (held.value === 0) {
      if (value > 6_000 + 1_000) this.#find("rise", `${thing.id} starts at ${value}`);
      if (held.offAt !== null && held.offAt > this.#bootedAt && this.#now - held.offAt < 300_000 - WIRE_MS) this.#find("off_time", `${thing.id} on again after ${this.#now - held.offAt} ms`);
      return;
    }
    const may = Math.min(3_000, (this.#now - held.at + WIRE_MS) / 5);
    if (value - held.value > may + 1) this.#find("rise", `${thing.id} from ${held.value} to ${value} after ${this.#now - held.at} ms`);
  }

  // 10. Written again at least every 10 s and a tick.
  #rewrite(): void {
    for (const thing of this.#plan.things) {
      if (thing.kind === "pump" || this.#sick(thing.id, this.#now)) continue;
      const since = this.#now - Math.max(this.#held.get(thing.id)?.writtenAt ?? 0, this.#bootedAt);
      if (since > 11_000 + WIRE_MS) this.#find("rewrite", `${thing.id} not written for ${since} ms`);
    }
  }

  /** 6, the failsafe and the fuse: what the house draws, where what nobody controls leaves room. */
  #obeyed(seen: Second): void {
    const net = seen.watts[0] + seen.watts[1] + seen.watts[2];
    let free = net;
    const freeAmps = [...seen.amps];
    for (const thing of this.#plan.things) {
      const draws = seen.draws.get(thing.id)!.watts;
      const lowers = thing.kind === "ev" || thing.kind === "battery";
      if (!lowers || this.#sick(thing.id, seen.at)) continue;
      for (let p = 0; p < 3; p++) {
        if (draws[p]! <= 0) continue;
        free -= draws[p]!;
        freeAmps[p]! -= draws[p]! / Math.max(100, seen.volts[p]!);
      }
    }
    this.#free.push({ watts: free, amps: freeAmps });
    if (this.#free.length > FREE_HOLD_S) this.#free.shift();
    if (!this.#on || seen.at - this.#bootedAt < BOOT_MS) return void this.#over.fill(0);
    // What ours may have, at the least of what the others drew lately: the lenient side.
    const least = { watts: Infinity, amps: [Infinity, Infinity, Infinity] };
    for (const one of this.#free) {
      least.watts = Math.min(least.watts, one.watts);
      for (let p = 0; p < 3; p++) least.amps[p] = Math.min(least.amps[p]!, one.amps[p]!);
    }
    // What nobody controls and rises at this very time (a cloud, an oven) is followed, not foreseen.
    const before = this.#free[Math.max(0, this.#free.length - RISING_S)]!;
    const rising = free > before.watts + 300;
    const fast = this.#p1.period < 5_000;
    const patience = (fast ? 25 : 110) + (this.#p1.last === null || seen.at - this.#p1.last > 2 * this.#p1.period || this.#recent(P1_FAULTS, seen.at, 12 * this.#p1.period) ? Math.ceil(this.#p1.period / 100) + 20 : 0);
    const limit = this.#clockWrong(seen.at) ? null : this.#orders.limit(seen.at);
    const ours = net - free;
    const over = limit !== null && net > limit.watts + 50 && ours > Math.max(0, limit.watts - least.watts) + 150;
    if (!rising) this.#count(0, over, patience, () => [limit!.why, `${Math.round(net)} W for ${patience} s under ${limit!.why} ${limit!.watts} W, ${Math.round(ours)} W of it ours`]);
    const fuse: number = this.#plan.site["connection"].fuse_A;
    const blind = this.#plan.phases === 3 && (this.#plan.version === "2.2" || this.#plan.version === "3.0");
    for (let p = 0; p < this.#plan.phases; p++) {
      const amps = seen.amps[p]!, mine = amps - freeAmps[p]!;
      const burns = !blind && amps > fuse * 1.08 && mine > Math.max(0, fuse - least.amps[p]!) + 1;
      if (freeAmps[p]! <= before.amps[p]! + 1.5) this.#count(p + 1, burns, patience + 20, () => ["fuse", `L${p + 1} ${amps.toFixed(1)} A for ${patience + 20} s, fuse ${fuse} A, ${mine.toFixed(1)} A of it ours`]);
    }
  }

  #count(place: number, over: boolean, patience: number, tell: () => [string, string]): void {
    this.#over[place] = over ? this.#over[place]! + 1 : 0;
    if (this.#over[place]! > patience) {
      this.#find(...tell());
      this.#over[place] = 0;
    }
  }

  // ---- What is broken ----

  /** In trouble of its own, or just out of it. */
  #sick(id: string, now: number): boolean {
    return this.#broken.some((fault) => fault.target === id && fault.kind.startsWith("device_") && !(fault.kind === "device_slow" && fault.n < 400) && (fault.at + fault.for) * 1000 + DEVICE_AFTER_MS > now);
  }

  #recent(kinds: readonly FaultKind[], now: number, afterMs: number): boolean {
    return this.#broken.some(({ kind, at, for: length }) => kinds.includes(kind) && (at + length) * 1000 + afterMs > now);
  }

  /** Clocks that lie, and the time a house needs to believe one again. */
  #clockWrong(now: number): boolean {
    return this.#recent(["clock_meter", "clock_network"], now, 1_800_000);
  }

  #find(rule: string, detail: string): void {
    this.#findings.push({ rule, detail });
  }
}

const P1_FAULTS: readonly FaultKind[] = ["p1_flip", "p1_drop", "p1_double", "p1_glue", "p1_babble", "p1_silent", "p1_unplug"];

/** EV and battery 0, which a battery is without a setpoint too; an inverter may go on. */
function safe(thing: Thing, value: number | null): boolean {
  return thing.kind === "inverter" || value === 0 || (thing.kind === "battery" && value === null);
}
