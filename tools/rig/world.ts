/**
 * A plan brought to life in virtual time: the whole controller as src/main.ts puts it together, and
 * around it the house, the meter, the devices, the broker and the operator of the plan, with its
 * faults. The judge sees wires and contacts; the checker sees every tick.
 */
import { sha256, verifyP256Sync } from "../../hal/node/crypto.js";
import type { SimPlatform } from "../../hal/sim/platform.js";
import { Random, seedOf } from "../../hal/sim/random.js";
import { SimWorld } from "../../hal/sim/world.js";
import type { Profile } from "../../src/actuation/profile.js";
import type { Outputs } from "../../src/controller.js";
import { Vangnet } from "../../src/main.js";
import { verifyEvidence } from "../../src/services/evidence_log.js";
import { Narrator } from "../../src/services/recording.js";
import { readSite } from "../../src/services/site_config.js";
import { Broker } from "../emulators/broker.js";
import { HouseModel } from "../emulators/house.js";
import { EmulatedDevice, stepped } from "../emulators/modbus_device.js";
import { serveTcp } from "../emulators/modbus_server.js";
import { BatteryModel, EvModel, HeatPumpModel, InverterModel, RelayModel, type DeviceModel } from "../emulators/models.js";
import { P1Meter } from "../emulators/p1_meter.js";
import { Checker } from "./checker.js";
import { Faults } from "./faults.js";
import { Judge, type Second } from "./judge.js";
import { Operator } from "./operator.js";
import { EPOCH, type Plan, type Thing } from "./plan.js";

export interface RigBreach {
  /** "judge:fuse", "law:2", "counter:faults". */
  readonly rule: string;
  /** Seconds since the world began. */
  readonly at: number;
  readonly detail: string;
}

export interface RunOptions {
  /** Takes the lines of a recording, anew from each boot. */
  readonly record?: (line: string, boot: number) => void;
  /** Called each second of the house. */
  readonly each?: (second: Second, world: RigWorld) => void;
  /** Stop at the first breach. Default true. */
  readonly stop?: boolean;
  /** A deliberate fault between the controller and the world, for the judge's own tests. */
  readonly sabotage?: (world: RigWorld, second: number) => void;
}

export interface Result {
  readonly breaches: readonly RigBreach[];
  readonly seconds: number;
  readonly boots: number;
  readonly counters: Readonly<Record<string, number>>;
  /** The last decisions before the breach, in words. */
  readonly words: readonly string[];
}

/** Words kept for a breach. */
const WORDS_MAX = 24;

export class RigWorld {
  readonly plan: Plan;
  readonly world: SimWorld;
  readonly platform: SimPlatform;
  readonly house: HouseModel;
  readonly models = new Map<string, DeviceModel>();
  readonly modbus = new Map<string, EmulatedDevice>();
  readonly judge: Judge;
  readonly checker: Checker;
  readonly operator: Operator;
  readonly faults: Faults;
  readonly breaches: RigBreach[] = [];
  broker!: Broker;
  meter!: P1Meter;
  controller: Vangnet | null = null;
  outputs: Outputs | null = null;
  boots = 0;
  readonly #options: RunOptions;
  readonly #read: Extract<ReturnType<typeof readSite>, { ok: true }>;
  #narrator: Narrator;
  #ring: { outputs: Outputs; at: number }[] = [];
  #lastCounters: Readonly<Record<string, number>> = {};

