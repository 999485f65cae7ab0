/** The commands as their user meets them: exit codes, words, and the ways out. */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTcp, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { decodeToken } from "../../../src/token/decode.js";
import { tokenFromText } from "../../../src/token/text.js";
import { run as cap } from "../../../tools/commands/cap.js";
import { run as keys } from "../../../tools/commands/keys.js";
import { absent, titled } from "../../need.js";

const AUD = "ean:871685900000000004";
let folder: string, key: string;

async function capture(verb: (args: string[]) => Promise<number>, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = "", err = "";
  const spies = [
    vi.spyOn(process.stdout, "write").mockImplementation((text) => { out += String(text); return true; }),
    vi.spyOn(process.stderr, "write").mockImplementation((text) => { err += String(text); return true; }),
  ];
  try {
    return { code: await verb(args), out, err };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}
const vangnet = (...args: string[]) => capture(cap, ...args);
const json = ({ out }: { out: string }): any => JSON.parse(out); // eslint-disable-line @typescript-eslint/no-explicit-any
const tokenOf = (bytes: Uint8Array) => { const result = decodeToken(new Uint8Array(bytes)); if (!result.ok) throw new Error(result.detail); return result.token; };

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "vangnet-cap-"));
  key = join(folder, "operator.key.json");
  expect((await capture(keys, "new", "--out", key)).code).toBe(0);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => rmSync(join(folder, "vangnet-operator-state.json"), { force: true }));

describe("vangnet keys", () => {
  test("new prints the public entry and nothing secret; show prints the same", async () => {
    const file = join(folder, "second.key.json");
    const made = await capture(keys, "new", "--out", file, "--role", "installer", "--json");
    const { d } = JSON.parse(readFileSync(file, "utf8"));
    expect(json(made)).toEqual({ file, entry: { kid: expect.stringMatching(/^[0-9a-f]{16}$/), x: expect.stringMatching(/^[0-9a-f]{64}$/), y: expect.stringMatching(/^[0-9a-f]{64}$/), role: "installer" } });
    const shown = await capture(keys, "show", file, "--json");
    expect(json(shown)).toEqual(json(made).entry);
    for (const { out, err } of [made, shown, await capture(keys, "show", file)]) expect(out + err).not.toContain(d);
  });
  test("refusals", async () => {
    expect(await capture(keys, "new", "--out", key)).toMatchObject({ code: 2, err: expect.stringContaining("a key is not overwritten") });
    expect(await capture(keys, "new", "--role", "king")).toMatchObject({ code: 2, err: expect.stringContaining("--role king") });
    expect(await capture(keys, "show", join(folder, "none"))).toMatchObject({ code: 2, err: expect.stringContaining("no such file") });
    expect(await capture(keys, "shout")).toMatchObject({ code: 2, err: expect.stringContaining('no verb "shout"') });
    expect((await capture(keys, "--help")).code).toBe(0);
  });
});

