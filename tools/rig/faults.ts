/** Makes a plan's faults happen, and tells the judge what is broken: it asks nothing of what is. */
import type { Random } from "../../hal/sim/random.js";
import type { Fault } from "./plan.js";
import type { RigWorld } from "./world.js";

export class Faults {
  /** How often the broker sends each message. */
  deliveries = 1;
  /** Seconds the meter's clock is off. */
  meterOffset = 0;
  readonly #world: RigWorld;
  readonly #random: Random;
  #open: Fault[] = [];
  #held: Uint8Array[] = [];
  #offUntil = 0;

  constructor(world: RigWorld, random: Random) {
    this.#world = world;
    this.#random = random;
    const { power } = world.platform, lose = power.onCut;
    power.onCut = () => {
      world.judge.power(world.world.now, false);
      lose();
    };
    const line = world.world.serialEnd("/dev/p1")!;
    line.tamper = (bytes) => {
      const out = this.#open.length === 0 ? bytes : this.#spoil(bytes);
      if (out !== null && out.length > 0) world.judge.telegram(world.world.now, out);
      return out;
    };
  }

  second(second: number): void {
    const world = this.#world;
    const ended = this.#open.filter((fault) => fault.at + fault.for <= second);
    if (ended.length > 0) {
      this.#open = this.#open.filter((fault) => fault.at + fault.for > second);
      for (const fault of ended) this.#end(fault);
    }
    for (const fault of world.plan.faults) {
      if (fault.at !== second) continue;
      world.judge.broke(fault);
      this.#begin(fault);
      this.#open.push(fault);
    }
    for (const fault of this.#open) this.#go(fault, second);
    // A cut in a write leaves the controller off until somebody finds it so.
    if (world.platform.off && second >= this.#offUntil && !this.#isOpen("power_cut")) {
      if (this.#offUntil === 0) {
        this.#offUntil = second + 3;
      } else {
        this.#offUntil = 0;
        world.platform.reboot();
      }
    }
  }

  #isOpen(kind: Fault["kind"]): boolean { return this.#open.some((fault) => fault.kind === kind); }

  #device(id: string) { return this.#world.modbus.get(id)?.faults; }

  #begin({ kind, target, n }: Fault): void {
    const { world, platform, broker } = this.#world;
    const device = this.#device(target);
    switch (kind) {
      case "p1_unplug": world.serialEnd("/dev/p1")!.plugged = false; break;
      case "device_silent": device!.silent = true; break;
      case "device_exception": device!.exception = n; break;
      case "device_slow": device!.delayMs = n; break;
      case "device_wrong_unit": device!.wrongUnit = true; break;
      case "device_torn": device!.torn = true; break;
      case "device_deaf": device!.deaf = true; break;
      case "device_gone": world.link("controller", target).up = false; break;
      case "device_reset": world.cutConnections("controller", target); break;
      case "relay_stuck": platform.pins.get(target).stuck = true; break;
      case "broker_stop": broker.stop(); break;
      case "broker_link": world.link("broker", "controller").up = false; break;
      case "broker_freeze": for (const id of broker.clients()) broker.freeze(id); break;
      case "broker_repeat": this.deliveries = n; break;
      case "broker_drop": this.deliveries = 0; break;
      case "token_late": this.#world.operator.lateS = n; break;
      case "operator_mute": this.#world.operator.mute = true; break;
      case "clock_meter": this.meterOffset = n; break;
      case "clock_network": platform.time = () => world.epochSeconds() + n; break;
      case "clock_none": platform.time = null; break;
      case "power_cut": this.#cut(); break;
      case "power_write": platform.power.cutAtWrite = platform.power.writes + n; break;
      case "flash_torn": platform.flash.torn = true; break;
      case "flash_broken": platform.flash.broken = true; break;
      case "flash_full": platform.flash.capacityBytes = n; break;
      case "files_broken": platform.files.broken = true; break;
      case "volts": for (let i = 0; i < 3; i++) this.#world.house.offset[i]! += n; break;
      case "load": this.#world.house.extra[Number(target) - 1]! += n; break;
      default: break;
    }
  }

