/**
 * A listening TCP port over the SDK's. It always listens on every interface: "127.0.0.1" is kept by
 * turning other peers away, and another address cannot be kept, so it is refused.
 */
import SDKListener from "embedded:io/socket/listener";
import type { Listener as ListenerInterface, ListenerOptions, TCPStream } from "../ecma419.js";
import { guarded, type Log } from "./guard.js";
import { TCP, Waiting } from "./tcp.js";
import { later } from "./timer.js";

const LOOPBACK = "127.0.0.1";

export class Listener implements ListenerInterface {
  readonly #log: Log;
  readonly #loopback: boolean;
  #listener: SDKListener | null = null;
  #closed = false;

  constructor(options: ListenerOptions, log: Log) {
    this.#log = log;
    this.#loopback = options.address === LOOPBACK;
    try {
      if (options.address !== undefined && !this.#loopback && options.address !== "0.0.0.0") throw new Error(`${options.address}: this board listens on all addresses or on ${LOOPBACK}`);
      const onReadable = guarded(log, "listener", options.onReadable);
      this.#listener = new SDKListener({ port: options.port, onReadable: (count: number) => { if (!this.#closed) onReadable(count); } });
    } catch (error) {
      later(log, () => { if (!this.#closed) options.onError?.(error); });
    }
  }

  read(): TCPStream | undefined {
    for (;;) {
      const socket = this.#listener?.read();
      if (socket === undefined || socket === null) return undefined;
      if (!this.#loopback || socket.remoteAddress?.startsWith("127.")) return new TCP({ waiting: new Waiting(socket) }, this.#log);
      socket.close();
    }
  }

  get port(): number { return this.#listener?.port ?? 0; }

  close(): void {
    const listener = this.#listener as (SDKListener & { close(): void }) | null;
    this.#closed = true;
    this.#listener = null;
    if (listener !== null) later(this.#log, () => listener.close());
  }
}
