/**
 * A whole house in virtual time: the controller as src/main.ts puts it together, and around it, each
 * on a computer of its own, a P1 meter on a serial line, Modbus devices, SG Ready contacts, a broker
 * and the grid operator. Loads and voltages are plain numbers that a test sets. Every tick is judged
 * by the independent checker; `check()` asks it, the fault counter and the evidence chain.
 */
import { afterEach, expect } from "vitest";
import { sha256, verifyP256Sync } from "../../hal/node/crypto.js";
import type { SimPlatform } from "../../hal/sim/platform.js";
import { SimWorld } from "../../hal/sim/world.js";
import { profiles as builtIn } from "../../src/actuation/profiles/index.js";
import type { Profile } from "../../src/actuation/profile.js";
import type { Inputs, Outputs } from "../../src/controller.js";
import { Vangnet } from "../../src/main.js";
import { readEvidence, verifyEvidence, type EvidenceRecord, type Verified } from "../../src/services/evidence_log.js";
import { readSite } from "../../src/services/site_config.js";
import type { Status } from "../../src/services/status.js";
import { Broker, type BrokerHooks } from "../../tools/emulators/broker.js";
import { EmulatedDevice } from "../../tools/emulators/modbus_device.js";
import { serveTcp } from "../../tools/emulators/modbus_server.js";
import { BatteryModel, EvModel, HeatPumpModel, InverterModel, type DeviceModel, type EvOptions, type Phases } from "../../tools/emulators/models.js";
import { P1Meter } from "../../tools/emulators/p1_meter.js";
import type { P1Version } from "../../tools/emulators/p1_telegram.js";
import { topicOf } from "../../tools/operator/deliver.js";
import { toTextField, type OperatorEvent, type SigningKey } from "../../tools/operator/encode.js";
import { publicEntry, type OperatorState } from "../../tools/operator/files.js";
import { reissue } from "../../tools/operator/issue.js";
import { Checker } from "../../tools/rig/checker.js";
import { TEST_EAN, TEST_NOW, testKey } from "../helpers/token.js";

/* eslint-disable @typescript-eslint/no-explicit-any -- site.json as its owner writes it, right or wrong */
export type SiteJson = Record<string, any>;

/** One device: its entry in site.json, and the thing itself. */
export interface Fitting {
  readonly id: string;
  readonly json: SiteJson;
  readonly profile: string | null;
  make(seed: number): DeviceModel;
}

const flags = (phases: readonly number[] | undefined): [boolean, boolean, boolean] =>
  phases === undefined ? [true, true, true] : [phases.includes(1), phases.includes(2), phases.includes(3)];

export function ev(id: string, json: SiteJson = {}, car: Partial<EvOptions> = {}): Fitting {
  return {
    id, profile: json["profile"] ?? "alfen", json: { id, kind: "ev", priority: 2, profile: "alfen", bus: id, maximum_A: 16, ...json },
    make: (seed) => new EvModel({ seed, need: 60_000, phases: flags(json["phases"]), ...car }),
  };
}
export function battery(id: string, json: SiteJson = {}, charge = 0.5): Fitting {
  const whole = { id, kind: "battery", priority: 3, phases: [1], profile: "victron_ess", bus: id, charge_W: 3000, discharge_W: 3000, ...json };
  return {
    id, profile: whole.profile, json: whole,
    make: (seed) => new BatteryModel({ seed, chargeMax: whole.charge_W, dischargeMax: whole.discharge_W, charge, phases: flags(whole.phases) }),
  };
}
export function inverter(id: string, json: SiteJson = {}): Fitting {
  const whole = { id, kind: "inverter", priority: 4, profile: "sunspec_inverter", bus: id, rated_W: 8000, ...json };
  return { id, profile: whole.profile, json: whole, make: (seed) => new InverterModel({ seed, rated: whole.rated_W, phases: flags((whole as SiteJson)["phases"]) }) };
}
export function pump(id: string, json: SiteJson = {}): Fitting {
  return {
    id, profile: null, json: { id, kind: "heat_pump", priority: 1, nominal_W: 2500, contacts: { gpio: [`${id}_1`, `${id}_2`] }, ...json },
    make: (seed) => new HeatPumpModel({ seed, nominal: 2500 }),
  };
}

