import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createServer, type Server } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { nodePlatform, type NodePlatform } from "../../../hal/node/platform.js";
import { absent, titled } from "../../need.js";
import { watched } from "../contract.js";

describe.skipIf(absent("openssl"))(titled("hal/node's TLS client", "openssl"), () => {
  let directory = "";
  let server: Server;
  let port = 0;
  let pem: Buffer;
  let other: Buffer;
  let platform: NodePlatform;
  let names: (string | false)[] = [];

  const certificate = (name: string): { key: Buffer; cert: Buffer } => {
    const [key, cert] = [join(directory, `${name}.key`), join(directory, `${name}.pem`)];
    execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", `/CN=${name}`,
      "-addext", "subjectAltName=DNS:broker.example,IP:127.0.0.1", "-keyout", key, "-out", cert], { stdio: "ignore" });
    return { key: readFileSync(key), cert: readFileSync(cert) };
  };

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "vangnet-tls-"));
    const own = certificate("broker.example");
    pem = own.cert;
    other = certificate("other").cert;
    server = createServer(own, (socket) => {
      names.push(socket.servername ?? false);
      socket.on("error", () => {});
      socket.pipe(socket);
    });
    server.on("tlsClientError", () => {});
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    port = (server.address() as AddressInfo).port;
    platform = nodePlatform({ dataDirectory: directory });
  });
  afterEach(() => { names = []; });
  afterAll(() => {
    platform?.close();
    server?.close();
    rmSync(directory, { recursive: true, force: true });
  });

  async function outcome(secure: { serverName?: string; certificate?: Uint8Array | ArrayBuffer }, host = "127.0.0.1") {
    const watch = watched();
    let error: unknown = null;
    const stream = new platform.TLS({
      host, port, secure, format: "buffer", ...watch.callbacks,
      onError: (given) => { error = given; watch.callbacks.onError?.(given); },
    });
    watch.stream = stream;
    expect(watch.said).toEqual([]);
    const until = async (done: () => boolean) => {
      for (const end = Date.now() + 15_000; !done() && Date.now() < end;) await delay(1);
      expect(done()).toBe(true);
    };
    await until(() => watch.said.length > 0);
    if (watch.said[0] === "writable") {
      stream.write(new TextEncoder().encode("echo"));
      await until(() => watch.text === "echo");
    }
    stream.close();
    await delay(20);
    return { first: watch.said[0], errors: watch.said.filter((what) => what === "error").length, code: (error as { code?: string } | null)?.code };
  }
  const der = () => new Uint8Array(Buffer.from(pem.toString().replace(/-----[A-Z ]+-----|\s/g, ""), "base64"));

  it("accepts the given authority, as PEM and as DER, by name and by address", async () => {
    for (const given of [new Uint8Array(pem), der(), der().buffer]) {
      expect(await outcome({ certificate: given, serverName: "broker.example" })).toEqual({ first: "writable", errors: 0, code: undefined });
    }
    expect(await outcome({ certificate: new Uint8Array(pem) })).toMatchObject({ first: "writable" });
    expect(names).toEqual(["broker.example", "broker.example", "broker.example", false]);
  });

  it("rejects what nobody vouches for, another authority's word, another name, and a spoilt authority", async () => {
    expect(await outcome({ serverName: "broker.example" })).toEqual({ first: "error", errors: 1, code: "DEPTH_ZERO_SELF_SIGNED_CERT" });
    expect(await outcome({ certificate: new Uint8Array(other), serverName: "broker.example" })).toMatchObject({ first: "error", errors: 1 });
    expect(await outcome({ certificate: new Uint8Array(pem), serverName: "elsewhere.example" })).toEqual({ first: "error", errors: 1, code: "ERR_TLS_CERT_ALTNAME_INVALID" });
    expect(await outcome({ certificate: new Uint8Array(pem), serverName: "127.0.0.2" })).toMatchObject({ first: "error", code: "ERR_TLS_CERT_ALTNAME_INVALID" });
    expect(await outcome({ certificate: new TextEncoder().encode("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n") })).toMatchObject({ first: "error", errors: 1 });
    expect(await outcome({ certificate: Uint8Array.of(0x30, 1, 2, 3) })).toMatchObject({ first: "error", errors: 1 });
  });

  it("a server that speaks no TLS is one onError", async () => {
    const plain = new platform.Listener({
      port: 0, address: "127.0.0.1",
      onReadable: () => {
        const stream = new platform.TCP({ from: plain.read()!, format: "buffer", onReadable: () => stream.write(new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n")) });
      },
    });
    while (plain.port === 0) await delay(1);
    const before = port;
    port = plain.port;
    try {
      expect(await outcome({ certificate: new Uint8Array(pem) })).toMatchObject({ first: "error", errors: 1 });
    } finally {
      port = before;
      plain.close();
    }
  });
});