  #end({ kind, target, n }: Fault): void {
    const { world, platform } = this.#world;
    const device = this.#device(target);
    if (this.#open.some((other) => other.kind === kind && other.target === target) && kind !== "volts" && kind !== "load") return;
    switch (kind) {
      case "p1_unplug": world.serialEnd("/dev/p1")!.plugged = true; break;
      case "device_silent": device!.silent = false; break;
      case "device_exception": device!.exception = null; break;
      case "device_slow": device!.delayMs = 0; break;
      case "device_wrong_unit": device!.wrongUnit = false; break;
      case "device_torn": device!.torn = false; break;
      case "device_deaf": device!.deaf = false; break;
      case "device_gone": world.link("controller", target).up = true; break;
      case "relay_stuck": this.#unstick(target); break;
      case "broker_stop": this.#world.startBroker(); break;
      case "broker_link": world.link("broker", "controller").up = true; break;
      case "broker_freeze": this.#world.broker.kick(); break;
      case "broker_repeat": case "broker_drop": this.deliveries = 1; break;
      case "token_late": this.#world.operator.lateS = 0; break;
      case "operator_mute": this.#world.operator.mute = false; break;
      case "clock_meter": this.meterOffset = 0; break;
      case "clock_network": case "clock_none": platform.time = () => world.epochSeconds(); break;
      case "power_cut": platform.reboot(); break;
      case "power_write": platform.power.cutAtWrite = null; break;
      case "flash_torn": platform.flash.torn = false; break;
      case "flash_broken": platform.flash.broken = false; break;
      case "flash_full": platform.flash.capacityBytes = null; break;
      case "files_broken": platform.files.broken = false; break;
      case "volts": for (let i = 0; i < 3; i++) this.#world.house.offset[i]! -= n; break;
      case "load": this.#world.house.extra[Number(target) - 1]! -= n; break;
      default: break;
    }
  }

  /** A contact that comes loose springs to where it was told to be. */
  #unstick(target: string): void {
    this.#world.platform.pins.get(target).stuck = false;
  }

  #cut(): void {
    // First the judge: the contacts open with the power.
    if (!this.#world.platform.off) this.#world.judge.power(this.#world.world.now, false);
    this.#world.platform.cutPower();
  }

  #go({ kind, at, n }: Fault, second: number): void {
    if (kind !== "token_replay" && kind !== "token_forged") return;
    if ((second - at) % Math.max(1, Math.floor(60 / n)) !== 0) return;
    if (kind === "token_replay") this.#world.operator.replay(this.#random.below(40));
    else this.#world.operator.forge(this.#random.below(1 << 20));
  }

  // ---- The P1 line ----

  #spoil(bytes: Uint8Array): Uint8Array | null {
    let out: number[] | Uint8Array = bytes;
    for (const { kind, n } of this.#open) {
      if (kind === "p1_silent") return null;
      if (kind === "p1_flip") out = Array.from(out, (byte) => (this.#random.chance(n) ? byte ^ (1 << this.#random.below(8)) : byte));
      if (kind === "p1_drop") out = Array.from(out).filter(() => !this.#random.chance(n));
      if (kind === "p1_double") out = Array.from(out).flatMap((byte) => (this.#random.chance(n) ? [byte, byte] : [byte]));
      if (kind === "p1_babble" && this.#random.chance(200)) out = [...out, ...Array.from({ length: n }, () => this.#random.below(256))];
    }
    const glue = this.#open.find(({ kind }) => kind === "p1_glue");
    if (glue !== undefined || this.#held.length > 0) {
      this.#held.push(Uint8Array.from(out));
      const total = this.#held.reduce((sum, { length }) => sum + length, 0);
      if (glue !== undefined && total < 900 * glue.n) return null;
      out = this.#held.flatMap((part) => [...part]);
      this.#held = [];
    }
    return out instanceof Uint8Array ? out : Uint8Array.from(out);
  }
}
