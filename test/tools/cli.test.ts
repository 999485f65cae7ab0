/** The built command as its user starts it: `node dist/vangnet.mjs`, with a controller and a broker on loopback. */
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, copyFileSync, readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { decodeKeySet } from "../../src/token/keys.js";
import type { Status } from "../../src/services/status.js";
import { until } from "../services/mqtt_world.js";
import { absent, titled } from "../need.js";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const EAN = "ean:871685900000000006";
let folder: string, command: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "vangnet-cli-"));
  // As installed: the bundle in dist, package.json and node_modules beside it.
  const dist = join(folder, "package", "dist");
  mkdirSync(dist, { recursive: true });
  copyFileSync(join(root, "package.json"), join(folder, "package", "package.json"));
  symlinkSync(join(root, "node_modules"), join(folder, "package", "node_modules"));
  await promisify(execFile)(process.execPath, ["tools/build.mjs", dist], { cwd: root });
  command = join(dist, "vangnet.mjs");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Ended { code: number | null; out: string; err: string }
interface Running { readonly child: ChildProcess; readonly said: { out: string; err: string }; readonly ended: Promise<Ended> }

const running: Running[] = [];
function begin(...args: string[]): Running {
  const child = spawn(process.execPath, [command, ...args], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  const said = { out: "", err: "" };
  child.stdout.on("data", (part) => { said.out += String(part); });
  child.stderr.on("data", (part) => { said.err += String(part); });
  const one: Running = { child, said, ended: new Promise((done) => child.on("close", (code) => done({ code, ...said }))) };
  running.push(one);
  return one;
}
afterEach(async () => {
  for (const one of running.splice(0)) {
    if (one.child.exitCode === null) one.child.kill("SIGKILL");
    await one.ended;
  }
});
const vangnet = (...args: string[]): Promise<Ended> => begin(...args).ended;
async function done(...args: string[]): Promise<string> {
  const { code, out, err } = await vangnet(...args);
  expect([code, err.includes("refused")], `vangnet ${args.join(" ")}: ${out}${err}`).toEqual([0, false]);
  return out;
}
const file = (name: string): string => join(folder, name);
const statusOf = async (base: string): Promise<Status> => (await fetch(`${base}/api/status`)).json() as Promise<Status>;
const freePort = (): Promise<number> => new Promise((resolve) => {
  const probe = createServer().listen(0, "127.0.0.1", () => { const { port } = probe.address() as AddressInfo; probe.close(() => resolve(port)); });
});
/** The house's own words, asked again and again. */
async function becomes(base: string, what: string, holds: (status: Status) => boolean): Promise<Status> {
  let last: Status | null = null;
  const deadline = performance.now() + 15_000;
  while (performance.now() < deadline) {
    last = await statusOf(base).catch(() => null);
    if (last !== null && holds(last)) return last;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${what} did not come: ${JSON.stringify(last)}`);
}

test("usage: no verb, an unknown one, and each verb's help", async () => {
  const [none, wrong, help, cap, keys] = await Promise.all([vangnet(), vangnet("dance"), vangnet("help"), vangnet("cap", "--help"), vangnet("keys", "--help")]);
  expect([none.code, wrong.code, help.code, cap.code, keys.code]).toEqual([0, 2, 0, 0, 0]);
  expect(wrong.err).toContain('no verb "dance"');
  expect(help.out).toMatch(/ {2}vangnet keys +/);
  expect(cap.out).toContain("--every 5m");
  expect(keys.out).toContain("vangnet keys sign");
});

test("what is not there, or no port, or asked for help, is answered in words", async () => {
  const cases: [string[], number, "out" | "err", RegExp][] = [
    [["config", "check", "--help"], 0, "out", /^Usage:/],
    [["evidence", "export", "--help"], 0, "out", /^Usage:/],
    [["evidence", "verify", "--help"], 0, "out", /^Usage:/],
    [["run", "--config", "nope.json"], 1, "err", /^nope\.json: no such file\n$/],
    [["start", "--port", "99999"], 2, "err", /^--port 99999: a port is 0 \(any free one\) to 65535\n$/],
    [["start", "--port", "http"], 2, "err", /^--port http: a port is/],
    [["evidence", "export", "--data", "nope"], 2, "err", /nope: no evidence log there/],
    [["start", "--fast", "--for", "12", "--no-view"], 1, "out", /no cap came within 12 s/],
  ];
  for (const [args, code, where, words] of cases) {
    const ended = await vangnet(...args);
    expect([ended.code, ended[where]], args.join(" ")).toEqual([code, expect.stringMatching(words)]);
  }
});

test("a build takes away the chunks of builds before the last, and nothing else", async () => {
  const dist = dirname(command);
  const old = new Date(Date.now() - 3_600_000);
  const put = (name: string, at: Date) => { writeFileSync(join(dist, name), ""); utimesSync(join(dist, name), at, at); };
  put("chunk-AAAAAAAA.mjs", old); put("chunk-AAAAAAAA.mjs.map", old); put("chunk-BBBBBBBB.mjs", new Date()); put("chunk-CCCCCCCC.mjs", old); put("mine.mjs", old);
  const list = join(dist, "build.json");
  writeFileSync(list, JSON.stringify([...JSON.parse(readFileSync(list, "utf8")) as string[], "chunk-CCCCCCCC.mjs"]));
  await promisify(execFile)(process.execPath, ["tools/build.mjs", dist], { cwd: root });
  expect(["chunk-AAAAAAAA.mjs", "chunk-AAAAAAAA.mjs.map", "chunk-BBBBBBBB.mjs", "chunk-CCCCCCCC.mjs", "mine.mjs"].filter((name) => existsSync(join(dist, name))))
    .toEqual(["chunk-BBBBBBBB.mjs", "chunk-CCCCCCCC.mjs", "mine.mjs"]);
  expect((await vangnet("help")).code).toBe(0);
});

test("keys new, show, sign; cap issue, list, inspect, cancel, refresh by file and text field", async () => {
  const [op, maker, set] = ["op.json", "maker.json", "set.cose"].map(file) as [string, string, string];
  const [made] = await Promise.all([done("keys", "new", "--out", op, "--json"), done("keys", "new", "--role", "maker", "--out", maker)]);
  const { entry } = JSON.parse(made) as { entry: { kid: string } };
  writeFileSync(file("op.pub.json"), await done("keys", "show", op, "--json"));
  expect(JSON.parse(readFileSync(file("op.pub.json"), "utf8"))).toEqual(entry);

  expect(await done("keys", "sign", "--key", maker, "--version", "7", "--add", file("op.pub.json"), "--not-after", "2030-01-01T00:00Z", "--aud", "ean:8716859*", "--out", set)).toMatch(/^set 7, /);
  const decoded = decodeKeySet(new Uint8Array(readFileSync(set)));
  if (!decoded.ok) throw new Error(decoded.detail);
  expect(decoded.set).toMatchObject({ version: 7, keys: [{ role: "maker", audiences: null, notAfter: null }, { kid: entry.kid, role: "operator", audiences: ["ean:8716859*"], notBefore: null, notAfter: 1_893_456_000 }] });
  for (const [args, words] of [
    [["--key", op, "--version", "8", "--out", set], "a maker's key signs a set"], [["--key", maker, "--out", set], "--version"], [["--key", maker, "--version", "8"], "say where to"],
    [["--key", maker, "--version", "8", "--add", set, "--out", set], "set.cose"], [["--key", maker, "--version", "8", "--aud", "everybody", "--out", set], "--aud everybody"],
    [["--key", maker, "--version", "8", ...Array<string[]>(8).fill(["--add", op]).flat(), "--out", set], "a house would refuse this set (structure)"],
  ] as const) {
    expect(await vangnet("keys", "sign", ...args), args.join(" ")).toMatchObject({ code: 2, err: expect.stringContaining(words) as string });
  }

  const token = file("cap.cwt");
  const issued = JSON.parse(await done("cap", "issue", "--aud", EAN, "--import", "4.2kW", "--for", "2h", "--key", op, "--out", token, "--p1", "--json")) as { id: string; p1: { hex: string } };
  expect(await done("cap", "list", "--key", op)).toContain(`${issued.id} `);
  expect(await done("cap", "inspect", issued.p1.hex, "--key", op)).toMatch(/^signature {2}valid\n/);
  expect(await done("cap", "inspect", token, "--key", file("op.pub.json"))).toContain("import 4200 W");
  await done("cap", "refresh", "--aud", EAN, "--key", op, "--out", token);
  await done("cap", "cancel", issued.id, "--key", op, "--out", token);
  expect(await done("cap", "inspect", token)).toContain("no cap");
  expect((await vangnet("cap", "refresh", "--every", "5m", "--exp", "9m", "--key", op, "--out", token)).err).toContain("at most half of --exp");
  expect(await vangnet("cap", "list", "--every", "5m", "--key", op)).toMatchObject({ code: 2, err: expect.stringContaining("--every goes with refresh alone") as string });
});

test("start: a live house takes a cap over HTTP, shows it, and is released; ctrl-c ends it", async () => {
  const house = begin("start", "--for", "60", "--port", "0", "--no-view", "--seed", "3");
  await until(() => /ctrl-c/.test(house.said.out), "heading", 10_000);
  const base = /status page {2}(http:\/\/127\.0\.0\.1:\d+)\//.exec(house.said.out)![1]!;
  const [, key, aud] = /--key (\S+) --aud (\S+)/.exec(house.said.out)!;
  await becomes(base, "a reading", ({ reading, limits }) => reading.net !== null && limits.state === "controlled");
  const state = file("demo-state.json");
  const say = (verb: string, ...args: string[]) => done("cap", verb, ...args, "--key", key!, "--state", state, "--http", base, "--json");

  const { id, delivered } = JSON.parse(await say("issue", "--aud", aud!, "--import", "2kW", "--for", "10m", "--release", "1m")) as { id: string; delivered: string[] };
  expect(delivered).toEqual([expect.stringContaining('answered 200: {"result":"accepted"}')]);
  expect((await becomes(base, "the cap", ({ limits }) => limits.import?.source === "cap")).limits).toMatchObject({ state: "limited", import: { watts: 2_000, id } });
  await say("refresh");
  await say("cancel", id);
  expect((await becomes(base, "the release", ({ limits }) => limits.import?.source === "release")).limits.state).toBe("controlled");
  // The demo's house knows no maker: a set of keys is refused, by its rule.
  await done("keys", "new", "--role", "maker", "--out", file("stranger.json"));
  expect(await vangnet("keys", "sign", "--key", file("stranger.json"), "--version", "1", "--http", base)).toMatchObject({ code: 1, err: expect.stringMatching(/answered 422: \{"error":"kid"\}/) as string });
  house.child.kill("SIGINT");
  expect(await house.ended).toMatchObject({ code: 0, err: "" });
});

describe.skipIf(absent("mosquitto"))(titled("run, with keys in a file and over HTTP, and a heartbeat over MQTT", "mosquitto"), () => {
  let broker: ChildProcess | null = null;
  afterEach(() => { broker?.kill(); });

  test("the link lives while refresh --every runs, the broker coming late", async () => {
    const [port, http] = [await freePort(), await freePort()];
    const [first, next, maker, set] = ["first.json", "next.json", "made.json", "first.cose"].map(file) as [string, string, string, string];
    const [, , shown] = await Promise.all([
      done("keys", "new", "--out", first), done("keys", "new", "--out", next), done("keys", "new", "--role", "maker", "--out", maker, "--json"),
    ]);
    await done("keys", "sign", "--key", maker, "--version", "1", "--add", first, "--out", set);

    // Nobody listens yet.
    const heartbeat = begin("cap", "refresh", "--aud", EAN, "--every", "1s", "--exp", "1h", "--key", next, "--state", file("next-state.json"), "--mqtt", `mqtt://127.0.0.1:${port}`, "--json");
    await until(() => heartbeat.said.err.includes("again in 1 s"), "the first failure", 10_000);
    const config = file("mosquitto.conf");
    writeFileSync(config, `listener ${port} 127.0.0.1\nallow_anonymous true\npersistence false\n`);
    broker = spawn(existsSync("/usr/sbin/mosquitto") ? "/usr/sbin/mosquitto" : "mosquitto", ["-c", config], { stdio: "ignore" });
    await until(() => heartbeat.said.out.includes("published on"), "delivered", 15_000);

    writeFileSync(file("site.json"), JSON.stringify({
      serial: "VN-CLI", ean: EAN.slice(4), connection: { phases: 3, fuse_A: 25 }, meter: { type: "p1", tcp: `127.0.0.1:${await freePort()}` },
      operator: { keys: [(JSON.parse(shown) as { entry: object }).entry], mqtt: { url: `mqtt://127.0.0.1:${port}` } }, http: { port: http },
    }));
    const house = begin("run", "--config", file("site.json"), "--data", file("data"), "--keys", set, "--quiet");
    const base = `http://127.0.0.1:${http}`;
    await becomes(base, "the set of the file", ({ link }) => link.operator);
    // The heartbeat's key is not in the set of the file; a new set brings it.
    await becomes(base, "a refusal", ({ counters }) => counters["tokensRefused"]! > 0);
    const sign = (...args: string[]) => ["keys", "sign", "--key", maker, ...args, "--http", base];
    expect(await done(...sign("--version", "2", "--add", first, "--add", next))).toContain('{"result":"accepted"}');
    expect(await done(...sign("--version", "2", "--add", first, "--add", next))).toContain('{"result":"repeat"}');
    expect(await vangnet(...sign("--version", "1", "--add", first))).toMatchObject({ code: 1, err: expect.stringContaining('422: {"error":"sequence"}') as string });
    const { events } = await becomes(base, "the link", ({ limits }) => limits.state === "controlled");
    expect(events.map(({ type }) => type)).toContain("accepted");

    heartbeat.child.kill("SIGINT");
    const { code, out } = await heartbeat.ended;
    expect(code).toBe(0);
    const tokens = out.trim().split("\n").map((line) => (JSON.parse(line) as { tokens: { seq: number }[] }).tokens[0]!.seq);
    expect(tokens).toEqual([...new Set(tokens)].sort((a, b) => a - b));
    house.child.kill("SIGTERM");
    expect(await house.ended).toMatchObject({ code: 0 });
    expect(await done("evidence", "export", "--data", file("data"), "--format", "json")).toMatch(/keys_accepted[^]*"file"[^]*keys_accepted[^]*"http"[^]*keys_refused/);
    await done("evidence", "verify", "--data", file("data"));
  });
});
