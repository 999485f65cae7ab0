/** RTU: over a pty in `vangnet modbus emulate --pty`, and over a simulated line in virtual time. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { build } from "esbuild";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import modbusSerial from "modbus-serial";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sha256 } from "../../hal/node/crypto.js";
import { SimWorld } from "../../hal/sim/world.js";
import { profileById, profiles } from "../../src/actuation/profiles/index.js";
import { crc16 } from "../../src/wire/crc16.js";
import { EmulatedDevice } from "../../tools/emulators/modbus_device.js";
import { EvModel, MILD, RelayModel } from "../../tools/emulators/models.js";
import { serveRtu, serveTcp } from "../../tools/emulators/modbus_server.js";
import { absent, titled } from "../need.js";

const hex = (bytes: Uint8Array | ArrayBuffer) => Buffer.from(bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes)).toString("hex");
const framed = (text: string) => {
  const body = Buffer.from(text, "hex"), crc = crc16(body, 0, body.length, 0xffff);
  return new Uint8Array([...body, crc & 0xff, crc >> 8]);
};

describe("in virtual time", () => {
  it("the relay board answers the frames of its maker's wiki, and nothing that is not for it", () => {
    const world = new SimWorld({ seed: 1, crypto: { sha256, verifyP256: () => false } });
    const home = world.platform("home"), board = world.platform("board");
    world.serialPair("/dev/bus", "/dev/relay");
    const relay = new RelayModel();
    serveRtu(board, [new EmulatedDevice({ profile: profileById("waveshare_relay")!, model: relay })], { device: "/dev/relay", baud: 9600 });
    let answer = "";
    const master = new home.Serial({ device: "/dev/bus", baud: 9600, format: "buffer", onReadable: () => { answer += hex(master.read()!); } });
    const ask = (bytes: Uint8Array) => {
      answer = "";
      master.write(bytes);
      world.runFor(200);
      return answer;
    };
    world.runFor(10);
    // "01 05 00 00 FF 00 8C 3A": relay 0 on; the answer is the echo. "01 01 00 00 00 08 3D CC": status.
    expect(ask(Buffer.from("01050000ff008c3a", "hex"))).toBe("01050000ff008c3a");
    expect(relay.coils[0]).toBe(1);
    expect(ask(Buffer.from("0101000000083dcc", "hex"))).toBe(hex(framed("01010101")));
    // Noise before a frame, a frame for another unit, a spoilt frame.
    expect(ask(new Uint8Array([0x55, ...framed("010500000000")]))).toBe(hex(framed("010500000000")));
    expect(relay.coils[0]).toBe(0);
    expect(ask(framed("02050000ff00"))).toBe("");
    expect(ask(Buffer.from("01050000ff008c3b", "hex"))).toBe("");
    expect(ask(framed("01050000ff00").slice(0, 5))).toBe("");
    expect(relay.coils[0]).toBe(0);
    expect(ask(framed("01050000ff00"))).toBe("01050000ff008c3a");
    expect(relay.coils[0]).toBe(1);
  });
  it("a charger falls to its safe value by its own watchdog", () => {
    const world = new SimWorld({ seed: 2, crypto: { sha256, verifyP256: () => false } });
    const home = world.platform("home"), garage = world.platform("garage");
    const ev = new EvModel({ seed: 1 }), device = new EmulatedDevice({ profile: profileById("alfen")!, model: ev });
    serveTcp(garage, [device], { port: 502 });
    garage.timer.repeat(() => device.step(100, MILD), 100);
    let answer = "";
    const master = new home.TCP({ address: garage.address, port: 502, format: "buffer", onReadable: () => { answer += hex(master.read()!); } });
    world.runFor(100);
    master.write(Buffer.from("00010000000b011004ba00020441200000", "hex"));
    world.runFor(50);
    expect(answer).toBe("000100000006011004ba0002");
    expect(ev.setpoint).toBe(10_000);
    world.runFor(59_000);
    expect([device.fallen, ev.setpoint]).toEqual([false, 10_000]);
    expect(ev.amps[0]).toBeCloseTo(9.8, 6);
    world.runFor(10_000);
    expect([device.fallen, ev.setpoint]).toEqual([true, 0]);
    expect(ev.watts).toEqual([0, 0, 0]);
  });
});

describe("vangnet modbus", () => {
  let directory: string, script: string;
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "vangnet-modbus-cli-"));
    script = join(resolve("build"), `modbus-cli-${process.pid}.mjs`);
    const source = `import { run } from ${JSON.stringify(resolve("tools/commands/modbus.ts"))}; process.exitCode = await run(process.argv.slice(2));`;
    await build({ stdin: { contents: source, resolveDir: resolve("."), loader: "ts" }, bundle: true, platform: "node", format: "esm", packages: "external", outfile: script });
  });
  afterAll(() => {
    rmSync(directory, { recursive: true, force: true });
    rmSync(script, { force: true });
  });
  const start = (...args: string[]) => {
    const child = spawn(process.execPath, [script, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    const lines: Record<string, unknown>[] = [], waiting: (() => void)[] = [];
    let error = "";
    child.stderr.on("data", (bytes: Buffer) => { error += bytes.toString(); });
    createInterface({ input: child.stdout }).on("line", (line) => {
      try { lines.push(JSON.parse(line) as Record<string, unknown>); } catch { lines.push({ text: line }); }
      waiting.splice(0).forEach((wake) => wake());
    });
    const ended = new Promise<number | null>((done) => child.once("close", (code) => done(code)));
    return {
      ended, lines, error: () => error,
      line: async (event: string) => {
        for (;;) {
          const found = lines.find((line) => line["event"] === event);
          if (found) return found;
          await Promise.race([new Promise<void>((wake) => waiting.push(wake)), ended.then((code) => { throw new Error(`ended with ${code}: ${error}`); })]);
        }
      },
      stop: async () => { child.kill("SIGTERM"); return ended; },
    };
  };

  it("lists the profiles", async () => {
    const text = start("profiles");
    expect(await text.ended).toBe(0);
    for (const profile of profiles) expect(text.lines.some((line) => String(line["text"]).startsWith(`${profile.id} `)), profile.id).toBe(true);
  });
  it("names what is wrong", async () => {
    const none = start("emulate", "--profile", "toaster");
    expect(await none.ended).toBe(2);
    expect(none.error()).toContain('no profile "toaster"');
    const unit = start("emulate", "--profile", "alfen", "--unit", "300");
    expect(await unit.ended).toBe(2);
    expect(unit.error()).toContain("--unit 300");
  });
  it("plays a charger over TCP and says what was written", async () => {
    const played = start("emulate", "--profile", "alfen", "--tcp", "0", "--json");
    const { port } = await played.line("serving");
    const client = new modbusSerial.default();
    await client.connectTCP("127.0.0.1", { port: port as number });
    client.setID(1);
    await client.writeRegisters(1210, [0x40e0, 0]);
    expect(await played.line("write")).toEqual({ event: "write", table: "holding", address: 1210, words: [0x40e0, 0], asked: 7_000 });
    await new Promise<void>((done) => client.close(() => done()));
    expect(await played.stop()).toBe(0);
  });
  describe.skipIf(absent("socat"))(titled("over a pty", "socat"), () => {
    it("plays a meter to modbus-serial", async () => {
      const played = start("emulate", "--profile", "eastron_sdm630", "--pty", "--json");
      const { device } = await played.line("serving");
      const client = new modbusSerial.default();
      await client.connectRTUBuffered(device as string, { baudRate: 9600 });
      client.setID(1);
      client.setTimeout(2_000);
      // A master asks again: the first question may find the other end of the line not open yet.
      const ask = async (left: number): Promise<Buffer> => {
        try {
          return (await client.readInputRegisters(0, 6)).buffer;
        } catch (error) {
          if (left === 0) throw error;
          return ask(left - 1);
        }
      };
      const buffer = await ask(5);
      for (let i = 0; i < 3; i++) {
        expect(buffer.readFloatBE(4 * i)).toBeGreaterThan(215);
        expect(buffer.readFloatBE(4 * i)).toBeLessThan(245);
      }
      await new Promise<void>((done) => client.close(() => done()));
      expect(await played.stop()).toBe(0);
    });
  });
});