describe("vangnet cap", () => {
  test("issue, list, refresh, cancel: a file each time, and the state between them", async () => {
    const file = join(folder, "cap.cwt");
    const issued = json(await vangnet("issue", "--aud", AUD, "--import", "4200", "--for", "2h", "--start", "+10m", "--emergency", "--release", "30m", "--key", key, "--out", file, "--json"));
    const first = tokenOf(readFileSync(file));
    expect(first.events).toEqual([{ id: issued.id, start: first.iat + 600, duration: 7_200, importLimit: 4_200, exportLimit: null, emergency: true, controllable: false, release: 1_800 }]);
    expect(first.exp - first.iat).toBe(7 * 86_400);
    const second = json(await vangnet("issue", "--aud", AUD, "--export", "0", "--for", "1h", "--controllable", "--key", key, "--out", file, "--exp", "15m", "--json"));
    expect(tokenOf(readFileSync(file))).toMatchObject({ events: [{ id: issued.id }, { id: second.id, importLimit: null, exportLimit: 0, controllable: true }] });
    const listed = await vangnet("list", "--key", key);
    expect(listed.out).toMatch(new RegExp(`${AUD} .*\n  ${issued.id} .* for 2h  import 4200 W; net at the meter; emergency; release 30m  \\[in (10m|9m5\\ds)\\]\n  ${second.id} .*export 0 W; controllable devices together  \\[in force\\]`));
    await vangnet("refresh", "--key", key, "--out", file);
    const third = tokenOf(readFileSync(file));
    expect(third.seq).toBeGreaterThan(tokenOf(Buffer.from(second.tokens[0].token, "hex")).seq);
    expect(third.events.length).toBe(2);
    expect((await vangnet("cancel", issued.id, "--key", key, "--out", file)).code).toBe(0);
    expect(tokenOf(readFileSync(file)).events.map(({ id }) => id)).toEqual([second.id]);
    expect(await vangnet("cancel", issued.id, "--key", key, "--out", file)).toMatchObject({ code: 2, err: expect.stringContaining(`no event ${issued.id}`) });
  });

  test("--p1: the hex alone on stdout, words on stderr", async () => {
    const { code, out, err } = await vangnet("issue", "--aud", AUD, "--import", "0", "--for", "2h", "--key", key, "--p1");
    expect(code).toBe(0);
    expect(out).toMatch(/^([0-9A-F]{2})+\n$/);
    const read = tokenFromText(Buffer.from(out.trim(), "hex").toString("ascii"));
    expect(read?.ok && tokenOf(read.bytes).events[0]!.importLimit).toBe(0);
    expect(err).toContain("import 0 W");
  });

  test("inspect: file, hex, text, the telegram's hex; with the right key, another's and none", async () => {
    const file = join(folder, "inspect.cwt"), other = join(folder, "other.key.json"), entry = join(folder, "entry.json");
    const issued = json(await vangnet("issue", "--aud", "all", "--import", "1kW", "--for", "3h", "--key", key, "--out", file, "--p1", "--json"));
    await capture(keys, "new", "--out", other);
    writeFileSync(entry, (await capture(keys, "show", key, "--json")).out);
    for (const form of [file, issued.tokens[0].token, issued.p1.text, issued.p1.hex]) {
      const { code, out } = await vangnet("inspect", form, "--key", key);
      expect([code, out]).toEqual([0, expect.stringMatching(/^signature {2}valid\nr \|\| s +[0-9a-f]{128}\nall {2}key [0-9a-f]{16} {2}seq \d+ .*\n {2}[0-9a-f]{8} .* for 3h {2}import 1000 W; net at the meter {2}\[in force\]\n$/)]);
    }
    expect(json(await vangnet("inspect", file, "--key", entry, "--json"))).toMatchObject({ ok: true, signature: "valid", aud: "all", events: [{ importLimit: 1000, exportLimit: null }] });
    expect((await vangnet("inspect", file)).out).toContain("not checked (give --key)");
    expect((await vangnet("inspect", file, "--key", other)).out).toContain("another key's");
    const bytes = readFileSync(file);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(file, bytes);
    expect(await vangnet("inspect", file, "--key", key)).toMatchObject({ code: 1, out: expect.stringContaining("signature  invalid") });
    writeFileSync(file, bytes.subarray(0, -1));
    expect(await vangnet("inspect", file)).toMatchObject({ code: 1, out: expect.stringMatching(/^refused, rule "structure": COSE_Sign1: truncated at byte \d+\n$/) });
    expect(await vangnet("inspect", join(folder, "nothing"))).toMatchObject({ code: 1, err: expect.stringContaining("neither a file, nor hex") });
  });

  test.each<[string, string[], string]>([
    ["PEERS: negative limit accepted (evcc#25545), on the command line", ["--import", "-100", "--for", "2h"], "a limit is 0 W or more"],
    ["open-ended", ["--import", "100"], "--for is missing"], ["an exp of 36 days", ["--import", "100", "--for", "2h", "--exp", "36d"], "--exp 36d: at most 35d"],
    ["an unknown zone", ["--import", "100", "--for", "2h", "--tz", "Mars/Base"], "--tz Mars/Base"], ["an unknown option", ["--import", "100", "--fro", "2h"], "--fro"],
  ])("%s: exit code 2, and no state is made", async (_name, args, words) => {
    expect(await vangnet("issue", "--aud", AUD, "--key", key, "--p1", ...args)).toMatchObject({ code: 2, err: expect.stringContaining(words) });
    expect(existsSync(join(folder, "vangnet-operator-state.json"))).toBe(false);
  });
  test("no way out, no key, no audience yet", async () => {
    expect(await vangnet("issue", "--aud", AUD, "--import", "1", "--for", "2h", "--key", key)).toMatchObject({ code: 2, err: expect.stringContaining("say how it gets there") });
    expect(await vangnet("issue", "--aud", AUD, "--import", "1", "--for", "2h", "--p1")).toMatchObject({ code: 2, err: expect.stringContaining("--key FILE is missing") });
    expect(await vangnet("refresh", "--key", key, "--p1")).toMatchObject({ code: 2, err: expect.stringContaining("give --aud") });
    expect(await vangnet("refresh", "--aud", "all", "--key", key, "--p1")).toMatchObject({ code: 0, err: expect.stringContaining("no cap") });
    expect(await vangnet("dance")).toMatchObject({ code: 2, err: expect.stringContaining('no verb "dance"') });
  });
});

