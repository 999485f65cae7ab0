/** Serial over our own native UART: the SDK's knows neither parity nor inversion nor RS485, and its ESP32 driver keeps 128 bytes. */
import type { Bytes, SerialOptions } from "../ecma419.js";
import type { Log } from "./guard.js";
import { UART } from "./native/uart.js";
import { DriverStream } from "./stream.js";

const PARITY = { none: 0, even: 1, odd: 2 } as const;

export class Serial extends DriverStream {
  constructor(options: SerialOptions, log: Log) {
    super(options, log);
    this.open((callbacks) => {
      const uart = new UART({
        device: options.device, port: options.port, receive: options.receive, transmit: options.transmit, direction: options.direction,
        baud: options.baud, dataBits: options.dataBits ?? 8, parity: PARITY[options.parity ?? "none"], stopBits: options.stopBits ?? 1, invert: options.invert ?? false,
        onReadable: callbacks.onReadable, onWritable: callbacks.onWritable, onError: (reason) => callbacks.onError(new Error(reason)),
      });
      return { read: () => uart.read(), write: (data: Bytes) => uart.write(data), close: () => uart.close() };
    });
  }
}
