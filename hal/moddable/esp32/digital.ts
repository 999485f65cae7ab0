/** Contacts and inputs of an ESP32 board over our own pins. An output keeps its level when it is closed. */
import type { Digital as DigitalInterface, DigitalOptions } from "../../ecma419.js";
import { pinInput, pinLevel, pinOutput, setPin } from "../native/pin.js";
import type { Polling } from "./board.js";

const POLL_MS = 20;

export class Digital implements DigitalInterface {
  readonly #pin: number;
  readonly #invert: 0 | 1;
  readonly #output: boolean;
  readonly #polling: Polling;
  #watch: unknown;
  #closed = false;

  constructor(options: DigitalOptions, polling: Polling) {
    this.#pin = Number(options.pin);
    this.#invert = options.activeLow ? 1 : 0;
    this.#output = options.mode === "output";
    this.#polling = polling;
    if (this.#output) {
      pinOutput(this.#pin, this.#electrical(options.initialValue ?? 0));
      return;
    }
    pinInput(this.#pin, options.mode === "inputPullUp");
    const { onReadable } = options;
    if (onReadable === undefined) return;
    let before = pinLevel(this.#pin);
    this.#watch = polling.repeat(() => {
      const now = pinLevel(this.#pin);
      if (now === before) return;
      before = now;
      onReadable();
    }, POLL_MS);
  }

  #electrical(value: 0 | 1): 0 | 1 { return (value ^ this.#invert) as 0 | 1; }

  read(): 0 | 1 {
    if (this.#closed) throw new Error("pin is closed");
    return this.#electrical(pinLevel(this.#pin));
  }

  write(value: 0 | 1): void {
    if (this.#closed) throw new Error("pin is closed");
    if (!this.#output) throw new Error("pin is an input");
    setPin(this.#pin, this.#electrical(value ? 1 : 0));
  }

  close(): void {
    if (this.#watch !== undefined) this.#polling.clear(this.#watch);
    this.#watch = undefined;
    this.#closed = true;
  }
}