  constructor(plan: Plan, options: RunOptions = {}) {
    this.plan = plan;
    this.#options = options;
    const read = readSite(JSON.stringify(plan.site));
    if (!read.ok) throw new Error(`seed ${plan.seed}: site.json: ${JSON.stringify(read.faults)}`);
    this.#read = read;
    this.#narrator = new Narrator(read.site);
    this.world = new SimWorld({ seed: plan.seed, epoch: EPOCH, crypto: { sha256, verifyP256: verifyP256Sync }, serialGrainMs: 50, latencyMs: 2 });
    this.platform = this.world.platform("controller");
    const devices = plan.things.flatMap((thing, i) => this.#fit(thing, seedOf(plan.seed, `thing${i}`), read.profileOf));
    this.house = new HouseModel({
      seed: plan.seed, phases: plan.phases, devices, timeOfDay: ((EPOCH + 3_600) % 86_400) * 1000, day: 15 + (plan.seed % 330), gridOhms: plan.gridOhms,
    });
    this.judge = new Judge(plan);
    this.checker = new Checker(read.site);
    this.world.serialPair("/dev/p1", "/dev/meter");
    this.startMeter();
    this.startBroker();
    this.operator = new Operator(plan, {
      now: () => this.world.now / 1000,
      publish: (topic, bytes, expiry) => this.broker.publish(topic, bytes, { retain: true, expiry }),
      spoke: (word) => this.judge.spoke(word),
    });
    this.faults = new Faults(this, new Random(seedOf(plan.seed, "noise")));
    for (const thing of plan.things) if (thing.kind === "pump") this.#watchContacts(thing);
    this.platform.main = () => this.#main();
  }

  // ---- The house ----

  #fit(thing: Thing, seed: number, profiles: ReadonlyMap<string, Profile>): DeviceModel[] {
    const phases = [1, 2, 3].map((phase) => thing.phases.includes(phase)) as [boolean, boolean, boolean];
    const model = thing.kind === "ev" ? new EvModel({ seed, need: thing.size, phases, carMaximum: 16 + (seed & 1) * 9 })
      : thing.kind === "battery" ? new BatteryModel({ seed, chargeMax: thing.size, dischargeMax: thing.size, charge: 0.2 + ((seed >>> 3) % 60) / 100, phases })
      : thing.kind === "inverter" ? new InverterModel({ seed, rated: thing.size, phases })
      : new HeatPumpModel({ seed, nominal: thing.size, phases });
    this.models.set(thing.id, model);
    if (thing.profile === null) return [model];
    const held = thing.kind === "pump" ? new RelayModel() : model;
    const device = new EmulatedDevice({
      profile: profiles.get(thing.profile)!, model: held, rated: thing.size,
      onWrite: (_write, asked) => { if (thing.kind !== "pump") this.judge.write(this.world.now, thing.id, asked); },
    });
    if (held instanceof RelayModel) held.onCoil = (coil, value) => this.#contact(thing.id, coil === 0 ? "one" : "two", value);
    this.modbus.set(thing.id, device);
    serveTcp(this.world.platform(thing.id), [device], { port: 502 });
    if (held === model) return [stepped(device)];
    return [model, { ...stepped(device), watts: [0, 0, 0] }];
  }

  #watchContacts(thing: Thing): void {
    if (thing.profile !== null) return;
    for (const [i, contact] of (["one", "two"] as const).entries()) {
      this.platform.pins.get(`${thing.id}_${i + 1}`).observe((level) => this.#contact(thing.id, contact, level));
    }
  }

