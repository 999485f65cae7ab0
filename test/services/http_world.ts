/** The HTTP server over real sockets, and clients: one that behaves, one that sends whatever bytes. */
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { connect } from "node:net";
import { monotonicClock } from "../../hal/node/clock.js";
import { sha256 } from "../../hal/node/crypto.js";
import { Listener } from "../../hal/node/listener.js";
import { TCP } from "../../hal/node/tcp.js";
import { nodeTimer } from "../../hal/node/timer.js";
import { makeApi, type ApiOptions } from "../../src/services/api.js";
import { HttpServer, type ByteSource, type HttpOptions } from "../../src/services/http_server.js";
import { until } from "./mqtt_world.js";

export interface Reply { status: number; headers: IncomingHttpHeaders; text: string }

export async function realServer(api: Partial<ApiOptions> = {}, options: Partial<HttpOptions> = {}) {
  const timer = nodeTimer();
  const monotonic = monotonicClock();
  const server = new HttpServer({
    platform: { Listener, TCP, timer, monotonic }, port: 0, address: "127.0.0.1", names: ["vangnet.local"],
    handler: makeApi({
      monotonic, sha256, status: () => "{}", evidence: () => pieces([]), cap: (_bytes, respond) => respond({ kind: "accepted" }), keys: (_bytes, respond) => respond({ kind: "accepted" }), ...api,
    }),
    ...options,
  });
  await until(() => server.port > 0, "listening");
  return {
    server, port: server.port, base: `http://127.0.0.1:${server.port}`,
    ask: (path: string, given: { method?: string; headers?: Record<string, string>; body?: Uint8Array | string } = {}) => ask(server.port, path, given),
    raw: (bytes: string | Uint8Array, wait?: number) => raw(server.port, bytes, wait),
    close() { server.close(); timer.clearAll(); },
  };
}

export function pieces(parts: string[]): ByteSource {
  let at = 0;
  return { length: null, next: () => (at < parts.length ? new TextEncoder().encode(parts[at++]) : null), close: () => {} };
}

function ask(port: number, path: string, { method = "GET", headers = {}, body = "" }: { method?: string; headers?: Record<string, string>; body?: Uint8Array | string }): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ host: "127.0.0.1", port, path, method, headers, agent: false }, (reply) => {
      let text = "";
      reply.setEncoding("utf8");
      reply.on("data", (part: string) => { text += part; });
      reply.on("end", () => resolve({ status: reply.statusCode ?? 0, headers: reply.headers, text }));
      reply.on("error", reject);
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

/** Sends the bytes as they are; gives the first whole answer, or with `wait` all until the server closes or that many ms. */
function raw(port: number, bytes: string | Uint8Array, wait?: number): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const socket = connect(port, "127.0.0.1", () => { socket.write(bytes); });
    const done = (): void => { clearTimeout(late); socket.destroy(); resolve(text); };
    const late = setTimeout(done, wait ?? 5_000);
    socket.on("data", (part) => {
      text += part.toString("latin1");
      const length = /Content-Length: (\d+)/.exec(text);
      const head = text.indexOf("\r\n\r\n");
      if (wait === undefined && length && head > 0 && text.length >= head + 4 + Number(length[1])) done();
    });
    socket.on("end", done);
    socket.on("error", done);
  });
}
