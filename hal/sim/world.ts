/**
 * A world in virtual time: platforms, the network and the wires between them. One seed and one
 * sequence of calls give the same world again, event by event.
 */
import type { VirtualPin } from "../virtual_pin.js";
import { EventQueue, type SimEvent } from "./event_queue.js";
import { Link } from "./link.js";
import { SimPlatform } from "./platform.js";
import { PowerCut } from "./power.js";
import { Random } from "./random.js";
import { SerialEnd } from "./serial.js";

/** Given, because the simulator knows no host: hal/node/crypto.ts has both. */
export interface SimCrypto {
  sha256(data: Uint8Array): Uint8Array;
  verifyP256(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;
}

export interface SimOptions {
  seed: number;
  crypto: SimCrypto;
  /** One way, between two platforms. Default 1; within one platform it is 0. */
  latencyMs?: number;
  /** Seconds since 1970 when the world begins. Default 2026-01-01T00:00:00Z. */
  epoch?: number;
  /** Serial bytes are handed over at most this much late, together. Default 1. */
  serialGrainMs?: number;
  connectTimeoutMs?: number;
}

export class SimWorld {
  readonly seed: number;
  readonly crypto: SimCrypto;
  readonly latencyMs: number;
  readonly serialGrainMs: number;
  readonly connectTimeoutMs: number;
  /** The world's own luck: noise, jitter. */
  readonly random: Random;
  onLog: ((platform: string, line: string) => void) | null = null;
  #epoch: number;
  #now = 0;
  #running = false;
  readonly #events = new EventQueue();
  readonly #platforms = new Map<string, SimPlatform>();
  readonly #names = new Map<string, string>();
  readonly #links = new Map<string, Link>();
  readonly #serials = new Map<string, SerialEnd>();
  #nextPort = 49_152;

  constructor(options: SimOptions) {
    this.seed = options.seed;
    this.crypto = options.crypto;
    this.latencyMs = options.latencyMs ?? 1;
    this.serialGrainMs = options.serialGrainMs ?? 1;
    this.connectTimeoutMs = options.connectTimeoutMs ?? 20_000;
    this.#epoch = options.epoch ?? 1_767_225_600;
    this.random = new Random(options.seed);
  }

  // ---- Time ----

  /** Milliseconds since the world began, whole. */
  get now(): number {
    return this.#now;
  }

  /** True time. A platform's `time` may say something else. */
  epochSeconds(): number {
    return this.#epoch + Math.floor(this.#now / 1000);
  }

  schedule(delayMs: number, run: () => void): SimEvent {
    return this.#events.add(this.#now + delayMs, run);
  }

  cancel(event: SimEvent): void {
    event.run = null;
  }

  /** For an event that is running: once more, `delayMs` from now. */
  again(event: SimEvent, delayMs: number, run: () => void): void {
    event.run = run;
    this.#events.again(event, this.#now + delayMs);
  }

  /** One event, or the hull of a cancelled one; false where there is none left. */
  step(): boolean {
    const event = this.#events.take();
    if (event === undefined) return false;
    const run = event.run;
    if (run === null) return true;
    event.run = null;
    this.#now = event.time;
    try {
      run();
    } catch (error) {
      // The turn in which the power went ends here, as it would.
      if (!(error instanceof PowerCut)) throw error;
    }
    return true;
  }

  /** All events up to and including `untilMs`; the world's time is then `untilMs`. */
  run(untilMs: number): void {
    if (this.#running) throw new Error("the world is already running");
    this.#running = true;
    try {
      for (;;) {
        const next = this.#events.peek();
        if (next === undefined || next.time > untilMs) break;
        this.step();
      }
      this.#now = Math.max(this.#now, untilMs);
    } finally {
      this.#running = false;
    }
  }

  runFor(ms: number): void {
    this.run(this.#now + ms);
  }

  /** Until `done` is true, looked at after each event, or `untilMs`. Gives whether it came. */
  runUntil(done: () => boolean, untilMs: number): boolean {
    while (!done()) {
      const next = this.#events.peek();
      if (next === undefined || next.time > untilMs) return done();
      this.step();
    }
    return true;
  }

  // ---- Platforms ----

  /** The platform of that name, made when first asked for. The name is its host name too. */
  platform(name: string): SimPlatform {
    let platform = this.#platforms.get(name);
    if (!platform) {
      const n = this.#platforms.size + 1;
      const address = `10.0.${n >> 8}.${n & 255}`;
      platform = new SimPlatform(this, name, address);
      this.#platforms.set(name, platform);
      this.#names.set(name, name);
      this.#names.set(address, name);
    }
    return platform;
  }

  /** One more host name for a platform: `world.name("broker.example", "operator")`. */
  name(host: string, platformName: string): void {
    this.#names.set(host, platformName);
  }

  /** Loss of power for a moment. */
  reboot(name: string): SimPlatform {
    const platform = this.platform(name);
    platform.reboot();
    return platform;
  }

  pin(platformName: string, pin: string | number): VirtualPin {
    return this.platform(platformName).pins.get(pin);
  }

  // ---- Network ----

  /**
   * Whom a host name means. The loopback names mean the platform itself, and where it does not
   * listen there, whoever does: a configuration for one machine runs here unchanged.
   */
  resolve(host: string, port: number, from: SimPlatform): SimPlatform | null {
    if (host === "127.0.0.1" || host === "localhost" || host === "::1") {
      if (from.listeners.has(port)) return from;
      for (const platform of this.#platforms.values()) if (platform.listeners.has(port)) return platform;
      return from;
    }
    const name = this.#names.get(host);
    return name === undefined ? null : this.platform(name);
  }

  /** The network between two platforms: `world.link("home", "operator").up = false`. */
  link(a: string, b: string): Link {
    const key = a < b ? `${a} ${b}` : `${b} ${a}`;
    let link = this.#links.get(key);
    if (!link) this.#links.set(key, (link = new Link(this, a === b ? 0 : this.latencyMs)));
    return link;
  }

  /** Every connection between the two is reset, on both sides. */
  cutConnections(a: string, b: string): void {
    for (const side of [...this.platform(a).sides]) {
      const peer = side.peer;
      if (!peer || peer.platform.name !== b) continue;
      peer.fail(new Error("connection reset"));
      side.fail(new Error("connection reset"));
    }
  }

  ephemeralPort(): number {
    return this.#nextPort++;
  }

  // ---- Serial lines ----

  /** A line between two device paths. On a board without paths the path is `NAME:uartN`. */
  serialPair(a: string, b: string): { a: SerialEnd; b: SerialEnd } {
    const ends = { a: new SerialEnd(a), b: new SerialEnd(b) };
    ends.a.peer = ends.b;
    ends.b.peer = ends.a;
    this.#serials.set(a, ends.a);
    this.#serials.set(b, ends.b);
    return ends;
  }

  serialEnd(path: string): SerialEnd | undefined {
    return this.#serials.get(path);
  }
}
