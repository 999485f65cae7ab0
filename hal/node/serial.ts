/**
 * Serial over serialport: /dev/ttyUSB0, /dev/serial0, a pty. The line is set to raw, without flow
 * control. `invert` is ignored: USB P1 cables have the inverter built in, and no host UART offers it.
 */
import type { Duplex } from "node:stream";
import { SerialPort } from "serialport";
import type { SerialOptions } from "../ecma419.js";
import { NodeStream } from "./stream.js";

/**
 * A device that is gone reads as end of file without end, which serialport takes for "nothing yet"
 * and tries again at once. So the device is asked for its baud rate now and then: gone, it fails.
 */
const ALIVE_MS = 500;

export class Serial extends NodeStream {
  #closed = false;
  #alive: NodeJS.Timeout | undefined;
  #port: SerialPort | null = null;

  constructor(options: SerialOptions) {
    super(options);
    if (options.device === undefined) throw new Error("serial: device is absent");
    const port = new SerialPort({
      path: options.device,
      baudRate: options.baud,
      dataBits: options.dataBits ?? 8,
      parity: options.parity ?? "none",
      stopBits: options.stopBits ?? 1,
      autoOpen: false,
    });
    this.#port = port;
    this.attach(port);
    // In a turn of its own: serialport reports some failures from within `open`.
    setImmediate(() => {
      if (!this.#closed) port.open((error) => (error ? this.failed(error) : this.#begin(port)));
    });
  }

  #begin(port: SerialPort): void {
    if (this.#closed) return;
    this.#alive = setInterval(() => {
      port.port?.getBaudRate().catch((error: unknown) => this.failed(error));
    }, ALIVE_MS);
    this.opened();
  }

  protected override failed(error: unknown): void {
    clearInterval(this.#alive);
    // At once, whether or not the service closes us: it ends those reads.
    if (this.#port?.isOpen) this.#port.close(() => {});
    super.failed(error);
  }

  protected override dispose(duplex: Duplex): void {
    this.#closed = true;
    clearInterval(this.#alive);
    const port = duplex as SerialPort;
    const end = () => { if (port.isOpen) port.close(() => {}); };
    if (port.opening) port.once("open", end);
    else end();
    port.removeAllListeners("data");
  }
}
