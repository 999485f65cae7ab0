/**
 * Contacts on a Linux host.
 *
 *   virtual:NAME   a pin of this process (hal/virtual_pin.ts): `vangnet start`, tests
 *   17             line 17 as sysfs counts, /sys/class/gpio/gpio17
 *   CHIP/17        line 17 of the chip of that directory name or label, e.g. pinctrl-bcm2711/17:
 *                  kernels number the chips as they please, labels stay
 *
 * sysfs and not the character device, because that needs ioctl, which Node does not have, and
 * gpiod's tools hold a line only while their process lives: a contact would open when they die.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Digital as DigitalInterface, DigitalOptions } from "../ecma419.js";
import type { VirtualPin, VirtualPins } from "../virtual_pin.js";

export const GPIO_DIRECTORY = "/sys/class/gpio";
/** sysfs signals edges by POLLPRI, which Node cannot wait for: inputs are looked at. */
const POLL_MS = 20;

export interface DigitalHost {
  readonly pins: VirtualPins;
  readonly gpioDirectory: string;
}

interface Line {
  get(): 0 | 1;
  set(level: 0 | 1): void;
  watch(changed: () => void): () => void;
  close(): void;
}

export class Digital implements DigitalInterface {
  #line: Line | null;
  #invert: 0 | 1;
  #unwatch: (() => void) | null = null;
  #output: boolean;

  constructor(options: DigitalOptions, host: DigitalHost) {
    this.#invert = options.activeLow ? 1 : 0;
    this.#output = options.mode === "output";
    const level = this.#output ? (((options.initialValue ?? 0) ^ this.#invert) as 0 | 1) : null;
    const name = String(options.pin);
    this.#line = name.startsWith("virtual:")
      ? virtualLine(host.pins.get(name.slice("virtual:".length)), level)
      : sysfsLine(host.gpioDirectory, name, options.mode, level);
    const onReadable = options.onReadable;
    if (onReadable && !this.#output) this.#unwatch = this.#line.watch(onReadable);
  }

  read(): 0 | 1 {
    if (!this.#line) throw new Error("pin is closed");
    return (this.#line.get() ^ this.#invert) as 0 | 1;
  }

  write(value: 0 | 1): void {
    if (!this.#line) throw new Error("pin is closed");
    if (!this.#output) throw new Error("pin is an input");
    this.#line.set(((value ? 1 : 0) ^ this.#invert) as 0 | 1);
  }

  close(): void {
    this.#unwatch?.();
    this.#line?.close();
    this.#unwatch = null;
    this.#line = null;
  }
}

function virtualLine(pin: VirtualPin, initial: 0 | 1 | null): Line {
  if (initial !== null) pin.set(initial);
  return {
    get: () => pin.get(),
    set: (level) => pin.set(level),
    watch(changed) {
      let waiting: NodeJS.Immediate | null = null;
      const unobserve = pin.observe(() => {
        waiting ??= setImmediate(() => {
          waiting = null;
          changed();
        });
      });
      return () => {
        unobserve();
        if (waiting) clearImmediate(waiting);
      };
    },
    close: () => {},
  };
}

function sysfsLine(root: string, name: string, mode: DigitalOptions["mode"], initial: 0 | 1 | null): Line {
  if (mode === "inputPullUp") throw new Error(`gpio ${name}: sysfs cannot set a pull-up; use the device tree and mode "input"`);
  const number = lineNumber(root, name);
  const directory = join(root, `gpio${number}`);
  const exported = !existsSync(directory);
  if (exported) writeFileSync(join(root, "export"), String(number));
  // Levels stay electrical down here: the kernel's "high" and "low" ignore its own active_low.
  const activeLow = join(directory, "active_low");
  if (existsSync(activeLow)) writeFileSync(activeLow, "0");
  // "high"/"low" set level and direction in one step: no pulse on the contact.
  writeFileSync(join(directory, "direction"), initial === null ? "in" : initial ? "high" : "low");
  const value = join(directory, "value");
  const get = (): 0 | 1 => {
    const text = readFileSync(value, "latin1").trim();
    if (text !== "0" && text !== "1") throw new Error(`gpio ${name}: value reads ${JSON.stringify(text)}`);
    return text === "1" ? 1 : 0;
  };
  return {
    get,
    set: (level) => writeFileSync(value, level ? "1" : "0"),
    watch(changed) {
      let before = quietly(get);
      const timer = setInterval(() => {
        const now = quietly(get);
        if (now === before) return;
        before = now;
        changed();
      }, POLL_MS);
      return () => clearInterval(timer);
    },
    close() {
      // An output stays exported: unexporting lets some drivers turn it back into an input, and a
      // contact shall not move because the process ended.
      if (exported && mode === "input") quietly(() => writeFileSync(join(root, "unexport"), String(number)));
    },
  };
}

function lineNumber(root: string, name: string): number {
  const [first = "", second] = name.split("/");
  const line = Number(second ?? first);
  if (!/^\d+$/.test(second ?? first)) throw new Error(`gpio ${name}: not a line`);
  if (second === undefined) return line;
  for (const entry of readdirSync(root)) {
    if (!entry.startsWith("gpiochip")) continue;
    const read = (file: string) => quietly(() => readFileSync(join(root, entry, file), "latin1").trim()) ?? "";
    if (entry !== first && read("label") !== first) continue;
    if (line >= Number(read("ngpio"))) throw new Error(`gpio ${name}: the chip has ${read("ngpio")} lines`);
    return Number(read("base")) + line;
  }
  throw new Error(`gpio ${name}: no such chip`);
}

function quietly<T>(task: () => T): T | null {
  try {
    return task();
  } catch {
    return null;
  }
}
