/** The HTTP server: over real sockets with clients good and bad, and in virtual time for its deadlines. */
import { connect, type Socket } from "node:net";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { sha256 } from "../../hal/node/crypto.js";
import type { TCPStream } from "../../hal/ecma419.js";
import { SimWorld } from "../../hal/sim/world.js";
import {
  HTTP_BAD_POSTS_MAX, HTTP_BAD_POST_FORGIVEN_MS, HTTP_BODY_BYTES_MAX, HTTP_CONNECTIONS_MAX, HTTP_HEADER_BYTES_MAX, HTTP_LINE_BYTES_MAX,
  HTTP_LISTEN_RETRY_MS, HTTP_TIMEOUT_MS,
} from "../../src/constants.js";
import { makeApi, type ApiOptions, type PostOutcome } from "../../src/services/api.js";
import { HttpServer } from "../../src/services/http_server.js";
import { hostAllowed, RequestReader } from "../../src/services/http_request.js";
import { evidenceStream } from "../../src/services/evidence_stream.js";
import { pieces, realServer } from "./http_world.js";
import { until } from "./mqtt_world.js";
import { runs } from "./runs.js";

const opened: { close(): void }[] = [];
afterEach(() => { for (const one of opened.splice(0)) one.close(); });
async function house(...given: Parameters<typeof realServer>) {
  const one = await realServer(...given);
  opened.push(one);
  return one;
}
const CWT = { "Content-Type": "application/cwt" };
const rule = (text: string): string => (JSON.parse(text) as { error: string }).error;

