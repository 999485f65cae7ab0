/** A listening TCP port over node:net. `port` is 0 until the kernel has given one (the next turn). */
import { createServer, type Server } from "node:net";
import type { Listener as ListenerInterface, ListenerOptions, TCPStream } from "../ecma419.js";
import { TCP, Waiting } from "./tcp.js";

/** Connections that wait to be read; more are refused. */
export const BACKLOG_MAX = 16;

export class Listener implements ListenerInterface {
  #server: Server | null;
  #waiting: Waiting[] = [];
  #port = 0;

  constructor(options: ListenerOptions) {
    const server = createServer({ pauseOnConnect: true, noDelay: true }, (socket) => {
      if (this.#server === null || this.#waiting.length >= BACKLOG_MAX) {
        socket.on("error", () => {});
        socket.destroy();
        return;
      }
      this.#waiting.push(new Waiting(socket));
      options.onReadable?.(this.#waiting.length);
    });
    this.#server = server;
    server.on("error", (error) => {
      if (this.#server === null) return;
      this.#server = null;
      server.close();
      options.onError?.(error);
    });
    const address = options.address;
    server.listen({ port: options.port, ...(address === undefined ? {} : { host: address }) }, () => this.#bound());
    this.#bound();
  }

  #bound(): void {
    const address = this.#server?.address();
    if (address && typeof address === "object") this.#port = address.port;
  }

  read(): TCPStream | undefined {
    const waiting = this.#waiting.shift();
    return waiting && new TCP({ waiting });
  }

  get port(): number {
    return this.#port;
  }

  close(): void {
    const server = this.#server;
    this.#server = null;
    server?.close();
    for (const { socket } of this.#waiting) socket.destroy();
    this.#waiting = [];
  }
}
