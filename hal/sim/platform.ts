/** One computer of a simulated world: what a board is to main.ts, and what a test does to it. */
import type { DigitalConstructor, ListenerConstructor, Platform, SerialConstructor, TCPConstructor, Timer, TimerId, TLSConstructor } from "../ecma419.js";
import { VirtualPins } from "../virtual_pin.js";
import { SimDigital } from "./digital.js";
import type { SimEvent } from "./event_queue.js";
import { SimFiles } from "./files.js";
import { Flash } from "./key_value.js";
import type { Link } from "./link.js";
import { SimListener } from "./listener.js";
import { Power } from "./power.js";
import { Random, seedOf } from "./random.js";
import { SimSerial } from "./serial.js";
import { type Side, SimTCP } from "./tcp.js";
import type { SimWorld } from "./world.js";

/** Lines of the log kept for a test to look at. */
const LOG_LINES_MAX = 500;

export class SimPlatform implements Platform {
  readonly world: SimWorld;
  readonly name: string;
  readonly address: string;
  readonly pins = new VirtualPins();
  readonly power = new Power();
  readonly flash: Flash;
  readonly files: SimFiles;
  readonly lines: string[] = [];
  /** What runs when the platform boots: set it once, `boot()` and each reboot call it. */
  main: (() => void) | null = null;
  /** How long a signature takes to check. */
  verifyMs = 20;
  /** Null: no network time. Else seconds since 1970; default the world's own. */
  time: (() => number) | null;

  /** Counts boots: what was posted in an earlier life never runs. */
  life = 0;
  #bootedAt: number;
  readonly #random: Random;
  readonly sides = new Set<Side>();
  readonly serials = new Set<SimSerial>();
  readonly listeners = new Map<number, SimListener>();
  readonly outputs = new Set<string | number>();

  readonly Serial: SerialConstructor;
  readonly TCP: TCPConstructor;
  readonly TLS: TLSConstructor;
  readonly Listener: ListenerConstructor;
  readonly Digital: DigitalConstructor;

  constructor(world: SimWorld, name: string, address: string) {
    this.world = world;
    this.name = name;
    this.address = address;
    this.#bootedAt = world.now;
    this.#random = new Random(seedOf(world.seed, name));
    const faults = new Random(seedOf(world.seed, `${name}/faults`));
    this.flash = new Flash(this.power, faults);
    this.files = new SimFiles(this.power, faults);
    this.time = () => world.epochSeconds();
    this.power.onCut = () => this.#lose();
    ({ Serial: this.Serial, TCP: this.TCP, TLS: this.TLS, Listener: this.Listener, Digital: this.Digital } = classesOf(this));
  }

  get off(): boolean {
    return this.power.off;
  }

  readonly storage = { open: ({ path }: { path: string }) => this.flash.open(path) };

  /** Runs later, unless the platform loses power before. */
  post(task: () => void, delayMs = 0): SimEvent {
    const life = this.life;
    return this.world.schedule(delayMs, () => {
      if (this.life === life && !this.off) task();
    });
  }

  readonly timer: Timer = {
    set: (callback, delayMs) => this.post(callback, Math.max(0, Math.ceil(delayMs))),
    repeat: (callback, periodMs) => {
      const life = this.life;
      const period = Math.max(1, Math.ceil(periodMs));
      const tick = (): void => {
        if (this.life !== life) return;
        // First the next one, as a hardware timer: a callback may still clear it.
        this.world.again(event, period, tick);
        callback();
      };
      const event = this.world.schedule(period, tick);
      return event;
    },
    clear: (id: TimerId | undefined) => {
      if (id !== undefined) this.world.cancel(id as SimEvent);
    },
  };

  // Not methods: services may take them off the platform, as they may with hal/node's.
  readonly monotonic = (): number => this.world.now - this.#bootedAt;

  readonly networkTime = (): number | null => (this.time === null ? null : this.time());

  readonly random = (): number => this.#random.u32();

  readonly sha256 = (data: Uint8Array): Uint8Array => this.world.crypto.sha256(data);

  readonly verifyP256 = (publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array, done: (valid: boolean) => void): void => {
    const valid = this.world.crypto.verifyP256(publicKey, message, signature);
    this.post(() => done(valid), this.verifyMs);
  };

  readonly log = (line: string): void => {
    if (this.lines.length >= LOG_LINES_MAX) this.lines.shift();
    this.lines.push(line);
    this.world.onLog?.(this.name, line);
  };

  /** From a connecting platform; null: refused. */
  accept(port: number, link: Link): Side | null {
    return this.listeners.get(port)?.accept(link) ?? null;
  }

  /** The power goes, now: streams and timers are gone, unflushed bytes with them. */
  cutPower(): void {
    if (!this.power.off) this.#lose();
  }

  #lose(): void {
    this.power.off = true;
    this.life++;
    for (const side of [...this.sides]) side.lose();
    for (const serial of [...this.serials]) serial.lose();
    this.listeners.clear();
    this.files.powerCut();
    this.pins.release(this.outputs);
    this.outputs.clear();
  }

  /** The power is back (after a cut, where there was none): `main` runs on a turn of its own. */
  reboot(): void {
    this.cutPower();
    // What was posted by code that went on after the cut dies too.
    this.life++;
    this.power.off = false;
    this.#bootedAt = this.world.now;
    this.boot();
  }

  boot(): void {
    this.post(() => this.main?.());
  }
}

/** The classes as a service gets them: `new platform.TCP(options)`. */
function classesOf(platform: SimPlatform) {
  const TCP: TCPConstructor = class extends SimTCP {
    constructor(options: ConstructorParameters<TCPConstructor>[0]) { super(platform, options); }
  };
  const TLS: TLSConstructor = TCP;
  const Serial: SerialConstructor = class extends SimSerial {
    constructor(options: ConstructorParameters<SerialConstructor>[0]) { super(platform, options); }
  };
  const Listener: ListenerConstructor = class extends SimListener {
    constructor(options: ConstructorParameters<ListenerConstructor>[0]) { super(platform, options); }
  };
  const Digital: DigitalConstructor = class extends SimDigital {
    constructor(options: ConstructorParameters<DigitalConstructor>[0]) { super(platform, options); }
  };
  return { Serial, TCP, TLS, Listener, Digital };
}
