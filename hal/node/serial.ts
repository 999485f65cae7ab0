/**
 * Serial over serialport: /dev/ttyUSB0, /dev/serial0, a pty. The line is set to raw, without flow
 * control. `invert` is ignored: USB P1 cables have the inverter built in, and no host UART offers it.
 */
import type { Duplex } from "node:stream";
import { SerialPort } from "serialport";
import type { SerialOptions } from "../ecma419.js";
import { NodeStream } from "./stream.js";

export class Serial extends NodeStream {
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
    this.attach(port);
    // In a turn of its own: serialport reports some failures from within `open`.
    setImmediate(() => port.destroyed || port.open((error) => (error ? this.failed(error) : this.opened())));
  }

  protected override dispose(duplex: Duplex): void {
    const port = duplex as SerialPort;
    const end = () => { if (port.isOpen) port.close(() => {}); };
    if (port.opening) port.once("open", end);
    else end();
    port.removeAllListeners("data");
  }
}