export interface HouseOptions {
  seed?: number;
  devices?: readonly Fitting[];
  /** Changes site.json before the controller reads it. */
  site?: (json: SiteJson) => void;
  version?: P1Version;
  /** Household load per phase, W, import positive; may be changed at any time as `house.base`. */
  base?: Phases;
  volts?: Phases;
  sun?: number;
  /** Changes each telegram before it goes on the line. */
  spoil?: (telegram: Uint8Array, house: House) => Uint8Array;
  /** What the meter's clock says; default true time. */
  meterTime?: (epoch: number) => number;
  /** Network time of the controller: default the world's. */
  networkTime?: (() => number) | null;
  /** False: the operator says nothing by itself. Default: "no cap", with a link of 15 minutes, and again every 5. */
  heartbeat?: boolean;
  hooks?: BrokerHooks;
  /** False: not started; call boot(). */
  boot?: boolean;
}

export interface Write { readonly at: number; readonly id: string; readonly value: number | null }
export interface Second {
  readonly at: number;
  readonly net: number;
  readonly phases: Readonly<Phases>;
  /** Import limit in force; null = none. */
  readonly limit: number | null;
  readonly source: string | null;
  readonly state: string;
  readonly setpoints: readonly number[];
}

const STEP_MS = 250;
const LINK_LIFE_S = 900;

export class House {
  readonly world: SimWorld;
  readonly options: HouseOptions;
  readonly site: SiteJson;
  readonly fittings: readonly Fitting[];
  readonly models = new Map<string, DeviceModel>();
  readonly modbus = new Map<string, EmulatedDevice>();
  readonly platform: SimPlatform;
  readonly key: SigningKey = testKey("operator");
  readonly operator: OperatorState = { audiences: [] };
  readonly checker: Checker;
  /** Setpoints as they reached the devices, in ms of the world. */
  readonly writes: Write[] = [];
  /** One entry a second of `run`. */
  readonly trace: Second[] = [];
  /** SG Ready states a pump passed through, with their time. */
  readonly contacts: { at: number; id: string; one: 0 | 1; two: 0 | 1 }[] = [];
  base: Phases;
  volts: Phases;
  sun: number;
  text = "";
  broker!: Broker;
  meter!: P1Meter;
  controller!: Vangnet;
  outputs: Outputs | null = null;
  /** Takes the lines of the recording too. */
  recorded: ((line: string) => void) | null = null;
  boots = 0;
  bootedAt = 0;
  #imported = 0;
  #exported = 0;
  #inputs: Pick<Inputs, "reading" | "reports"> = { reading: null, reports: [] };

  constructor(options: HouseOptions = {}) {
    const seed = options.seed ?? 1;
    this.options = options;
    this.world = new SimWorld({ seed, epoch: TEST_NOW, crypto: { sha256, verifyP256: verifyP256Sync } });
    this.platform = this.world.platform("controller");
    if (options.networkTime !== undefined) this.platform.time = options.networkTime;
    this.base = options.base ?? [300, 200, 100];
    this.volts = options.volts ?? [230, 230, 230];
    this.sun = options.sun ?? 0;
    this.fittings = options.devices ?? [pump("pump"), ev("charger"), battery("battery")];
    this.site = this.#makeSite();
    options.site?.(this.site);
    const own = new Map<string, Profile>(builtIn.map((one) => [one.id, one]));
    this.fittings.forEach((fitting, i) => this.#fit(fitting, seed + i, own));
    this.world.serialPair("/dev/p1", "/dev/meter");
    this.plugMeter();
    this.startBroker();
    const outside = this.world.platform("street");
    outside.timer.repeat(() => this.#physics(), STEP_MS);
    if (options.heartbeat !== false) {
      this.say((events) => events);
      outside.timer.repeat(() => this.say((events) => events), 300_000);
    }
    const read = this.#read();
    this.checker = new Checker(read.site);
    this.platform.main = () => this.#main();
    if (options.boot !== false) this.boot();
  }

  #makeSite(): SiteJson {
    const onBus = this.fittings.filter((one) => one.profile !== null);
    return {
      serial: "VN-E2E", ean: TEST_EAN, connection: { phases: 3, fuse_A: 25 },
      meter: { type: "p1", device: "/dev/p1" },
      operator: { keys: [publicEntry(this.key)], mqtt: { url: "mqtt://broker:1883" } },
      buses: Object.fromEntries(onBus.map(({ id }) => [id, { tcp: `${id}:502` }])),
      devices: this.fittings.map(({ json }) => json),
    };
  }

  #fit(fitting: Fitting, seed: number, profiles: ReadonlyMap<string, Profile>): void {
    const model = fitting.make(seed);
    this.models.set(fitting.id, model);
    if (fitting.profile === null) {
      const pump = model as HeatPumpModel;
      (["one", "two"] as const).forEach((contact, i) => {
        this.platform.pins.get(`${fitting.id}_${i + 1}`).observe((level) => {
          pump.contacts[contact] = level;
          this.contacts.push({ at: this.world.now, id: fitting.id, ...pump.contacts });
        });
      });
      return;
    }
    const device = new EmulatedDevice({
      profile: profiles.get(fitting.profile)!, model, rated: fitting.json["rated_W"] ?? fitting.json["charge_W"] ?? 5_000,
      onWrite: (_write, asked) => this.writes.push({ at: this.world.now, id: fitting.id, value: asked }),
    });
    this.modbus.set(fitting.id, device);
    serveTcp(this.world.platform(fitting.id), [device], { port: 502 });
  }

