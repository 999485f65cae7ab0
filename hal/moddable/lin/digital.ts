/**
 * Contacts of the Linux target, which has none: each pin is a file of one character, "0" or "1", in
 * the directory `pins`. Outputs are written there for others to watch, inputs are read from there;
 * a file that is absent or says anything else is a pin that cannot be read, which counts as active.
 */
import type { Digital as DigitalInterface, DigitalOptions, Timer, TimerId } from "../../ecma419.js";
import type { Directory } from "../files.js";

const POLL_MS = 20;

export class Digital implements DigitalInterface {
  readonly #pins: Directory;
  readonly #timer: Timer;
  readonly #name: string;
  readonly #invert: 0 | 1;
  readonly #output: boolean;
  #watch: TimerId | undefined;
  #closed = false;

  constructor(options: DigitalOptions, pins: Directory, timer: Timer) {
    this.#pins = pins;
    this.#timer = timer;
    const pin = String(options.pin);
    this.#name = fileName(pin);
    this.#invert = options.activeLow ? 1 : 0;
    this.#output = options.mode === "output";
    if (this.#output) this.write(options.initialValue ?? 0);
    const { onReadable } = options;
    if (this.#output || onReadable === undefined) return;
    let before = this.#level();
    this.#watch = timer.repeat(() => {
      const now = this.#level();
      if (now === before) return;
      before = now;
      onReadable();
    }, POLL_MS);
  }

  #level(): 0 | 1 | null {
    try {
      const file = this.#pins.openFile({ path: this.#name, mode: "r" });
      try {
        const byte = new Uint8Array(file.read(1, 0))[0];
        return byte === 0x30 ? 0 : byte === 0x31 ? 1 : null;
      } finally {
        file.close();
      }
    } catch {
      return null;
    }
  }

  read(): 0 | 1 {
    if (this.#closed) throw new Error("pin is closed");
    const level = this.#level();
    if (level === null) throw new Error(`pin ${this.#name} cannot be read`);
    return (level ^ this.#invert) as 0 | 1;
  }

  write(value: 0 | 1): void {
    if (this.#closed) throw new Error("pin is closed");
    if (!this.#output) throw new Error("pin is an input");
    // Over the old content and not truncated first: who watches never sees an empty file.
    let file;
    try {
      file = this.#pins.openFile({ path: this.#name, mode: "r+" });
    } catch {
      file = this.#pins.openFile({ path: this.#name, mode: "w+" });
    }
    try {
      file.write(new Uint8Array([0x30 + ((value ? 1 : 0) ^ this.#invert)]), 0);
    } finally {
      file.close();
    }
  }

  close(): void {
    this.#closed = true;
    this.#timer.clear(this.#watch);
    this.#watch = undefined;
  }
}

/** "virtual:sg1" and "17" as they are in site.json, "/" made harmless. */
function fileName(pin: string): string {
  const name = pin.startsWith("virtual:") ? pin.slice("virtual:".length) : pin;
  return name.split("/").join("_");
}
