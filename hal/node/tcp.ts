/** TCP over node:net. Names are resolved by the host; a dead host or name is an onError, later. */
import type { Socket } from "node:net";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import type { TCPOptions, TCPStream } from "../ecma419.js";
import { NodeStream } from "./stream.js";

/** How long a closed connection may take to hand its last bytes to the peer. */
const LINGER_MS = 5_000;

/** A connection as the Listener found it: paused, nothing read, errors kept for whoever takes it. */
export class Waiting {
  readonly socket: Socket;
  failure: unknown = null;
  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("error", (error) => { this.failure = error; });
  }
}

export class TCP extends NodeStream implements TCPStream {
  #socket: Socket | null;
  #waiting: Waiting | null = null;

  constructor(options: TCPOptions | { waiting: Waiting }) {
    super("waiting" in options ? {} : options);
    if ("waiting" in options) {
      this.#waiting = options.waiting;
      this.#socket = options.waiting.socket;
      return;
    }
    const from = options.from;
    if (from !== undefined) {
      if (!(from instanceof TCP) || !from.#waiting) throw new Error("from: not a connection that a Listener gave");
      this.#socket = this.#adopt(from.#waiting, options);
      from.#waiting = null;
      from.#socket = null;
      return;
    }
    this.#socket = this.open(options);
  }

  #adopt(waiting: Waiting, options: TCPOptions): Socket {
    const socket = waiting.socket;
    if (options.noDelay ?? true) socket.setNoDelay(true);
    this.attach(socket);
    setImmediate(() => {
      if (waiting.failure !== null || socket.destroyed) this.failed(waiting.failure ?? new Error("closed"));
      else {
        this.opened();
        socket.resume();
      }
    });
    return socket;
  }

  /** Connects; null where the options themselves are refused, which is said by onError. */
  protected open(options: TCPOptions): Socket | null {
    return this.attempt(() => {
      const socket = connect({ host: options.address ?? options.host ?? "", port: options.port ?? 0, noDelay: options.noDelay ?? true });
      socket.once("connect", () => this.opened());
      return socket;
    });
  }

  protected attempt(make: () => Socket): Socket | null {
    try {
      const socket = make();
      this.attach(socket);
      return socket;
    } catch (error) {
      setImmediate(() => this.failed(error));
      return null;
    }
  }

  protected override dispose(duplex: Duplex): void {
    finish(duplex as Socket);
  }

  override close(): void {
    super.close();
    if (this.#waiting) finish(this.#waiting.socket);
    this.#waiting = null;
    this.#socket = null;
  }

  get remoteAddress(): string | undefined {
    return this.#socket?.remoteAddress;
  }
  get remotePort(): number | undefined {
    return this.#socket?.remotePort;
  }
}

/** What was written still goes out, but not for ever. */
function finish(socket: Socket): void {
  if (socket.connecting || socket.writableLength === 0) {
    // Half-closing first gives the peer a FIN and not a reset where it has more to say.
    if (socket.connecting) socket.destroy();
    else socket.destroySoon();
    return;
  }
  const late = setTimeout(() => socket.destroy(), LINGER_MS);
  late.unref();
  socket.once("close", () => clearTimeout(late));
  socket.destroySoon();
}
