import type { Digital, DigitalOptions } from "../ecma419.js";
import type { VirtualPin } from "../virtual_pin.js";
import type { SimPlatform } from "./platform.js";

/** The controller's side of a VirtualPin, named as the board names it. */
export class SimDigital implements Digital {
  readonly #platform: SimPlatform;
  #pin: VirtualPin | null;
  readonly #invert: 0 | 1;
  readonly #output: boolean;
  #unobserve: (() => void) | null = null;

  constructor(platform: SimPlatform, options: DigitalOptions) {
    this.#platform = platform;
    this.#invert = options.activeLow ? 1 : 0;
    this.#output = options.mode === "output";
    const pin = platform.pins.get(options.pin);
    this.#pin = pin;
    if (this.#output) {
      platform.outputs.add(options.pin);
      pin.set(((options.initialValue ?? 0) ^ this.#invert) as 0 | 1);
    } else if (options.onReadable) {
      this.#watch(pin, options.onReadable);
    }
  }

  #watch(pin: VirtualPin, onReadable: () => void): void {
    let waiting = false;
    this.#unobserve = pin.observe(() => {
      if (waiting) return;
      waiting = true;
      this.#platform.post(() => {
        waiting = false;
        if (this.#pin) onReadable();
      });
    });
  }

  read(): 0 | 1 {
    if (!this.#pin) throw new Error("pin is closed");
    return (this.#pin.get() ^ this.#invert) as 0 | 1;
  }

  write(value: 0 | 1): void {
    if (!this.#pin) throw new Error("pin is closed");
    if (!this.#output) throw new Error("pin is an input");
    this.#platform.power.check();
    this.#pin.set(((value ? 1 : 0) ^ this.#invert) as 0 | 1);
  }

  close(): void {
    this.#unobserve?.();
    this.#pin = null;
  }
}