  #contact(id: string, contact: "one" | "two", level: 0 | 1): void {
    const { contacts } = this.models.get(id) as HeatPumpModel;
    if (contacts[contact] === level) return;
    contacts[contact] = level;
    this.judge.contacts(this.world.now, id, contacts.one, contacts.two);
  }

  startMeter(): void {
    this.meter?.close();
    this.meter = new P1Meter(this.world.platform("meter"), {
      version: this.plan.version, output: { kind: "serial", device: "/dev/meter" },
      telegrams: { state: () => {
        const phases = this.house.phases().slice(0, this.plan.phases);
        return {
          time: EPOCH + Math.floor(this.world.now / 1000) + this.faults.meterOffset, text: this.operator.text,
          power: phases.map(({ watts }) => Math.round(watts)), voltage: phases.map(({ volts }) => Math.round(volts * 1000)), current: phases.map(({ amps }) => Math.abs(Math.round(amps * 1000))),
          imported: [Math.floor(this.house.imported), 0], exported: [Math.floor(this.house.exported), 0],
        };
      } },
    });
  }

  startBroker(): void {
    const platform = this.world.platform("broker");
    this.broker = new Broker({
      io: platform, timer: platform.timer, monotonic: () => platform.monotonic(), port: 1883,
      hooks: {
        deliver: () => this.faults.deliveries,
        onPublish: (message, client) => { if (client !== "" && message.topic.endsWith("/status")) this.judge.status(this.world.now, message.payload); },
      },
    });
  }

  // ---- The controller ----

  #main(): void {
    const boot = this.boots++;
    if (boot > 0) this.checker.restart(this.world.now);
    this.judge.power(this.world.now, true);
    const { record } = this.#options;
    this.#ring = [];
    // The world goes on where its controller cannot start: that is a breach, told by the judge.
    this.controller = new Vangnet({
      platform: this.platform, ...this.#read, version: "rig",
      ...(record === undefined ? {} : { record: (line: string) => record(line, boot) }),
      onTick: (outputs, inputs) => {
        this.outputs = outputs;
        this.#ring.push({ outputs, at: this.world.now });
        if (this.#ring.length > 90) this.#ring.shift();
        const found = this.checker.observe({
          now: this.world.now, reading: inputs.reading, reports: inputs.reports, limits: outputs.limits,
          setpoints: outputs.decisions.map(({ setpoint }) => setpoint), written: outputs.commands.map(({ device }) => device),
        });
        for (const { invariant, detail } of found) this.#breach(`law:${invariant}`, detail);
      },
    });
  }

  #breach(rule: string, detail: string): void {
    this.breaches.push({ rule, at: this.world.now / 1000, detail });
  }

  // ---- Time ----

  run(untilSeconds = this.plan.seconds): Result {
    const { each, stop = true, sabotage } = this.#options;
    this.platform.boot();
    let second = 0;
    try {
      while (second < untilSeconds) {
        this.faults.second(second);
        this.operator.second(second);
        this.#deeds(second);
        sabotage?.(this, second);
        second++;
        this.world.run(second * 1000);
        this.house.step(1_000);
        const seen = this.#see(second);
        for (const { rule, detail } of this.judge.second(seen)) this.#breach(`judge:${rule}`, detail);
        each?.(seen, this);
        if (stop && this.breaches.length > 0) break;
      }
      if (this.breaches.length === 0) this.#end();
    } catch (error) {
      this.#breach("crash", error instanceof Error ? error.stack ?? error.message : String(error));
    }
    return { breaches: this.breaches, seconds: second, boots: this.boots, counters: this.#lastCounters, words: this.words() };
  }

  #deeds(second: number): void {
    for (const deed of this.plan.deeds) {
      if (deed.at !== second || deed.kind !== "car") continue;
      const car = this.models.get(deed.id) as EvModel;
      car.connected = deed.need > 0;
      car.need = deed.need;
    }
  }

  #see(second: number): Second {
    const phases = this.house.phases();
    return {
      at: second * 1000, on: !this.platform.off,
      watts: [phases[0].watts, phases[1].watts, phases[2].watts], amps: [phases[0].amps, phases[1].amps, phases[2].amps], volts: [phases[0].volts, phases[1].volts, phases[2].volts],
      draws: this.models,
    };
  }

  /** What holds after the quiet half hour at the end. */
  #end(): void {
    if (this.platform.off || this.controller === null) return this.#breach("judge:dead", "the controller is off at the end");
    const status = this.controller.status();
    this.#lastCounters = status.counters;
    if (status.reading.freshness !== "fresh") this.#breach("end:meter", `the meter is ${status.reading.freshness} after half an hour without a fault`);
    for (const device of status.devices) if (!device.online) this.#breach("end:device", `${device.id} is offline after half an hour without a fault (${device.fault})`);
    if (status.link.mqtt?.state !== "up") this.#breach("end:broker", `the broker link is ${status.link.mqtt?.state} after half an hour without a fault`);
    if (status.limits.state !== "controlled" && status.limits.state !== "limited") this.#breach("end:link", `state ${status.limits.state} after half an hour without a fault`);
    const verified = verifyEvidence(this.platform.files, sha256);
    if (!verified.ok) this.#breach("end:evidence", JSON.stringify(verified));
  }

  /** The last decisions, in the controller's own words. */
  words(): string[] {
    const lines = this.#ring.flatMap(({ outputs, at }) => this.#narrator.lines(outputs, at));
    return lines.slice(-WORDS_MAX);
  }
}
