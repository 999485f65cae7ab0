/**
 * The simulated home of `npm start`: a P1 meter, a charger and a battery on Modbus TCP, a heat pump
 * on two contacts, a broker, and the grid operator with a demo key. It speaks to the controller only
 * over sockets, contacts and the broker, on any Platform: real sockets, or virtual time.
 */
import type { Platform } from "../hal/ecma419.js";
import type { VirtualPin } from "../hal/virtual_pin.js";
import { profiles } from "../src/actuation/profiles/index.js";
import { Broker } from "./emulators/broker.js";
import { HouseModel } from "./emulators/house.js";
import { EmulatedDevice, stepped } from "./emulators/modbus_device.js";
import { serveTcp, type ModbusServer } from "./emulators/modbus_server.js";
import { BatteryModel, EvModel, HeatPumpModel } from "./emulators/models.js";
import { P1Meter } from "./emulators/p1_meter.js";
import { newKey, type OperatorEvent, type SigningKey } from "./operator/encode.js";
import { topicOf } from "./operator/deliver.js";
import type { OperatorState } from "./operator/files.js";
import { reissue } from "./operator/issue.js";

export const DEMO_EAN = "871234567890123456";
const LINK_LIFE_S = 900;
const HEARTBEAT_MS = 300_000;
const STEP_MS = 250;

export interface HomeOptions {
  platform: Platform;
  seed: number;
  /** UTC now; the house's own day begins where this says. */
  epoch: () => number;
  /** The heat pump's two contacts, as the controller's pins. */
  contacts: readonly [VirtualPin, VirtualPin];
  /** What the car still needs, Wh. */
  need?: number;
  /** Which step of the house is judged, ms. */
  stepMs?: number;
}

/** The site file of this home for the controller, once its ports are known. */
export function demoSite(ports: { p1: number; charger: number; battery: number; broker: number }, key: SigningKey, http: number | null): string {
  return JSON.stringify({
    serial: "VN-DEMO", ean: DEMO_EAN,
    connection: { phases: 3, fuse_A: 25 },
    meter: { type: "p1", tcp: `127.0.0.1:${ports.p1}` },
    operator: {
      keys: [{ kid: key.kid, x: key.x, y: key.y, role: "operator" }],
      mqtt: { url: `mqtt://127.0.0.1:${ports.broker}` },
    },
    buses: { charger: { tcp: `127.0.0.1:${ports.charger}` }, battery: { tcp: `127.0.0.1:${ports.battery}` } },
    devices: [
      { id: "heat_pump", kind: "heat_pump", priority: 1, nominal_W: 2500, contacts: { gpio: ["virtual:sg1", "virtual:sg2"] } },
      { id: "charger", kind: "ev", priority: 2, profile: "alfen", bus: "charger", maximum_A: 16 },
      { id: "battery", kind: "battery", priority: 3, phases: [1], profile: "victron_ess", bus: "battery", charge_W: 3000, discharge_W: 3000 },
    ],
    ...(http === null ? {} : { http: { port: http } }),
  });
}

export class SimulatedHome {
  readonly key: SigningKey = newKey("operator");
  readonly house: HouseModel;
  readonly car: EvModel;
  readonly battery: BatteryModel;
  readonly pump: HeatPumpModel;
  readonly meter: P1Meter;
  readonly broker: Broker;
  readonly #platform: Platform;
  readonly #epoch: () => number;
  readonly #servers: ModbusServer[] = [];
  readonly #operator: OperatorState = { audiences: [] };
  readonly #timers: unknown[] = [];

