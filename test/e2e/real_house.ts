/**
 * The controller on real sockets and lines, among counterparts that are not ours: mosquitto, servers
 * of modbus-serial, socat's ptys, a meter that is a plain TCP server. House time can be made to run
 * faster than real time, so that a car is charging after seconds; what is measured runs at 1.
 */
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { ServerTCP } from "modbus-serial";
import { monotonicClock } from "../../hal/node/clock.js";
import { nodePlatform, type NodePlatform } from "../../hal/node/platform.js";
import { Vangnet } from "../../src/main.js";
import { readSite } from "../../src/services/site_config.js";
import { writeTelegram, type P1MeterState } from "../../tools/emulators/p1_telegram.js";
import { publicEntry } from "../../tools/operator/files.js";
import type { SigningKey } from "../../tools/operator/encode.js";
import { TEST_EAN, testKey } from "../helpers/token.js";
import type { SiteJson } from "./house.js";

export async function until(done: () => boolean, what: string, limit = 15_000): Promise<number> {
  const start = performance.now();
  while (!done()) {
    if (performance.now() - start > limit) throw new Error(`not within ${limit} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return performance.now() - start;
}
export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A platform whose clock and timers run `pace` times as fast as the host's. */
export class PacedPlatform {
  readonly node: NodePlatform;
  readonly platform: NodePlatform;
  #pace = 1;
  #real = monotonicClock();
  #base = 0;
  #at = this.#real();
  readonly #epoch: number;
  readonly #stops = new Set<() => void>();

  /** House time begins `behind` seconds before real time, and catches up while it is paced. */
  constructor(directory: string, behind: number) {
    this.node = nodePlatform({ dataDirectory: directory, log: () => {} });
    this.#epoch = Date.now() / 1000 - behind;
    this.platform = {
      ...this.node,
      monotonic: () => this.now(),
      networkTime: () => Math.floor(this.epoch()),
      timer: {
        set: (callback, ms) => this.#set(callback, ms),
        repeat: (callback, ms) => this.#repeat(callback, ms),
        clear: (id) => { if (id !== undefined) (id as () => void)(); },
      },
    };
  }
  now(): number { return Math.floor(this.#base + (this.#real() - this.#at) * this.#pace); }
  epoch(): number { return this.#epoch + this.now() / 1000; }
  set pace(pace: number) {
    this.#base = this.now();
    this.#at = this.#real();
    this.#pace = pace;
  }
  #set(callback: () => void, ms: number): () => void {
    const id = this.node.timer.set(() => { this.#stops.delete(stop); callback(); }, ms / this.#pace);
    const stop = (): void => { this.node.timer.clear(id); this.#stops.delete(stop); };
    this.#stops.add(stop);
    return stop;
  }
  #repeat(callback: () => void, ms: number): () => void {
    let stopped = false;
    let next: () => void;
    const again = (): void => {
      next = this.#set(() => { if (stopped) return; again(); callback(); }, ms);
    };
    again();
    return () => { stopped = true; next(); };
  }
  close(): void {
    for (const stop of [...this.#stops]) stop();
    this.node.close();
  }
}

/** An Alfen socket's registers on a server that is not ours. Times are performance.now(). */
export class RealCharger {
  server!: ServerTCP;
  port = 0;
  readonly #words = new Map<number, number>();
  /** Setpoints as they were written, mA. */
  readonly writes: { at: number; milliamps: number }[] = [];
  /** What the car draws, A per phase; null = what it is told, at once. */
  frozen: number | null = null;
  readonly vector = {
    getHoldingRegister: (address: number): number => this.#words.get(address) ?? 0,
    setRegister: (address: number, value: number): void => {
      this.#words.set(address, value);
      if (address === 1211) {
        this.writes.push({ at: performance.now(), milliamps: Math.round(this.#float(1210) * 1000) });
        this.show();
      }
    },
  };
  constructor() {
    [306, 308, 310].forEach((address) => this.#put(address, 230));
    "C2\0\0\0\0\0\0\0\0".match(/../gs)!.forEach((pair, i) => this.#words.set(1201 + i, (pair.charCodeAt(0) << 8) | pair.charCodeAt(1)));
    this.show();
  }
  async listen(port = 0): Promise<void> {
    // The library takes 0 for "not given", which is 502; "0" is any free port.
    this.server = new ServerTCP(this.vector, { host: "127.0.0.1", port: (port === 0 ? "0" : port) as number, unitID: 1 });
    await new Promise<void>((resolve, reject) => { this.server.on("initialized", () => resolve()); this.server.on("serverError", reject); });
    this.port = ((this.server as unknown as { _server: Server })._server.address() as AddressInfo).port;
  }
  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.server.close(() => resolve());
      for (const socket of this.server.socks.keys()) socket.destroy();
    });
  }
  get told(): number { return this.writes.at(-1)?.milliamps ?? 0; }
  /** A per phase. */
  get draws(): number { return this.frozen ?? (this.told >= 6_000 ? this.told / 1000 : 0); }
  show(): void {
    [320, 322, 324].forEach((address) => this.#put(address, this.draws));
    this.#put(344, this.draws * 690);
  }
  #put(address: number, value: number): void {
    const bytes = Buffer.alloc(4);
    bytes.writeFloatBE(value);
    this.#words.set(address, bytes.readUInt16BE(0));
    this.#words.set(address + 1, bytes.readUInt16BE(2));
  }
  #float(address: number): number {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt16BE(this.#words.get(address) ?? 0, 0);
    bytes.writeUInt16BE(this.#words.get(address + 1) ?? 0, 2);
    return bytes.readFloatBE(0);
  }
}

/** A meter as a ser2net server would give it: telegrams to whoever is connected. */
export class TcpMeter {
  port = 0;
  readonly #server: Server;
  readonly #readers = new Set<Socket>();
  constructor() {
    this.#server = createServer((socket) => {
      socket.setNoDelay(true);
      socket.on("error", () => {});
      socket.on("close", () => this.#readers.delete(socket));
      this.#readers.add(socket);
    });
  }
  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    this.port = (this.#server.address() as AddressInfo).port;
  }
  send(telegram: Uint8Array): void { for (const reader of this.#readers) reader.write(telegram); }
  stop(): void {
    this.#server.close();
    for (const reader of this.#readers) reader.destroy();
  }
}

export interface RealHouseOptions {
  /** Broker's URL and, for TLS, its authority. */
  mqtt?: string;
  authority?: Uint8Array;
  site?: (json: SiteJson) => void;
  stepA?: number;
}

/** Meter and charger on real sockets, the controller between them. */
export class RealHouse {
  readonly directory = mkdtempSync(join(tmpdir(), "vangnet-e2e-"));
  readonly time: PacedPlatform;
  readonly charger = new RealCharger();
  readonly meter = new TcpMeter();
  readonly key: SigningKey = testKey("operator");
  base: [number, number, number] = [300, 200, 100];
  controller!: Vangnet;
  #telegrams: unknown;

  constructor(behind: number) { this.time = new PacedPlatform(join(this.directory, "data"), behind); }

  async start(options: RealHouseOptions = {}): Promise<void> {
    await this.charger.listen();
    await this.meter.listen();
    const site: SiteJson = {
      serial: "VN-REAL", ean: TEST_EAN, connection: { phases: 3, fuse_A: 25 }, meter: { type: "p1", tcp: `127.0.0.1:${this.meter.port}` },
      operator: { keys: [publicEntry(this.key)], mqtt: options.mqtt === undefined ? null : { url: options.mqtt } },
      // Whoever has no broker here is not about caps: no failsafe in the way.
      limits: { failsafe_W: 17_000, autonomous_W: 17_000 },
      buses: { charger: { tcp: `127.0.0.1:${this.charger.port}` } },
      devices: [{ id: "charger", kind: "ev", profile: "alfen", bus: "charger", maximum_A: 16, step_A: options.stepA ?? 1 }],
    };
    options.site?.(site);
    const read = readSite(JSON.stringify(site));
    if (!read.ok) throw new Error(JSON.stringify(read.faults));
    this.controller = new Vangnet({ platform: this.time.platform, ...read, version: "e2e", ...(options.authority ? { authority: options.authority } : {}) });
  }

  state(): P1MeterState {
    const watts = Math.round(this.charger.draws * 230);
    return { time: Math.floor(this.time.epoch()), power: this.base.map((base) => base + watts), voltage: [230_000, 230_000, 230_000], imported: [1_000, 0], exported: [0, 0] };
  }
  telegram(): void { this.meter.send(writeTelegram(this.state(), "5.0")); }
  /** Telegrams each second of house time. */
  meterOn(): void { this.#telegrams = this.time.platform.timer.repeat(() => this.telegram(), 1000); }
  meterOff(): void { this.time.platform.timer.clear(this.#telegrams as never); }

  /** At 20 times the pace until the car charges with 16 A; then real time. */
  async charging(): Promise<void> {
    this.meterOn();
    this.time.pace = 20;
    await until(() => this.charger.told === 16_000 && this.controller.status().devices[0]!.measured.current[0] === 16_000, "16 A", 30_000);
    await until(() => this.time.epoch() >= Date.now() / 1000, "house time has caught up", 30_000);
    this.time.pace = 1;
    await pause(100);
  }

  async close(): Promise<void> {
    this.controller?.close();
    await pause(20);
    this.time.close();
    this.meter.stop();
    if (this.charger.port !== 0) await this.charger.stop().catch(() => {});
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** mosquitto with a plain port and one with TLS, certified by an authority that openssl makes. */
export class Mosquitto {
  readonly directory = mkdtempSync(join(tmpdir(), "vangnet-mosquitto-"));
  ports = { plain: 0, tls: 0 };
  #child: ChildProcess | null = null;
  get ca(): string { return join(this.directory, "ca.pem"); }

  async start(): Promise<void> {
    if (this.ports.plain === 0) {
      this.ports = { plain: await freePort(), tls: await freePort() };
      this.#certificates();
      writeFileSync(join(this.directory, "mosquitto.conf"), [
        "persistence false", "allow_anonymous true", `user ${userInfo().username}`, "log_dest none",
        `listener ${this.ports.plain} 127.0.0.1`,
        `listener ${this.ports.tls} 127.0.0.1`, `cafile ${this.ca}`, `certfile ${this.directory}/server.pem`, `keyfile ${this.directory}/server.key`,
      ].join("\n"));
    }
    const program = existsSync("/usr/sbin/mosquitto") ? "/usr/sbin/mosquitto" : "mosquitto";
    this.#child = spawn(program, ["-c", join(this.directory, "mosquitto.conf")], { stdio: "ignore" });
    for (const port of [this.ports.plain, this.ports.tls]) await listening(port);
  }
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
  }
  async close(): Promise<void> {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }
  #certificates(): void {
    const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: this.directory, stdio: "ignore" });
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    openssl("req", "-x509", ...key, "-days", "2", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca");
    openssl("req", ...key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=127.0.0.1");
    writeFileSync(join(this.directory, "ext"), "subjectAltName=IP:127.0.0.1");
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext", "-out", "server.pem");
  }
}

async function listening(port: number): Promise<void> {
  const open = (): Promise<boolean> => new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => { socket.destroy(); resolve(true); });
    socket.on("error", () => resolve(false));
  });
  for (let i = 0; i < 500; i++) {
    if (await open()) return;
    await pause(20);
  }
  throw new Error(`nothing listens on ${port}`);
}

/** A pair of ptys; `unplug` kills the socat that holds them. */
export class Ptys {
  readonly directory = mkdtempSync(join(tmpdir(), "vangnet-pty-"));
  readonly ours = join(this.directory, "ours");
  readonly theirs = join(this.directory, "theirs");
  #socat: ChildProcess | null = null;

  async open(): Promise<void> {
    this.#socat = spawn("socat", [`PTY,link=${this.ours},raw,echo=0`, `PTY,link=${this.theirs},raw,echo=0`], { stdio: "ignore" });
    await until(() => existsSync(this.ours) && existsSync(this.theirs), "ptys");
  }
  async unplug(): Promise<void> {
    const socat = this.#socat;
    this.#socat = null;
    if (socat === null || socat.exitCode !== null) return;
    const gone = new Promise((resolve) => socat.once("exit", resolve));
    socat.kill("SIGKILL");
    await gone;
  }
  async close(): Promise<void> {
    await this.unplug();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** "median 3.1 ms, p99 9.0 ms, longest 9.4 ms of 20". */
export function figures(values: readonly number[]): { median: number; p99: number; words: string } {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.ceil(part * sorted.length) - 1)]!;
  const median = at(0.5), p99 = at(0.99);
  return { median, p99, words: `median ${median.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, longest ${sorted.at(-1)!.toFixed(1)} ms of ${sorted.length}` };
}

const GAUGE_MS = 4;

/**
 * The host's own stalls: how late a timer of this very process comes. Machines are shared, and a
 * deadline is the controller's, not the neighbour's: `during` says what of a span was no work of ours.
 */
export class HostStalls {
  readonly #late: { readonly from: number; readonly to: number }[] = [];
  #last = performance.now();
  readonly #timer = setInterval(() => {
    const now = performance.now();
    if (now - this.#last > 2 * GAUGE_MS) this.#late.push({ from: this.#last + GAUGE_MS, to: now });
    this.#last = now;
  }, GAUGE_MS);

  during(from: number, to: number): number {
    return this.#late.reduce((sum, stall) => sum + Math.max(0, Math.min(to, stall.to) - Math.max(from, stall.from)), 0);
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
