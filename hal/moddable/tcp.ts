/**
 * TCP over the SDK's embedded:io/socket/tcp, which takes IPv4 addresses only: names are resolved
 * first. A dead host or name, or no network at all, is an onError, later.
 */
import SDKTCP from "embedded:io/socket/tcp";
import Net from "net";
import type { Bytes, TCPOptions, TCPStream } from "../ecma419.js";
import type { Log } from "./guard.js";
import { DriverStream, type Driver, type DriverCallbacks } from "./stream.js";

/** A connection as the SDK's listener gave it: nobody reads it yet. */
export class Waiting {
  readonly socket: SDKTCP;
  constructor(socket: SDKTCP) { this.socket = socket; }
}

export class TCP extends DriverStream implements TCPStream {
  #waiting: Waiting | null = null;
  #socket: SDKTCP | null = null;

  constructor(options: TCPOptions | { waiting: Waiting }, log: Log) {
    super("waiting" in options ? {} : options, log);
    if ("waiting" in options) {
      this.#waiting = options.waiting;
      return;
    }
    const { from } = options;
    if (from === undefined) {
      this.connect(options);
      return;
    }
    if (!(from instanceof TCP) || from.#waiting === null) throw new Error("from: not a connection that a Listener gave");
    const { socket } = from.#waiting;
    from.#waiting = null;
    this.open((callbacks) => this.socketOf({ from: socket }, options, callbacks));
  }

  protected connect(options: TCPOptions): void {
    const host = options.address ?? options.host ?? "";
    const connect = (address: string) => this.open((callbacks) => this.socketOf({ address, port: options.port ?? 0 }, options, callbacks));
    if (isIPv4(host)) return connect(host);
    // RFC 6761, 6.3. The resolver's first answer may be ::1, which the SDK drops.
    if (host === "localhost") return connect("127.0.0.1");
    try {
      Net.resolve(host, (_name: string, address: string | undefined) => {
        if (address === undefined) this.failed(new Error(`${host}: unknown name`));
        else connect(address);
      });
    } catch (error) {
      this.failedLater(error);
    }
  }

  protected socketOf(target: { from: SDKTCP } | { address: string; port: number }, options: TCPOptions, callbacks: DriverCallbacks): Driver {
    const socket = new SDKTCP({ ...target, nodelay: options.noDelay ?? true, format: "buffer", ...callbacks } as ConstructorParameters<typeof SDKTCP>[0]);
    this.#socket = socket;
    return socketDriver(socket);
  }

  override close(): void {
    super.close();
    this.#waiting?.socket.close();
    this.#waiting = null;
    this.#socket = null;
  }

  get remoteAddress(): string | undefined { return this.#socket?.remoteAddress ?? this.#waiting?.socket.remoteAddress; }
  get remotePort(): number | undefined { return this.#socket?.remotePort ?? this.#waiting?.socket.remotePort; }
}

/** The SDK's read() throws where asked for more than there is, and gives undefined where there is nothing. */
export const socketDriver = (socket: SDKTCP): Driver => ({
  read: () => socket.read() as ArrayBuffer | undefined,
  // The typings know no result; SDK 8.2 gives what is still free.
  write: (data: Bytes) => socket.write(data) as unknown as number | undefined,
  close: () => socket.close(),
});

export function isIPv4(text: string): boolean {
  const parts = text.split(".");
  return parts.length === 4 && parts.every((part) => {
    const value = Number(part);
    return part.length > 0 && part.length <= 3 && Number.isInteger(value) && value >= 0 && value <= 255;
  });
}