  constructor(options: HomeOptions) {
    const { platform, seed, epoch, contacts } = options;
    this.#platform = platform;
    this.#epoch = epoch;
    const dayMs = (epoch() % 86_400) * 1000 + 3_600_000; // Dutch winter time
    this.car = new EvModel({ seed, need: options.need ?? 30_000 });
    this.battery = new BatteryModel({ seed, chargeMax: 3_000, dischargeMax: 3_000, charge: 0.3, phases: [true, false, false] });
    this.pump = new HeatPumpModel({ seed, nominal: 2_500 });
    const charger = new EmulatedDevice({ profile: profileNamed("alfen"), model: this.car });
    const battery = new EmulatedDevice({ profile: profileNamed("victron_ess"), model: this.battery });
    this.house = new HouseModel({ seed, devices: [stepped(charger), stepped(battery), this.pump], timeOfDay: dayMs });
    contacts[0].observe((level) => { this.pump.contacts.one = level; });
    contacts[1].observe((level) => { this.pump.contacts.two = level; });

    this.meter = new P1Meter(platform, {
      version: "5.0", output: { kind: "tcp", port: 0, address: "127.0.0.1" }, telegrams: { state: () => this.#meterState() },
    });
    for (const device of [charger, battery]) this.#servers.push(serveTcp(platform, [device], { port: 0, address: "127.0.0.1" }));
    this.broker = new Broker({
      io: platform, timer: platform.timer, monotonic: () => platform.monotonic(), port: 0, address: "127.0.0.1",
    });
    const stepMs = options.stepMs ?? STEP_MS;
    this.#timers.push(platform.timer.repeat(() => this.house.step(stepMs), stepMs));
    this.#timers.push(platform.timer.repeat(() => this.say((events) => events), HEARTBEAT_MS));
  }

  get ports(): { p1: number; charger: number; battery: number; broker: number } {
    return { p1: this.meter.port ?? 0, charger: this.#servers[0]!.port, battery: this.#servers[1]!.port, broker: this.broker.port };
  }

  get ready(): boolean {
    return Object.values(this.ports).every((port) => port > 0);
  }

  /** What the operator says to this house, whole: signed, retained, and the heartbeat of the link. */
  say(change: (events: OperatorEvent[]) => OperatorEvent[]): void {
    const { token } = reissue(this.#operator, `ean:${DEMO_EAN}`, this.key, this.#epoch(), LINK_LIFE_S, change);
    this.broker.publish(topicOf(`ean:${DEMO_EAN}`), token, { retain: true, expiry: LINK_LIFE_S });
  }

  close(): void {
    for (const timer of this.#timers) this.#platform.timer.clear(timer);
    this.meter.close();
    for (const server of this.#servers) server.close();
    this.broker.stop();
  }

  #meterState() {
    const phases = this.house.phases();
    return {
      time: this.#epoch(),
      power: phases.map((phase) => Math.round(phase.watts)),
      voltage: phases.map((phase) => Math.round(phase.volts * 1000)),
      imported: [Math.floor(this.house.imported), 0] as const, exported: [Math.floor(this.house.exported), 0] as const,
    };
  }
}

function profileNamed(id: string) {
  const found = profiles.find((profile) => profile.id === id);
  if (found === undefined) throw new Error(`no profile ${id}`);
  return found;
}

/** A cap as the operator makes it, from now on or later. */
export function capEvent(id: string, start: number, duration: number, importLimit: number, extra: Partial<OperatorEvent> = {}): OperatorEvent {
  return { id, start, duration, importLimit, exportLimit: null, emergency: false, controllable: false, release: null, ...extra };
}

const LONGEST_ABOVE_S = 14;

/**
 * Watches the house from outside, at its true net power, and judges: was the cap obeyed? From 10 s
 * after it began (CONTROL, invariant 6) no stretch of more than 14 s (CONTROL, the longest of this law
 * at DSMR 5: a kettle while a device still settles) may lie above it in which the load that nobody
 * controls left room. Shares no code with the controller.
 */
export class CapJudge {
  readonly caps: { id: string; start: number; end: number; watts: number; above: number; run: number; longest: number; uncontrolled: number; under: number | null; peak: number; seconds: number }[] = [];

  watch(event: OperatorEvent): void {
    if (event.importLimit === null) return;
    this.caps.push({ id: event.id, start: event.start, end: event.start + event.duration, watts: event.importLimit, above: 0, run: 0, longest: 0, uncontrolled: 0, under: null, peak: 0, seconds: 0 });
  }

  /** Once a second. `free`: what the household and a pump that may not be blocked draw. */
  second(now: number, net: number, free: number): void {
    for (const cap of this.caps) {
      if (now < cap.start || now >= cap.end) continue;
      cap.seconds++;
      const since = now - cap.start;
      if (net <= cap.watts) cap.under ??= since;
      if (since >= 10) cap.peak = Math.max(cap.peak, net);
      if (net <= cap.watts || since < 10) { cap.run = 0; continue; }
      cap.above++;
      if (free > cap.watts - 150) { cap.uncontrolled++; cap.run = 0; continue; }
      cap.run++;
      cap.longest = Math.max(cap.longest, cap.run);
    }
  }

  get obeyed(): boolean {
    return this.caps.length > 0 && this.caps.every((cap) => cap.seconds > 0 && cap.longest <= LONGEST_ABOVE_S);
  }

  lines(): string[] {
    return this.caps.map((cap) => `cap ${cap.id} of ${cap.watts} W: ${cap.seconds === 0 ? "never in force" : `${cap.seconds} s in force, ${cap.under === null ? "never under it" : `under it after ${cap.under} s`}, `
      + `${cap.above} s above (${cap.uncontrolled} s of them by uncontrolled load alone, longest otherwise ${cap.longest} s), peak ${Math.round(cap.peak)} W`}`);
  }
}
