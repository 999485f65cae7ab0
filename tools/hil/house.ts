/**
 * The house around a firmware under test, all of it real to the firmware: a P1 line and an RS485 line
 * (socat's ptys), a charger on Modbus TCP, a relay board with the SG Ready contacts on RS485, mosquitto.
 * The operator speaks through the broker or through the meter's text field.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type AddressInfo } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { connectAsync, type MqttClient } from "mqtt";
import { nodePlatform, type NodePlatform } from "../../hal/node/platform.js";
import { houseTime, paced, type Pace } from "../../hal/paced.js";
import type { Platform } from "../../hal/ecma419.js";
import { profiles } from "../../src/actuation/profiles/index.js";
import { EmulatedDevice } from "../emulators/modbus_device.js";
import { serveRtu, serveTcp, type ModbusServer } from "../emulators/modbus_server.js";
import { EvModel, HeatPumpModel, MILD, RelayModel } from "../emulators/models.js";
import { P1Meter } from "../emulators/p1_meter.js";
import { CapJudge, capEvent } from "../home.js";
import { topicOf } from "../operator/deliver.js";
import { newKey, toTextField, type OperatorEvent, type SigningKey } from "../operator/encode.js";
import { publicEntry, type OperatorState } from "../operator/files.js";
import { reissue } from "../operator/issue.js";

export const EAN = "871685900000000006";
const STEP_MS = 250;
const LINK_LIFE_S = 900;
const HEARTBEAT_MS = 120_000;

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export class HilHouse {
  readonly directory = mkdtempSync(join(tmpdir(), "vangnet-hil-"));
  readonly pace: Pace;
  readonly key: SigningKey = newKey("operator");
  readonly car = new EvModel({ seed: 1, need: 60_000 });
  readonly pump = new HeatPumpModel({ seed: 1, nominal: 2_500 });
  readonly charger = new EmulatedDevice({ profile: profileNamed("alfen"), model: this.car });
  readonly relays = new RelayModel(8);
  readonly judge = new CapJudge();
  load: [number, number, number] = [0, 0, 0];
  text = "";
  meterClock = 0;
  garbled = false;
  beating = true;
  meter: P1Meter | null = null;
  readonly #node: NodePlatform;
  readonly #platform: Platform;
  readonly #operator: OperatorState = { audiences: [] };
  readonly #servers: ModbusServer[] = [];
  readonly #children: ChildProcess[] = [];
  readonly #timers: unknown[] = [];
  #broker: ChildProcess | null = null;
  #brokerPort = 0;
  #client: MqttClient | null = null;
  #events: OperatorEvent[] = [];
  #imported = 1_000_000;
  httpPort = 0;

  constructor(pace: number) {
    const now = Date.now() / 1000;
    this.pace = { pace, real: now, house: Math.floor(now) };
    this.#node = nodePlatform({ dataDirectory: join(this.directory, "outside"), log: () => {} });
    this.#platform = paced(this.#node, this.pace, () => Date.now() / 1000);
    this.relays.onCoil = (coil, value) => {
      if (coil === 0) this.pump.contacts.one = value;
      if (coil === 1) this.pump.contacts.two = value;
    };
  }

  get epoch(): number { return Math.floor(houseTime(this.pace, Date.now() / 1000)); }
  get net(): number { return Math.round(this.base + sum(this.car.watts) + sum(this.pump.watts)); }
  get base(): number { return sum(this.load); }
  get sgState(): number { return SG_STATE[this.relays.coils[0]! * 2 + this.relays.coils[1]!]!; }
  line(name: "meter" | "p1" | "relays" | "rs485"): string { return join(this.directory, name); }

  async start(): Promise<void> {
    await this.#ptys("meter", "p1");
    await this.#ptys("relays", "rs485");
    this.#brokerPort = await freePort();
    this.httpPort = await freePort();
    await this.broker(true);
    this.#servers.push(serveTcp(this.#platform, [this.charger], { port: 0, address: "127.0.0.1" }));
    this.#servers.push(serveRtu(this.#node, [new EmulatedDevice({ profile: profileNamed("waveshare_relay"), model: this.relays })], { device: this.line("relays"), baud: 9_600 }));
    this.meterOn();
    while (this.#servers[0]!.port === 0) await pause(10);
    this.#timers.push(this.#platform.timer.repeat(() => this.#step(), STEP_MS));
    this.#timers.push(this.#platform.timer.repeat(() => this.judge.second(this.epoch, this.net, this.base + sum(this.pump.watts)), 1000));
    this.#timers.push(this.#platform.timer.repeat(() => { if (this.beating) this.#say(); }, HEARTBEAT_MS));
    this.#say();
  }

  /** site.json for the firmware; `changes` replaces whole top-level entries. */
  site(changes: Record<string, unknown> = {}): string {
    return JSON.stringify({
      serial: "VN-HIL", ean: EAN, connection: { phases: 3, fuse_A: 25 }, meter: { type: "p1", device: this.line("p1"), line: "115200 8N1" },
      limits: { failsafe_W: 5_000 },
      operator: { keys: [publicEntry(this.key)], mqtt: { url: `mqtt://127.0.0.1:${this.#brokerPort}` } },
      buses: { charger: { tcp: `127.0.0.1:${this.#servers[0]!.port}` }, relays: { device: this.line("rs485"), baud: 9_600 } },
      devices: [
        { id: "heat_pump", kind: "heat_pump", priority: 1, nominal_W: 2_500, contacts: { bus: "relays", profile: "waveshare_relay", unit: 1, coils: [0, 1] } },
        { id: "charger", kind: "ev", priority: 2, profile: "alfen", bus: "charger", maximum_A: 16 },
      ],
      http: { port: this.httpPort, address: "127.0.0.1" }, ...changes,
    }, null, 2);
  }

  meterOn(): void {
    this.meter ??= new P1Meter(this.#platform, {
      version: "5.0", output: { kind: "serial", device: this.line("meter") },
      telegrams: { state: () => this.#meterState() },
      spoil: (telegram) => (this.garbled ? telegram.map((byte, i) => (i % 97 === 13 ? byte ^ 0x15 : byte)) : telegram),
    });
  }
  meterOff(): void {
    this.meter?.close();
    this.meter = null;
  }

  async broker(on: boolean): Promise<void> {
    if (!on) {
      await this.#client?.endAsync(true);
      this.#client = null;
      await ended(this.#broker);
      this.#broker = null;
      return;
    }
    const config = join(this.directory, "mosquitto.conf");
    writeFileSync(config, ["persistence false", "allow_anonymous true", `user ${userInfo().username}`, "log_dest none", `listener ${this.#brokerPort} 127.0.0.1`].join("\n"));
    this.#broker = spawn(existsSync("/usr/sbin/mosquitto") ? "/usr/sbin/mosquitto" : "mosquitto", ["-c", config], { stdio: "ignore" });
    await listening(this.#brokerPort);
    this.#client = await connectAsync(`mqtt://127.0.0.1:${this.#brokerPort}`, { protocolVersion: 5, reconnectPeriod: 0 });
    this.#client.on("error", () => {});
  }

  cap(watts: number | null, seconds: number, by: "mqtt" | "p1", emergency: boolean): void {
    const id = (0xca9000 + this.#events.length).toString(16).padStart(8, "0");
    const event = { ...capEvent(id, this.epoch, seconds, 0, { emergency }), importLimit: watts };
    this.#events.push(event);
    this.judge.watch(event);
    if (by === "mqtt") this.#say();
    else this.text = toTextField(this.#token()).text;
  }

  #token(): Uint8Array { return reissue(this.#operator, `ean:${EAN}`, this.key, this.epoch, LINK_LIFE_S, () => this.#events.filter((event) => event.start + event.duration > this.epoch)).token; }
  #say(): void {
    this.#client?.publish(topicOf(`ean:${EAN}`), Buffer.from(this.#token()), { qos: 1, retain: true });
  }

  #step(): void {
    this.charger.step(STEP_MS, MILD);
    this.pump.step(STEP_MS, MILD);
    this.#imported += (Math.max(0, this.net) * STEP_MS) / 3_600_000;
  }

  #meterState() {
    const power = [0, 1, 2].map((i) => Math.round(this.load[i]! + this.car.watts[i]! + this.pump.watts[i]!));
    return { time: this.epoch + this.meterClock, power, voltage: [230_000, 230_000, 230_000], imported: [Math.floor(this.#imported), 0] as const, exported: [0, 0] as const, text: this.text };
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) this.#platform.timer.clear(timer);
    this.meterOff();
    for (const server of this.#servers) server.close();
    await this.broker(false);
    this.#node.close();
    for (const child of this.#children) await ended(child);
    rmSync(this.directory, { recursive: true, force: true });
  }

  async #ptys(one: "meter" | "relays", other: "p1" | "rs485"): Promise<void> {
    this.#children.push(spawn("socat", [`PTY,link=${this.line(one)},raw,echo=0`, `PTY,link=${this.line(other)},raw,echo=0`], { stdio: "ignore" }));
    for (let i = 0; i < 500 && !(existsSync(this.line(one)) && existsSync(this.line(other))); i++) await pause(10);
  }
}

/** SG Ready by contact 1 and 2: 1 blocked, 2 normal, 3 recommended, 4 forced. */
const SG_STATE = [2, 3, 1, 4];
const sum = (list: readonly number[]): number => list.reduce((total, value) => total + value, 0);

function profileNamed(id: string) {
  const found = profiles.find((profile) => profile.id === id);
  if (found === undefined) throw new Error(`no profile ${id}`);
  return found;
}

/** By its own id, and until it is gone. */
export async function ended(child: ChildProcess | null, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
  if (child === null || child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  await gone;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function listening(port: number): Promise<void> {
  for (let i = 0; i < 500; i++) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => { socket.destroy(); resolve(true); });
      socket.on("error", () => resolve(false));
    });
    if (open) return;
    await pause(20);
  }
  throw new Error(`nothing listens on ${port}`);
}
