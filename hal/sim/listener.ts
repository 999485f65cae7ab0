import type { Listener, ListenerOptions, TCPStream } from "../ecma419.js";
import type { Link } from "./link.js";
import type { SimPlatform } from "./platform.js";
import { Side, SimTCP } from "./tcp.js";

/** As hal/node: connections that wait to be read; more are refused. */
const BACKLOG_MAX = 16;

export class SimListener implements Listener {
  readonly #platform: SimPlatform;
  #options: ListenerOptions | null;
  #waiting: Side[] = [];
  #announcing = false;
  readonly port: number;

  constructor(platform: SimPlatform, options: ListenerOptions) {
    this.#platform = platform;
    this.#options = options;
    this.port = options.port === 0 ? platform.world.ephemeralPort() : options.port;
    if (platform.listeners.has(this.port)) {
      // As the kernel: the port stays with who has it, and this Listener is dead.
      platform.post(() => this.#options?.onError?.(new Error(`port ${this.port} is in use`)));
      return;
    }
    platform.listeners.set(this.port, this);
  }

  /** Null: refused. */
  accept(link: Link): Side | null {
    if (!this.#options || this.#waiting.length >= BACKLOG_MAX) return null;
    const side = new Side(this.#platform, link, this.port);
    this.#waiting.push(side);
    if (!this.#announcing) {
      this.#announcing = true;
      this.#platform.post(() => {
        this.#announcing = false;
        if (this.#waiting.length > 0) this.#options?.onReadable?.(this.#waiting.length);
      });
    }
    return side;
  }

  read(): TCPStream | undefined {
    const side = this.#waiting.shift();
    return side && new SimTCP(this.#platform, { side });
  }

  close(): void {
    this.#options = null;
    if (this.#platform.listeners.get(this.port) === this) this.#platform.listeners.delete(this.port);
    for (const side of this.#waiting) side.close();
    this.#waiting = [];
  }
}
