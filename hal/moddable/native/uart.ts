/**
 * The native UART: lin/uart.c over termios, esp32/uart.c over the IDF's driver. Callbacks come from
 * the machine's own loop, never from inside a call. The constructor throws where the device cannot
 * be opened or set as asked.
 */
export interface UARTOptions {
  device: string | undefined;
  port: number | undefined;
  receive: number | undefined;
  transmit: number | undefined;
  direction: number | undefined;
  baud: number;
  dataBits: 7 | 8;
  /** 0 none, 1 even, 2 odd. */
  parity: 0 | 1 | 2;
  stopBits: 1 | 2;
  invert: boolean;
  onReadable: (count: number) => void;
  onWritable: (count: number) => void;
  /** The device is gone; nothing follows. */
  onError: (reason: string) => void;
}

export class UART extends Native("vangnet_uart_destructor") {
  constructor(options: UARTOptions) {
    super();
    native<(options: UARTOptions) => void>("vangnet_uart").call(this, options);
  }
  /** All bytes that wait, undefined where there are none. */
  read(): ArrayBuffer | undefined { return native<() => ArrayBuffer | undefined>("vangnet_uart_read").call(this); }
  /** Gives the bytes still free; throws above that. */
  write(data: ArrayBuffer | Uint8Array): number { return native<(data: ArrayBuffer | Uint8Array) => number>("vangnet_uart_write").call(this, data); }
  close(): void { native<() => void>("vangnet_uart_close").call(this); }
}