describe("routes", () => {
  test("status, page and evidence, with headers that keep other sites out", async () => {
    const h = await house({ status: () => '{"net":1}', evidence: (from, format) => pieces([`${from}`, ` ${format}`]) });
    const status = await h.ask("/api/status");
    expect(status).toMatchObject({ status: 200, text: '{"net":1}' });
    expect(status.headers).toMatchObject({
      "content-type": "application/json", "cache-control": "no-store", "x-content-type-options": "nosniff", "x-frame-options": "DENY",
      "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    });
    const page = await h.ask("/");
    expect(page.headers["content-security-policy"]).toMatch(/script-src 'sha256-[A-Za-z0-9+/]{43}='; .*frame-ancestors 'none'/);
    expect(page.text).toMatch(/^<!doctype html>[\s\S]*<\/html>\n$/);
    expect(page.text.length).toBe(Number(page.headers["content-length"]));
    const evidence = await h.ask("/api/evidence?from=12&format=csv");
    expect(evidence).toMatchObject({ status: 200, text: "12 csv" });
    expect(evidence.headers).toMatchObject({ "transfer-encoding": "chunked", "content-type": "text/csv; charset=utf-8" });
    expect((await h.ask("/api/evidence")).text).toBe("0 json");
    for (const query of ["from=-1", "from=1e3", "format=xml", "x=1", "from="]) {
      const bad = await h.ask(`/api/evidence?${query}`);
      expect([bad.status, rule(bad.text)], query).toEqual([400, "query"]);
    }
    expect(rule((await h.ask("/api/nothing")).text)).toBe("path");
    expect((await h.ask("/api/status", { method: "POST", headers: CWT, body: "x" })).headers.allow).toBe("GET, HEAD");
    expect((await h.ask("/api/cap")).headers.allow).toBe("POST");
  });

  test("HEAD gives the headers of GET and no body", async () => {
    const h = await house();
    const get = await h.ask("/");
    const head = await h.ask("/", { method: "HEAD" });
    expect(head).toMatchObject({ status: 200, text: "" });
    expect(head.headers["content-length"]).toBe(get.headers["content-length"]);
  });

  test.each<[PostOutcome, number, object]>([
    [{ kind: "accepted" }, 200, { result: "accepted" }], [{ kind: "repeat" }, 200, { result: "repeat" }],
    [{ kind: "refused", rule: "signature" }, 422, { error: "signature" }], [{ kind: "refused", rule: "busy" }, 503, { error: "busy" }],
  ])("POST /api/cap: %j", async (outcome, status, body) => {
    const tokens: Uint8Array[] = [];
    // Signatures are checked on a later turn.
    const h = await house({ cap: (bytes, respond) => { tokens.push(bytes); setTimeout(() => { respond(outcome); respond({ kind: "accepted" }); }, 5); } });
    const token = Uint8Array.from({ length: 720 }, (_, i) => (i * 31) & 0xff);
    const reply = await h.ask("/api/cap", { method: "POST", headers: CWT, body: token });
    expect(reply.status).toBe(status);
    expect(JSON.parse(reply.text)).toEqual(body);
    expect(tokens).toEqual([token]);
  });

  test.each<[PostOutcome, number, object]>([
    [{ kind: "accepted" }, 200, { result: "accepted" }], [{ kind: "refused", rule: "sequence" }, 422, { error: "sequence" }], [{ kind: "refused", rule: "store" }, 503, { error: "store" }],
  ])("POST /api/keys: %j", async (outcome, status, body) => {
    const sets: Uint8Array[] = [];
    const h = await house({ keys: (bytes, respond) => { sets.push(bytes); respond(outcome); }, cap: () => { throw new Error("not a cap"); } });
    const set = new Uint8Array(HTTP_BODY_BYTES_MAX).fill(7);
    const post = (headers: Record<string, string>) => h.ask("/api/keys", { method: "POST", headers, body: set });
    const reply = await post({ "Content-Type": "application/cose; cose-type=\"cose-sign1\"" });
    expect([reply.status, JSON.parse(reply.text)]).toEqual([status, body]);
    expect((await post(CWT)).status).toBe(415);
    expect((await h.ask("/api/keys")).headers.allow).toBe("POST");
    expect(sets).toEqual([set]);
  });

  test("refused sets and refused tokens count together", async () => {
    const refused = (_bytes: Uint8Array, respond: (outcome: PostOutcome) => void) => respond({ kind: "refused", rule: "kid" });
    const h = await house({ cap: refused, keys: refused });
    for (let i = 0; i < HTTP_BAD_POSTS_MAX; i++) {
      const [path, type] = i % 2 === 0 ? ["/api/cap", "application/cwt"] as const : ["/api/keys", "application/cose"] as const;
      expect((await h.ask(path, { method: "POST", headers: { "Content-Type": type }, body: "x" })).status).toBe(422);
    }
    for (const [path, type] of [["/api/cap", "application/cwt"], ["/api/keys", "application/cose"]] as const) {
      expect((await h.ask(path, { method: "POST", headers: { "Content-Type": type }, body: "x" })).status).toBe(429);
    }
  });

  test("POST /api/cap refuses other types, empty and too long bodies before the token is looked at", async () => {
    let asked = 0;
    const h = await house({ cap: () => { asked++; } });
    const post = async (headers: Record<string, string>, body: Uint8Array) => { const { status, text } = await h.ask("/api/cap", { method: "POST", headers, body }); return [status, rule(text)]; };
    expect(await post({ "Content-Type": "text/plain" }, Uint8Array.of(1))).toEqual([415, "content_type"]);
    expect(await post({ "Content-Type": "application/x-www-form-urlencoded" }, Uint8Array.of(1))).toEqual([415, "content_type"]);
    expect(await post({}, Uint8Array.of(1))).toEqual([415, "content_type"]);
    expect(await post(CWT, new Uint8Array(0))).toEqual([400, "empty"]);
    expect(await post(CWT, new Uint8Array(HTTP_BODY_BYTES_MAX + 1))).toEqual([413, "body_too_long"]);
    expect(asked).toBe(0);
  });

  test("a route that throws is a 500, and the next request is served", async () => {
    let broken = true;
    const h = await house({ status: () => { if (broken) throw new Error("boom"); return "{}"; } });
    const reply = await h.ask("/api/status");
    expect([reply.status, rule(reply.text)]).toEqual([500, "internal"]);
    expect(reply.text).not.toContain("boom");
    broken = false;
    expect((await h.ask("/api/status")).status).toBe(200);
  });

  test("evidence that cannot be read on is cut off, so that it is not taken for whole", async () => {
    let closed = 0;
    let count = 0;
    const h = await house({ evidence: () => ({ length: null, next: () => { if (count++ === 3) throw new Error("medium"); return Uint8Array.of(65); }, close: () => { closed++; } }) });
    await expect(h.ask("/api/evidence")).rejects.toThrow();
    expect(closed).toBe(1);
  });

  test("24 MB of evidence reach a slow reader whole, made as it reads", async () => {
    const piece = new Uint8Array(8_000);
    let given = 0;
    const h = await house({ evidence: () => ({ length: null, next: () => (given < 3_000 ? (given++, piece) : null), close: () => {} }) });
    const socket = connect(h.port, "127.0.0.1");
    socket.write("GET /api/evidence HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    socket.pause();
    await new Promise((resolve) => setTimeout(resolve, 300));
    const ahead = given;
    expect(ahead).toBeGreaterThan(0);
    expect(ahead).toBeLessThan(3_000); // the kernel's buffers take some megabytes
    let bytes = 0;
    let tail = "";
    socket.on("data", (part) => { bytes += part.length; tail = (tail + part.toString("latin1")).slice(-5); });
    socket.resume();
    await until(() => tail === "0\r\n\r\n", "the last chunk");
    expect(bytes).toBeGreaterThan(24_000_000);
    socket.destroy();
  });

  test("the evidence stream is one JSON document, or CSV with every cell quoted right", () => {
    const record = (n: number, data: string) => ({ n, t: n === 1 ? null : 1_767_225_600, up: 5, type: "cap", data, hash: Uint8Array.of(0xab) });
    const collect = (format: "json" | "csv", records: ReturnType<typeof record>[]): string => {
      const source = evidenceStream(records[Symbol.iterator]() as Iterator<ReturnType<typeof record>, void>, format);
      let text = "";
      for (let piece = source.next(); piece !== null; piece = source.next()) text += new TextDecoder().decode(piece);
      source.close();
      return text;
    };
    const records = [record(1, '{"a":"x,\\"y"}'), record(2, '{"b":0}'), record(3, "=damage")];
    expect(JSON.parse(collect("json", records))).toEqual({ vangnet: "evidence", version: 1, records: [
      { n: 1, t: null, utc: null, up: 5, type: "cap", data: { a: 'x,"y' }, hash: "ab" },
      { n: 2, t: 1_767_225_600, utc: "2026-01-01T00:00:00Z", up: 5, type: "cap", data: { b: 0 }, hash: "ab" },
      { n: 3, t: 1_767_225_600, utc: "2026-01-01T00:00:00Z", up: 5, type: "cap", data: "=damage", hash: "ab" },
    ] });
    expect(JSON.parse(collect("json", []))).toEqual({ vangnet: "evidence", version: 1, records: [] });
    expect(collect("csv", records).split("\r\n")).toEqual([
      "n,utc,up_ms,type,data,hash", '1,,5,cap,"{""a"":""x,\\""y""}",ab', '2,2026-01-01T00:00:00Z,5,cap,"{""b"":0}",ab',
      '3,2026-01-01T00:00:00Z,5,cap,"\'=damage",ab', "",
    ]);
    expect(collect("csv", [])).toBe("n,utc,up_ms,type,data,hash\r\n");
  });
});

describe("strangers", () => {
  test("DNS rebinding: a name that is not ours is refused, whatever is asked", async () => {
    const h = await house();
    for (const path of ["/", "/api/status", "/api/evidence", "/nothing"]) {
      const reply = await h.ask(path, { headers: { Host: "evil.example" } });
      expect([reply.status, rule(reply.text)], path).toEqual([403, "host"]);
    }
    for (const Host of ["localhost", "127.0.0.1", "192.168.1.20:8080", "[::1]:80", "vangnet.local", "VANGNET.local:80"]) {
      expect((await h.ask("/api/status", { headers: { Host } })).status, Host).toBe(200);
    }
  });

  test.each([
    ["", false], [":80", false], ["1.2.3", false], ["1.2.3.256", false], ["1.2.3.4.5", false], ["1.2.3.4.evil.example", false], ["localhost.evil.example", false],
    ["localhost@evil.example", false], ["[::1", false], ["[]", false], ["[evil::x]", false], ["localhost:80x", false], ["localhost:", false], ["0x7f.0.0.1", false],
    ["10.0.0.1", true], ["[fe80::1]", true], ["localhost:8080", true],
  ])("host %s: %s", (host, allowed) => { expect(hostAllowed(host, ["vangnet.local"])).toBe(allowed); });

  test("another origin is refused for every method; our own is not", async () => {
    let asked = 0;
    const h = await house({ cap: (_bytes, respond) => { asked++; respond({ kind: "accepted" }); } });
    for (const Origin of ["http://evil.example", "null", `https://127.0.0.1:${h.port}`, `http://127.0.0.1:${h.port + 1}`, "http://127.0.0.1"]) {
      for (const method of ["GET", "HEAD", "POST"]) {
        const reply = await h.ask(method === "POST" ? "/api/cap" : "/api/status", { method, headers: { Origin, ...(method === "POST" ? CWT : {}) }, ...(method === "POST" ? { body: "x" } : {}) });
        expect(reply.status, `${method} ${Origin}`).toBe(403);
        if (method !== "HEAD") expect(rule(reply.text)).toBe("origin");
      }
    }
    expect(asked).toBe(0);
    expect((await h.ask("/api/cap", { method: "POST", headers: { Origin: h.base, ...CWT }, body: "x" })).status).toBe(200);
  });

  test("a browser's word that another site asks is enough; a link to the page is not an attack", async () => {
    const h = await house();
    for (const site of ["cross-site", "same-site"]) {
      expect(rule((await h.ask("/api/status", { headers: { "Sec-Fetch-Site": site } })).text)).toBe("cross_site");
      expect((await h.ask("/", { headers: { "Sec-Fetch-Site": site } })).status).toBe(200);
    }
    for (const site of ["same-origin", "none"]) expect((await h.ask("/api/status", { headers: { "Sec-Fetch-Site": site } })).status).toBe(200);
  });
});

describe("requests that are not quite HTTP", () => {
  const get = "GET /api/status HTTP/1.1\r\nHost: localhost\r\n";
  const post = "POST /api/cap HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/cwt\r\n";
  test.each<[string, string, number, string]>([
    ["no Host", "GET / HTTP/1.1\r\n\r\n", 400, "host_missing"],
    ["two Hosts", `${get}Host: evil.example\r\n\r\n`, 400, "host_twice"],
    ["bare LF", "GET / HTTP/1.1\nHost: localhost\n\n", 400, "line_end"],
    ["bare CR", "GET / HTTP/1.1\rHost: localhost\r\n\r\n", 400, "line_end"],
    ["a folded header", `${get} folded\r\n\r\n`, 400, "header_name"],
    ["a space before the colon", `${get}Content-Length : 0\r\n\r\n`, 400, "header_name"],
    ["no colon", `${get}nothing\r\n\r\n`, 400, "header_name"],
    ["NUL", `${get}X: a\0b\r\n\r\n`, 400, "control_character"],
    ["other methods", "DELETE /api/cap HTTP/1.1\r\nHost: localhost\r\n\r\n", 501, "method"],
    ["HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "version"],
    ["HTTP/0.9", "GET /\r\n\r\n", 400, "request_line"],
    ["an absolute target", "GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "target"],
    ["TLS to a plain port", "\x16\x03\x01\x02\x00\x01\x00", 400, "control_character"],
    ["a body with GET", `${get}Content-Length: 3\r\n\r\nabc`, 400, "body_not_expected"],
    ["chunked", `${post}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n`, 501, "transfer_encoding"],
    ["both lengths", `${post}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na`, 501, "transfer_encoding"],
    ["two lengths", `${post}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`, 400, "content_length"],
    ["a signed length", `${post}Content-Length: +1\r\n\r\na`, 400, "content_length"],
    ["a list of lengths", `${post}Content-Length: 1, 1\r\n\r\na`, 400, "content_length"],
    ["no length", `${post}\r\n`, 411, "content_length_missing"],
    ["an expectation", `${post}Content-Length: 1\r\nExpect: 100-continue\r\n\r\n`, 417, "expect"],
    ["a huge length", `${post}Content-Length: 999999999\r\n\r\n`, 413, "body_too_long"],
    ["an endless length", `${post}Content-Length: 9999999999999999999\r\n\r\n`, 400, "content_length"],
    ["a long request line", `GET /${"a".repeat(HTTP_LINE_BYTES_MAX)} HTTP/1.1\r\nHost: localhost\r\n\r\n`, 414, "request_line_too_long"],
    ["a long Host", `GET / HTTP/1.1\r\nHost: ${"a".repeat(HTTP_LINE_BYTES_MAX)}\r\n\r\n`, 431, "header_too_long"],
    ["endless headers", `${get}${"X: y\r\n".repeat(HTTP_HEADER_BYTES_MAX / 6)}\r\n`, 431, "headers_too_long"],
    ["one endless header", `${get}Cookie: ${"a".repeat(HTTP_HEADER_BYTES_MAX)}\r\n\r\n`, 431, "headers_too_long"],
  ])("%s", async (_name, bytes, status, words) => {
    const h = await house();
    const reply = await h.raw(bytes);
    expect(reply).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(reply).toContain("Connection: close");
    expect(rule(reply.slice(reply.indexOf("\r\n\r\n") + 4))).toBe(words);
    expect((await h.ask("/api/status")).status).toBe(200);
  });

  test("a browser's long cookies are passed over", async () => {
    const h = await house();
    expect((await h.ask("/api/status", { headers: { Cookie: "a".repeat(5_000) } })).status).toBe(200);
  });

  test("HTTP/1.0 is answered and closed, the evidence without chunks", async () => {
    const h = await house({ evidence: () => pieces(["one", "two"]) });
    const reply = await h.raw("GET /api/evidence HTTP/1.0\r\nHost: localhost\r\n\r\n", 3_000);
    expect(reply).toMatch(/\r\n\r\nonetwo$/);
    expect(reply).not.toContain("chunked");
  });

  test("a pipelined request is not served: the first is answered and the connection closed", async () => {
    let asked = 0;
    const h = await house({ status: () => { asked++; return "{}"; } });
    const reply = await h.raw(`${get}\r\n${get}\r\n${get}\r\n`, 3_000);
    expect(reply.match(/HTTP\/1\.1 200/g)?.length).toBe(1);
    expect(reply).toContain("Connection: close");
    expect(asked).toBe(1);
  });

  test("keep-alive serves one request after the other on one connection", async () => {
    const h = await house();
    const socket = connect(h.port, "127.0.0.1");
    let text = "";
    socket.on("data", (part) => { text += part.toString("latin1"); });
    for (let i = 1; i <= 3; i++) {
      socket.write(`${get}\r\n`);
      await until(() => (text.match(/HTTP\/1\.1 200/g) ?? []).length === i && text.endsWith("{}"), `answer ${i}`);
    }
    expect(h.server.counters.connections).toBe(1);
    socket.destroy();
  });

  test("any bytes in any pieces: never a throw, never a request that was not sent", () => {
    const good = `${post}Content-Length: 3\r\nX-Y: z\r\n\r\nabc`;
    fc.assert(fc.property(
      fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 4 }), fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 30 }), fc.uint8Array({ maxLength: 20 }),
      (edits, cuts, noise) => {
        const bytes = new Uint8Array([...new TextEncoder().encode(good), ...noise]);
        for (const [at, value] of edits) bytes[at] = value;
        const reader = new RequestReader();
        let whole = null;
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const cut = cuts[i % cuts.length] as number;
          const progress = reader.push(bytes.subarray(at, at + cut));
          at += cut;
          if (progress.kind === "more") continue;
          if (progress.kind === "whole") whole = progress.request;
          break;
        }
        if (edits.length === 0) expect(whole).toMatchObject({ method: "POST", path: "/api/cap", host: "localhost", contentType: "application/cwt", body: new TextEncoder().encode("abc") });
        if (whole !== null) expect(whole.body.length).toBeLessThanOrEqual(HTTP_BODY_BYTES_MAX);
      }), { numRuns: runs(300) });
  });
});

