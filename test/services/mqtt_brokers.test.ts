/** The MQTT client against brokers that are not ours, over real sockets: aedes (3.1.1 only), mosquitto (plain, TLS). */
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, connect as netConnect, type AddressInfo } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { Aedes } from "aedes";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { absent, titled } from "../need.js";
import { realClient, sockets, until } from "./mqtt_world.js";

const opened: { close(): void }[] = [];
const track = <T extends { close(): void }>(one: T): T => { opened.push(one); return one; };
afterEach(() => { for (const one of opened.splice(0)) one.close(); });

describe("aedes, which refuses MQTT 5", () => {
  let broker: Aedes;
  let server: ReturnType<typeof createServer>;
  let port = 0;
  beforeAll(async () => {
    broker = await Aedes.createBroker();
    server = createServer(broker.handle);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    port = (server.address() as AddressInfo).port;
  });
  afterAll(async () => {
    await new Promise<void>((resolve) => broker.close(() => resolve()));
    await new Promise((resolve) => server.close(resolve));
  });

  test("the client falls back to 3.1.1, says so, and works", async () => {
    const world = track(realClient({ port, clientId: "fallback", subscriptions: ["vangnet/cap/all"] }));
    await until(() => world.client.status.state === "up", "connected");
    expect(world.client.status.version).toBe(4);
    expect(world.history.some(({ reason }) => reason === "version" || reason === "closed_early")).toBe(true);
    expect(world.client.status.counters).toMatchObject({ attempts: 2, connections: 1, drops: 1 });
    world.client.publish("vangnet/cap/all", "token", { retain: true, qos: 1 });
    await until(() => world.received.length === 1, "its own message came back");
    expect(world.received[0]).toMatchObject({ topic: "vangnet/cap/all", text: "token" });
    await until(() => world.client.status.counters.acknowledged === 1, "acknowledged");
    const late = track(realClient({ port, clientId: "late", subscriptions: ["vangnet/cap/+"] }));
    await until(() => late.received.length === 1, "retained message on subscribe");
    expect(late.received[0]).toEqual({ topic: "vangnet/cap/all", text: "token", retained: true });
  });
});