  // ---- The controller ----

  boot(): void {
    this.platform.boot();
    this.world.runFor(0);
  }

  /** The power goes, and comes back after so many seconds. */
  reboot(offSeconds = 0): void {
    this.platform.cutPower();
    this.world.runFor(offSeconds * 1000);
    this.platform.reboot();
    this.world.runFor(0);
  }

  #read() {
    const read = readSite(JSON.stringify(this.site));
    if (!read.ok) throw new Error(`site.json: ${JSON.stringify(read.faults)}`);
    return read;
  }

  #main(): void {
    this.boots++;
    this.bootedAt = this.world.now;
    if (this.boots > 1) this.checker.restart(this.world.now);
    this.outputs = null;
    this.#inputs = { reading: null, reports: [] };
    this.controller = new Vangnet({
      platform: this.platform, ...this.#read(), version: "e2e",
      record: (line) => {
        this.recorded?.(line);
        const given = JSON.parse(line) as Partial<Inputs>;
        this.#inputs = { reading: given.reading ?? null, reports: given.reports ?? this.#inputs.reports };
      },
      onTick: (outputs) => {
        this.outputs = outputs;
        this.checker.observe({
          now: this.world.now, reading: this.#inputs.reading, reports: this.#inputs.reports, limits: outputs.limits,
          setpoints: outputs.decisions.map(({ setpoint }) => setpoint), written: outputs.commands.map(({ device }) => device),
        });
      },
    });
  }

  get status(): Status { return this.controller.status(); }
  /** Seconds of the world. */
  get now(): number { return this.world.now / 1000; }
  get epoch(): number { return this.world.epochSeconds(); }

  /** What the controller last told a device (A in mA, else W or the SG Ready state). */
  told(id: string): number {
    return this.outputs!.decisions[this.fittings.findIndex((one) => one.id === id)]!.setpoint.value;
  }
  reason(id: string): string {
    return this.status.devices.find((one) => one.id === id)!.words;
  }
  /** The setpoint that a Modbus device holds, or the SG Ready state of a pump. */
  held(id: string): number | null {
    const model = this.models.get(id)!;
    return model instanceof HeatPumpModel ? model.state : model.setpoint;
  }

  // ---- Time ----

  run(seconds: number, each?: (second: Second) => void): void {
    for (let i = 0; i < seconds; i++) {
      this.world.runFor(1000);
      const one = this.#second();
      this.trace.push(one);
      each?.(one);
    }
  }

  /** Until `done`, at most so many seconds; gives how many it took, and fails with `what` where it did not come. */
  until(done: () => boolean, seconds: number, what: string): number {
    for (let i = 0; i <= seconds; i++) {
      if (done()) return i;
      this.run(1);
    }
    throw new Error(`not within ${seconds} s: ${what}; ${JSON.stringify(this.trace.at(-1))} ${this.status.devices.map((one) => `${one.words} ${one.fault ?? ""}`).join(" | ")}`);
  }

  /** The default car at its full 16 A. */
  charging(id = "charger"): void {
    this.until(() => this.told(id) === 16_000 && this.models.get(id)!.watts[0] > 3_000, 400, `${id} at 16 A`);
    this.run(15);
  }

  #second(): Second {
    const limit = this.outputs?.limits.import;
    return {
      at: this.now, net: this.net, phases: this.phases,
      limit: limit?.kind === "limit" ? limit.watts : null, source: limit?.kind === "limit" ? limit.source : null,
      state: this.outputs?.limits.state ?? "off", setpoints: this.outputs?.decisions.map(({ setpoint }) => setpoint.value) ?? [],
    };
  }

  // ---- Physics ----

  get phases(): Phases {
    const out: Phases = [...this.base];
    for (const model of this.models.values()) for (let i = 0; i < 3; i++) out[i]! += model.watts[i]!;
    return out;
  }
  get net(): number { return this.phases.reduce((sum, watts) => sum + watts, 0); }

  #physics(): void {
    const environment = { volts: this.volts, sun: this.sun, outdoor: 5 };
    for (const [id, model] of this.models) {
      const device = this.modbus.get(id);
      if (device) device.step(STEP_MS, environment); else model.step(STEP_MS, environment);
    }
    const energy = (this.net * STEP_MS) / 3_600_000;
    if (energy > 0) this.#imported += energy; else this.#exported -= energy;
  }

  // ---- Meter ----

  plugMeter(): void {
    this.meter?.close();
    const { version = "5.0", spoil, meterTime } = this.options;
    this.meter = new P1Meter(this.world.platform("meter"), {
      version, output: { kind: "serial", device: "/dev/meter" },
      ...(spoil ? { spoil: (telegram: Uint8Array) => spoil(telegram, this) } : {}),
      telegrams: { state: () => ({
        time: (meterTime ?? ((epoch) => epoch))(this.epoch), power: this.phases.map(Math.round), voltage: this.volts.map((volts) => Math.round(volts * 1000)),
        imported: [Math.floor(this.#imported), 0], exported: [Math.floor(this.#exported), 0], text: this.text,
      }) },
    });
  }
  /** The cable pulled out of the meter: the line is there, and silent. */
  pullMeter(): void { this.meter.close(); }

  // ---- Operator ----

  startBroker(): void {
    const platform = this.world.platform("broker");
    this.broker = new Broker({ io: platform, timer: platform.timer, monotonic: () => platform.monotonic(), port: 1883, ...(this.options.hooks ? { hooks: this.options.hooks } : {}) });
  }

  /** What the operator says to this house, whole. Gives the token. */
  say(change: (events: OperatorEvent[]) => OperatorEvent[], { life = LINK_LIFE_S, via = "mqtt" as "mqtt" | "p1" | "file" | "nowhere", aud = `ean:${TEST_EAN}` } = {}): Uint8Array {
    const { token } = reissue(this.operator, aud, this.key, this.epoch, life, change);
    if (via === "mqtt") this.broker.publish(topicOf(aud), token, { retain: true, expiry: life });
    if (via === "p1") this.text = toTextField(token).text;
    if (via === "file") this.controller.offer(token, "file");
    return token;
  }

  /** A cap from now on. */
  cap(importLimit: number | null, duration: number, extra: Partial<OperatorEvent> & { life?: number; via?: "mqtt" | "p1" | "file" | "nowhere" } = {}): Uint8Array {
    const { life, via, ...event } = extra;
    return this.say(
      (events) => [...events.filter(({ id }) => id !== (event.id ?? "00000c01")), capOf(this.epoch, importLimit, duration, event)],
      { ...(life === undefined ? {} : { life }), ...(via === undefined ? {} : { via }) },
    );
  }

  // ---- Evidence ----

  evidence(): EvidenceRecord[] { return [...readEvidence(this.platform.files)]; }
  verify(): Verified { return verifyEvidence(this.platform.files, sha256); }
  /** Data of the records of one type, oldest first. */
  told_of(type: string): SiteJson[] {
    return this.evidence().filter((record) => record.type === type).map((record) => JSON.parse(record.data) as SiteJson);
  }

  /** What holds in every house, whatever happened in it. */
  check(): void {
    expect(this.checker.breaches, `seed ${this.options.seed ?? 1}`).toEqual([]);
    if (this.platform.off || this.boots === 0) return;
    expect(this.status.counters["faults"]).toBe(0);
    this.controller.close();
    this.world.runFor(20_000);
    expect(this.verify()).toMatchObject({ ok: true });
  }
}

export function capOf(start: number, importLimit: number | null, duration: number, extra: Partial<OperatorEvent> = {}): OperatorEvent {
  return { id: "00000c01", start, duration, importLimit, exportLimit: null, emergency: false, controllable: false, release: null, ...extra };
}

/** Makes houses, and checks each of them when its test is over. */
export function useHouses(): (options?: HouseOptions) => House {
  const open: House[] = [];
  afterEach(({ task }) => {
    // Its own failure says more than what follows from it.
    for (const house of open.splice(0)) if (task.result?.state !== "fail") house.check();
  });
  return (options) => {
    const house = new House(options);
    open.push(house);
    return house;
  };
}