describe("vangnet cap --http", () => {
  test("posts the bytes as application/cwt; what the house refuses is told, with exit code 1", async () => {
    const got: { url: string | undefined; type: string | undefined; body: Buffer }[] = [];
    let status = 200;
    const server = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on("data", (part: Buffer) => parts.push(part));
      request.on("end", () => {
        got.push({ url: request.url, type: request.headers["content-type"], body: Buffer.concat(parts) });
        response.writeHead(status, { "content-type": "application/json", connection: "close" }).end(status === 200 ? '{"result":"accepted"}' : '{"rule":"kid"}');
      });
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      const good = json(await vangnet("issue", "--aud", AUD, "--import", "4200", "--for", "10m", "--key", key, "--http", base, "--json"));
      expect(got).toMatchObject([{ url: "/api/cap", type: "application/cwt" }]);
      expect(got[0]!.body.toString("hex")).toBe(good.tokens[0].token);
      status = 422;
      expect(await vangnet("refresh", "--key", key, "--http", base)).toMatchObject({ code: 1, err: expect.stringMatching(/answered 422: \{"rule":"kid"\}[^]*The state is kept/) });
    } finally {
      await new Promise((done) => server.close(done));
    }
    expect(await vangnet("refresh", "--key", key, "--http", base)).toMatchObject({ code: 1, err: expect.stringContaining("ECONNREFUSED") });
  });
});

describe.skipIf(absent("mosquitto"))(titled("vangnet cap --mqtt", "mosquitto"), () => {
  let port: number, broker: ReturnType<typeof spawn>;
  beforeAll(async () => {
    port = await new Promise<number>((done) => { const probe = createTcp().listen(0, "127.0.0.1", () => { const { port: free } = probe.address() as AddressInfo; probe.close(() => done(free)); }); });
    const config = join(folder, "mosquitto.conf");
    writeFileSync(config, `listener ${port} 127.0.0.1\nallow_anonymous true\npersistence false\n`);
    broker = spawn(existsSync("/usr/sbin/mosquitto") ? "/usr/sbin/mosquitto" : "mosquitto", ["-c", config], { stdio: "ignore" });
  });
  afterAll(() => { broker.kill(); });

  test("the raw bytes, retained, with the message expiry, on each audience's topic", async () => {
    const subscriber = await connectAsync(`mqtt://127.0.0.1:${port}`, { protocolVersion: 5, reconnectPeriod: 100, connectTimeout: 5_000 });
    const got = new Map<string, { hex: string; retain: boolean; expiry: number | undefined }>();
    const all = new Promise<void>((done) => subscriber.on("message", (topic, payload, packet) => {
      got.set(topic, { hex: payload.toString("hex"), retain: packet.retain, expiry: packet.properties?.messageExpiryInterval });
      if (got.size === 3) done();
    }));
    try {
      const sent = new Map<string, string>();
      for (const [aud, topic] of [[AUD, "vangnet/cap/ean/871685900000000004"], ["msr:T1", "vangnet/cap/msr/T1"], ["all", "vangnet/cap/all"]] as const) {
        const result = json(await vangnet("issue", "--aud", aud, "--import", "4200", "--for", "2h", "--key", key, "--mqtt", `mqtt://127.0.0.1:${port}`, "--json"));
        expect(result.delivered).toEqual([`published on ${topic}, retained`]);
        sent.set(topic, result.tokens[0].token);
      }
      // Only now does the house subscribe: retained, it is never too late.
      await subscriber.subscribeAsync("vangnet/cap/#");
      await all;
      for (const [topic, hex] of sent) {
        expect(got.get(topic)).toMatchObject({ hex, retain: true });
        expect(got.get(topic)!.expiry).toBeGreaterThan(880);
        expect(got.get(topic)!.expiry).toBeLessThanOrEqual(900);
      }
    } finally {
      await subscriber.endAsync();
    }
  });
});