describe("deadlines and bounds, in virtual time", () => {
  function simulated(api: Partial<ApiOptions> = {}) {
    const world = new SimWorld({ seed: 5, crypto: { sha256, verifyP256: () => false } });
    const home = world.platform("home");
    const server = new HttpServer({
      platform: home, port: 80,
      handler: makeApi({
        monotonic: () => home.monotonic(), sha256, status: () => "{}", evidence: () => pieces([]), cap: (_bytes, respond) => respond({ kind: "accepted" }), keys: (_bytes, respond) => respond({ kind: "accepted" }), ...api,
      }),
    });
    const visit = (name = "phone") => {
      const platform = world.platform(name);
      const client = { text: "", ended: false, closed: 0, writable: 0, stream: null as unknown as TCPStream, send(text: string) { client.stream.write(new TextEncoder().encode(text)); } };
      client.stream = new platform.TCP({
        host: "home", port: 80, format: "buffer",
        onReadable: () => { const bytes = client.stream.read(); if (bytes) client.text += new TextDecoder().decode(new Uint8Array(bytes)); },
        onWritable: (count) => { client.writable = count; }, onError: () => { client.ended = true; client.closed = world.now; client.stream.close(); },
      });
      world.runFor(5);
      return client;
    };
    return { world, home, server, visit };
  }
  const get = "GET /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n";

  test("slowloris: a request must be whole within the timeout, however diligently it drips", () => {
    const { world, server, visit } = simulated();
    const slow = visit();
    const from = world.now;
    for (let i = 0; i < 30 && !slow.ended && slow.text === ""; i++) {
      slow.send(i === 0 ? "GET / HTTP/1.1\r\n" : "X: y\r\n");
      world.runFor(900);
    }
    expect(world.now - from).toBeLessThanOrEqual(HTTP_TIMEOUT_MS + 2_000);
    expect(slow.text).toContain("408 Request Timeout");
    world.runFor(3_000);
    expect(slow.ended).toBe(true);
    expect(server.open).toBe(0);
    expect(server.counters.timeouts).toBe(1);
  });

  test("all places taken by dripping clients: an honest one is served at once", () => {
    const { world, server, visit } = simulated();
    const slow = Array.from({ length: HTTP_CONNECTIONS_MAX }, (_, i) => { const one = visit(`slow${i}`); one.send("GET / HT"); world.runFor(10); return one; });
    const honest = visit("honest");
    honest.send(get);
    world.runFor(20);
    expect(honest.text).toContain("200 OK");
    expect(server.open).toBe(HTTP_CONNECTIONS_MAX);
    expect(slow.map(({ ended }) => ended)).toEqual([true, false, false, false, false, false]);
  });

  test("the oldest idle connection gives way before any that is at work", () => {
    const { world, server, visit } = simulated({ cap: () => {} });
    const busy = visit("busy");
    busy.send("POST /api/cap HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/cwt\r\nContent-Length: 1\r\n\r\nx");
    world.runFor(10);
    const idle = Array.from({ length: HTTP_CONNECTIONS_MAX - 1 }, (_, i) => { const one = visit(`idle${i}`); one.send(get); world.runFor(10); return one; });
    visit("new");
    world.runFor(10);
    expect(idle.map(({ ended }) => ended)).toEqual([true, false, false, false, false]);
    expect(busy.ended).toBe(false);
    expect(server.counters.evicted).toBe(1);
  });

  test("an idle connection is closed after the timeout without a word; half-open ones too", () => {
    const { world, server, visit } = simulated();
    const idle = visit();
    idle.send(get);
    const gone = visit("gone");
    gone.send("GET / HT");
    world.runFor(10);
    world.link("gone", "home").up = false;
    world.runFor(HTTP_TIMEOUT_MS + 5_000);
    expect(server.open).toBe(0);
    expect(idle.text.match(/HTTP/g)?.length).toBe(1);
    expect(idle.ended).toBe(true);
  });

  test("a reader that stops reading is given up after the timeout, and its source closed", () => {
    let closed = 0;
    const { world, server } = simulated({ evidence: () => ({ length: null, next: () => new Uint8Array(1_000), close: () => { closed++; } }) });
    const platform = world.platform("lazy");
    const lazy: TCPStream = new platform.TCP({ host: "home", port: 80, format: "buffer", onWritable: () => { if (server.counters.requests === 0) lazy.write(new TextEncoder().encode(get.replace("status", "evidence"))); } });
    world.runFor(5_000);
    expect(server.open).toBe(1);
    world.runFor(HTTP_TIMEOUT_MS + 2_000);
    expect(server.open).toBe(0);
    expect(closed).toBe(1);
  });

  test("a cap that is never answered is a 503; a late answer goes nowhere", () => {
    const late: ((outcome: PostOutcome) => void)[] = [];
    const { world, visit } = simulated({ cap: (_bytes, respond) => { late.push(respond); } });
    const poster = visit();
    const post = "POST /api/cap HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/cwt\r\nContent-Length: 1\r\n\r\nx";
    poster.send(post);
    world.runFor(HTTP_TIMEOUT_MS + 1_500);
    expect(poster.text).toContain('503 Service Unavailable');
    expect(poster.text).toContain('{"error":"no_answer"}');
    poster.text = "";
    poster.send(post);
    world.runFor(10);
    late[0]?.({ kind: "accepted" });
    world.runFor(10);
    expect(poster.text).toBe("");
    late[1]?.({ kind: "repeat" });
    late[1]?.({ kind: "accepted" });
    world.runFor(10);
    expect(poster.text).toContain('{"result":"repeat"}');
  });

  test("refused tokens are counted per address and slowed; another address is not, and time forgives", () => {
    let asked = 0;
    const { world, visit } = simulated({ cap: (_bytes, respond) => { asked++; respond({ kind: "refused", rule: "signature" }); } });
    const post = "POST /api/cap HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/cwt\r\nContent-Length: 1\r\n\r\nx";
    const attempt = (name: string): string => {
      const one = visit(name);
      one.send(post);
      world.runFor(10);
      one.stream.close();
      world.runFor(5);
      return one.text.slice(9, 12);
    };
    const answers = Array.from({ length: HTTP_BAD_POSTS_MAX + 5 }, () => attempt("guesser"));
    expect(answers.filter((status) => status === "422").length).toBe(HTTP_BAD_POSTS_MAX);
    expect(answers.at(-1)).toBe("429");
    expect(asked).toBe(HTTP_BAD_POSTS_MAX);
    expect(attempt("technician")).toBe("422");
    world.runFor(HTTP_BAD_POST_FORGIVEN_MS);
    expect(attempt("guesser")).toBe("422");
    expect(attempt("guesser")).toBe("429");
  });

  test("a port that is not there yet is tried again", () => {
    const world = new SimWorld({ seed: 5, crypto: { sha256, verifyP256: () => false } });
    const home = world.platform("home");
    let networked = false;
    const Listener = class { constructor(options: ConstructorParameters<typeof home.Listener>[0]) { if (!networked) throw new Error("no network"); return new home.Listener(options); } } as unknown as typeof home.Listener;
    const server = new HttpServer({ platform: { Listener, TCP: home.TCP, timer: home.timer, monotonic: () => home.monotonic() }, port: 80, handler: () => {} });
    expect(server.port).toBe(0);
    world.runFor(HTTP_LISTEN_RETRY_MS + 10);
    expect(server.counters.listenFailures).toBe(2);
    networked = true;
    world.runFor(HTTP_LISTEN_RETRY_MS);
    expect(server.port).toBe(80);
    server.close();
    world.runFor(60_000);
    expect(server.port).toBe(0);
  });
});

test("a flood of connections that never speak leaves the server answering", async () => {
  const h = await house();
  const sockets: Socket[] = [];
  for (let i = 0; i < 40; i++) sockets.push(connect(h.port, "127.0.0.1").on("error", () => {}));
  await until(() => h.server.counters.connections + h.server.counters.evicted >= 20, "the flood arrived");
  expect((await h.ask("/api/status")).status).toBe(200);
  expect(h.server.open).toBeLessThanOrEqual(HTTP_CONNECTIONS_MAX);
  for (const socket of sockets) socket.destroy();
});