describe.skipIf(absent("mosquitto", "openssl"))(titled("mosquitto", "mosquitto", "openssl"), () => {
  let directory = "";
  let ports = { plain: 0, tls: 0 };
  let child: ChildProcess | null = null;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "vangnet-mosquitto-"));
    ports = { plain: await freePort(), tls: await freePort() };
    makeCertificates(directory);
    writeFileSync(join(directory, "mosquitto.conf"), [
      "persistence false", "allow_anonymous true",
      `user ${userInfo().username}`, // as root it would drop to a user who may not read the key "log_dest none", "max_keepalive 600",
      `listener ${ports.plain} 127.0.0.1`,
      `listener ${ports.tls} 127.0.0.1`,
      `cafile ${directory}/ca.pem`, `certfile ${directory}/server.pem`, `keyfile ${directory}/server.key`,
    ].join("\n"));
    await start();
  });
  afterAll(async () => {
    await stop();
    rmSync(directory, { recursive: true });
  });

  async function start(): Promise<void> {
    const program = existsSync("/usr/sbin/mosquitto") ? "/usr/sbin/mosquitto" : "mosquitto";
    child = spawn(program, ["-c", join(directory, "mosquitto.conf")], { stdio: "ignore" });
    for (const port of [ports.plain, ports.tls]) await listening(port);
  }
  async function stop(): Promise<void> {
    const running = child;
    child = null;
    if (running === null || running.exitCode !== null) return;
    const ended = new Promise((resolve) => running.once("exit", resolve));
    running.kill("SIGKILL");
    await ended;
  }

  test("MQTT 5: a retained cap is delivered on subscribe, byte for byte", async () => {
    const token = Uint8Array.from({ length: 720 }, (_, i) => (i * 7) & 0xff);
    const operator = track(realClient({ port: ports.plain, clientId: "operator" }));
    operator.client.publish("vangnet/cap/ean/871234567890123456", token, { retain: true, qos: 1, expiry: 900 });
    await until(() => operator.client.status.counters.acknowledged === 1, "acknowledged");
    const bytes: Uint8Array[] = [];
    const house = track(realClient({
      port: ports.plain, clientId: "house", subscriptions: ["vangnet/cap/all", "vangnet/cap/ean/871234567890123456"],
      onMessage: (_topic, payload, { retained }) => { if (retained) bytes.push(payload); },
    }));
    await until(() => bytes.length === 1, "retained cap");
    expect(bytes[0]).toEqual(token);
    expect(house.client.status.version).toBe(5);
    expect(house.client.status.counters).toMatchObject({ drops: 0, malformed: 0, subscriptionsRefused: 0 });
  });

  test("a message above our maximum is not sent to us, and the link stays", async () => {
    const world = track(realClient({ port: ports.plain, clientId: "small", subscriptions: ["big"] }));
    await until(() => world.client.status.state === "up", "connected");
    const other = track(realClient({ port: ports.plain, clientId: "sender" }));
    other.client.publish("big", new Uint8Array(5_000), { qos: 1 });
    other.client.publish("big", "small", { qos: 1 });
    await until(() => world.received.length === 1, "the small one");
    expect(world.received[0]?.text).toBe("small");
    expect(world.client.status).toMatchObject({ state: "up", counters: { drops: 0 } });
  });

  test("the broker is killed and started again: the client comes back by itself, with what it held", async () => {
    const world = track(realClient({ port: ports.plain, clientId: "patient", subscriptions: ["back"] }));
    await until(() => world.client.status.state === "up", "connected");
    await stop();
    await until(() => world.client.status.state !== "up", "noticed");
    expect(world.client.publish("back", "kept", { qos: 1 })).toBe("queued");
    await start();
    await until(() => world.received.length === 1, "the message held meanwhile", 15_000);
    expect(world.client.status.counters.connections).toBe(2);
    expect(world.history.some(({ reason }) => reason === "lost")).toBe(true);
  });

  test("TLS: our own authority is trusted, another one is not, and the name must fit", async () => {
    const certificate = readFileSync(join(directory, "ca.pem"));
    const tls = { io: sockets.TLS, port: ports.tls };
    const good = track(realClient({ ...tls, clientId: "tls", secure: { certificate }, subscriptions: ["tls"] }));
    await until(() => good.client.status.state === "up", "connected over TLS");
    good.client.publish("tls", "hello", { qos: 1 });
    await until(() => good.received.length === 1, "message over TLS");

    const stranger = track(realClient({ ...tls, clientId: "stranger", secure: { certificate: readFileSync(join(directory, "other.pem")) } }));
    const misnamed = track(realClient({ ...tls, clientId: "misnamed", secure: { certificate, serverName: "broker.example" } }));
    await until(() => stranger.client.status.counters.drops > 0 && misnamed.client.status.counters.drops > 0, "both refused");
    for (const { client, history } of [stranger, misnamed]) {
      expect(client.status.counters.connections).toBe(0);
      expect(history.find(({ state }) => state === "waiting")).toMatchObject({ reason: "io", detail: expect.stringMatching(/certificate|altname/i) });
    }
  });

  test("the will is published when the house vanishes", async () => {
    const watcher = track(realClient({ port: ports.plain, clientId: "watcher", subscriptions: ["vangnet/1/online"] }));
    await until(() => watcher.client.status.state === "up", "connected");
    const house = realClient({ port: ports.plain, clientId: "vanishing", will: { topic: "vangnet/1/online", payload: "offline" } });
    await until(() => house.client.status.state === "up", "connected");
    house.client.publish("vangnet/1/online", "online", { retain: true, qos: 1 });
    await until(() => watcher.received.length === 1, "online");
    house.close();
    await until(() => watcher.received.length === 2, "offline");
    expect(watcher.received.map(({ text }) => text)).toEqual(["online", "offline"]);
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function listening(port: number): Promise<void> {
  const end = performance.now() + 10_000;
  for (;;) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = netConnect(port, "127.0.0.1", () => { socket.destroy(); resolve(true); });
      socket.on("error", () => resolve(false));
    });
    if (open) return;
    if (performance.now() > end) throw new Error(`nothing listens on ${port}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** ca.pem signs server.pem for 127.0.0.1; other.pem is an authority that signed nothing here. */
function makeCertificates(directory: string): void {
  const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: directory, stdio: "ignore" });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
  for (const name of ["ca", "other"]) openssl("req", "-x509", ...key, "-keyout", `${name}.key`, "-out", `${name}.pem`, "-subj", `/CN=${name}`);
  openssl("req", ...key.slice(0, 5), "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=127.0.0.1");
  writeFileSync(join(directory, "ext"), "subjectAltName=IP:127.0.0.1");
  openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext", "-out", "server.pem");
}
