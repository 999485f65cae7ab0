/**
 * A small HTTP server on the ECMA-419 Listener: few connections, each bounded in bytes and time.
 * It checks who asks (Host, Origin, Sec-Fetch-Site) before any route sees the request. Routes: api.ts.
 */
import { HTTP_CONNECTIONS_MAX, HTTP_LISTEN_RETRY_MS, HTTP_TIMEOUT_MS } from "../constants.js";
import type { Listener, Platform, TimerId } from "../../hal/ecma419.js";
import type { Millis } from "../units.js";
import { HttpConnection, type Answer, type ConnectionOwner } from "./http_connection.js";
import { hostAllowed, type HttpFault, type HttpRequest } from "./http_request.js";
import { toJson } from "./json.js";

export type { Answer, ByteSource } from "./http_connection.js";
export type { HttpFault, HttpRequest } from "./http_request.js";

export type Handler = (request: HttpRequest, address: string, answer: (answer: Answer) => void) => void;

export interface HttpOptions {
  platform: Pick<Platform, "Listener" | "TCP" | "timer" | "monotonic">;
  /** 0 = any free one; see `port`. */
  port: number;
  address?: string;
  /** Host names this machine is called by on its network, besides its addresses and localhost. */
  names?: readonly string[];
  handler: Handler;
}

export interface HttpCounters {
  connections: number; requests: number; refused: number; timeouts: number; evicted: number; errors: number; listenFailures: number;
}

const SWEEP_MS = 1_000;

export class HttpServer implements ConnectionOwner {
  readonly #options: HttpOptions;
  readonly TCP: ConnectionOwner["TCP"];
  readonly counters: HttpCounters = { connections: 0, requests: 0, refused: 0, timeouts: 0, evicted: 0, errors: 0, listenFailures: 0 };
  #listener: Listener | null = null;
  #connections: HttpConnection[] = [];
  #sweep: TimerId | undefined;
  #retry: TimerId | undefined;
  #closed = false;

  constructor(options: HttpOptions) {
    this.#options = options;
    this.TCP = options.platform.TCP;
    this.#listen();
  }

  /** 0 while there is none. */
  get port(): number { return this.#listener?.port ?? 0; }
  get open(): number { return this.#connections.length; }

  monotonic(): Millis { return this.#options.platform.monotonic(); }

  close(): void {
    this.#closed = true;
    const { timer } = this.#options.platform;
    timer.clear(this.#retry);
    timer.clear(this.#sweep);
    this.#sweep = undefined;
    this.#listener?.close();
    this.#listener = null;
    for (const connection of [...this.#connections]) connection.end();
  }

  /** A Listener throws where there is no network yet: tried again, never a reason to fall over. */
  #listen(): void {
    if (this.#closed) return;
    const { platform, port, address } = this.#options;
    const failed = (): void => {
      if (this.#closed || this.#retry !== undefined) return;
      this.counters.listenFailures++;
      this.#listener?.close();
      this.#listener = null;
      this.#retry = platform.timer.set(() => { this.#retry = undefined; this.#listen(); }, HTTP_LISTEN_RETRY_MS);
    };
    try {
      this.#listener = new platform.Listener({
        port, ...(address === undefined ? {} : { address }), onReadable: () => this.#accept(), onError: failed,
      });
    } catch {
      failed();
    }
  }

  #accept(): void {
    for (let from = this.#listener?.read(); from !== undefined; from = this.#listener?.read()) {
      if (this.#connections.length >= HTTP_CONNECTIONS_MAX && !this.#evict()) {
        from.close();
        continue;
      }
      this.counters.connections++;
      try {
        this.#connections.push(new HttpConnection(this, from));
      } catch {
        this.counters.errors++;
        continue;
      }
      this.#sweep ??= this.#options.platform.timer.repeat(() => this.#expire(), SWEEP_MS);
    }
  }

  /**
   * Makes room: the oldest idle connection goes, then the oldest whose request is not whole yet (an
   * honest one takes milliseconds), then one that has been written to for longer than the timeout.
   */
  #evict(): boolean {
    const now = this.monotonic();
    const oldest = (test: (connection: HttpConnection) => boolean): HttpConnection | null => {
      let found: HttpConnection | null = null;
      for (const one of this.#connections) if (test(one) && (found === null || one.since < found.since)) found = one;
      return found;
    };
    const victim = oldest(({ idle, state }) => idle || state === "linger") ?? oldest(({ state }) => state === "request")
      ?? oldest(({ since }) => now - since > HTTP_TIMEOUT_MS);
    if (victim === null) return false;
    this.counters.evicted++;
    victim.end();
    return true;
  }

  #expire(): void {
    const now = this.monotonic();
    for (const connection of [...this.#connections]) connection.expire(now);
  }

  // ---- for HttpConnection ----

  handle(request: HttpRequest, address: string, answer: (answer: Answer) => void): void {
    this.counters.requests++;
    const fault = this.#stranger(request);
    if (fault !== null) return answer(this.refused(fault));
    this.#options.handler(request, address, answer);
  }

  refused(fault: HttpFault): Answer {
    this.counters.refused++;
    return problem(fault);
  }

  gone(connection: HttpConnection): void {
    this.#connections = this.#connections.filter((one) => one !== connection);
    if (this.#connections.length > 0) return;
    this.#options.platform.timer.clear(this.#sweep);
    this.#sweep = undefined;
  }

  #stranger({ host, origin, fetchSite, path }: HttpRequest): HttpFault | null {
    if (!hostAllowed(host, this.#options.names ?? [])) return { status: 403, rule: "host" };
    if (origin !== null && origin.toLowerCase() !== `http://${host.toLowerCase()}`) return { status: 403, rule: "origin" };
    // A link from another site to the page is harmless; its scripts and images asking our API are not.
    if (path !== "/" && fetchSite !== null && fetchSite !== "same-origin" && fetchSite !== "none") return { status: 403, rule: "cross_site" };
    return null;
  }
}

/** An error as JSON that names the rule. */
export function problem({ status, rule }: HttpFault, headers: readonly string[] = []): Answer {
  return json({ error: rule }, status, headers);
}

export function json(value: unknown, status = 200, headers: readonly string[] = []): Answer {
  return { status, type: "application/json", body: new TextEncoder().encode(toJson(value)), headers };
}
