import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { sha256, verifyP256Sync } from "../../hal/node/crypto.js";
import { nodePlatform, type NodePlatform } from "../../hal/node/platform.js";
import { SimWorld } from "../../hal/sim/world.js";
import { LINE_LOST_MS, LINE_PROBE_MS, P1_RELAY_READERS_MAX, P1_SILENCE_MS, TELEGRAM_BYTES_MAX } from "../../src/constants.js";
import { P1Port, type P1PortState } from "../../src/services/p1_port.js";
import { P1Relay } from "../../src/services/p1_relay.js";
import type { TelegramError } from "../../src/telegram/reader.js";
import type { Telegram } from "../../src/telegram/telegram.js";
import { openPty } from "../../tools/commands/p1.js";
import { P1Meter, splitTelegrams } from "../../tools/emulators/p1_meter.js";
import { P1_LINES, writeTelegram, type P1MeterState, type P1Version } from "../../tools/emulators/p1_telegram.js";
import { absent, titled } from "../need.js";
import { vector } from "../telegram/read.js";

const house: P1MeterState = {
  time: 1_768_496_400, power: [400, -900, 100], voltage: [231_000, 232_000, 230_000],
  imported: [1_000, 2_000], exported: [3_000, 4_000], gas: { litres: 1_000, time: 1_768_496_100 },
};

interface Heard { nets: (number | null)[]; texts: string[]; errors: TelegramError[]; states: P1PortState[] }

function listen(): { heard: Heard; callbacks: Pick<ConstructorParameters<typeof P1Port>[1], "onTelegram" | "onError" | "onTextMessage" | "onState"> } {
  const heard: Heard = { nets: [], texts: [], errors: [], states: [] };
  return {
    heard,
    callbacks: {
      onTelegram: ({ power }) => heard.nets.push(power.import === null || power.export === null ? null : power.import - power.export),
      onTextMessage: (text) => heard.texts.push(text),
      onError: (error) => heard.errors.push(error),
      onState: (state) => heard.states.push(state),
    },
  };
}

const newWorld = (): SimWorld => new SimWorld({ seed: 7, crypto: { sha256, verifyP256: verifyP256Sync } });

/** A meter and a controller on one serial line, under virtual time. */
function onLine(version: P1Version, state: () => P1MeterState = () => house) {
  const world = newWorld();
  const line = world.serialPair("meter end", "p1");
  const meter = new P1Meter(world.platform("meter"), { version, output: { kind: "serial", device: line.a.path }, telegrams: { state } });
  const { heard, callbacks } = listen();
  const port = new P1Port(world.platform("controller"), { source: { kind: "serial", device: line.b.path }, ...callbacks });
  return { world, line, meter, port, heard };
}

describe("the line's setting is found by trying", () => {
  it("115200 8N1 at once", () => {
    const { world, heard, port } = onLine("5.0");
    world.runFor(3_500);
    expect(heard.nets).toEqual([-400, -400, -400]);
    expect(port.state).toMatchObject({ kind: "listening", found: true, setting: P1_LINES_8N1 });
    expect(heard.errors).toEqual([]);
  });
  it("9600 7E1 after one probe; noise at the wrong speed is no telegram", () => {
    const { world, heard, port } = onLine("3.0");
    world.runFor(2 * LINE_PROBE_MS + 60_000);
    expect(port.state).toMatchObject({ found: true, setting: { baud: 9_600, dataBits: 7, parity: "even" } });
    expect(heard.nets.length).toBeGreaterThanOrEqual(1);
    expect(heard.nets.every((net) => net === -400)).toBe(true);
  });
  it("115200 7E1 (ZCF100) in the end", () => {
    const world = newWorld();
    const line = world.serialPair("meter end", "p1");
    const sender = world.platform("meter");
    const serial = new sender.Serial({ device: line.a.path, baud: 115_200, dataBits: 7, parity: "even", format: "buffer" });
    const telegram = writeTelegram(house, "4.2");
    sender.timer.repeat(() => serial.write(telegram), 10_000);
    const { heard, callbacks } = listen();
    const port = new P1Port(world.platform("controller"), { source: { kind: "serial", device: line.b.path }, ...callbacks });
    world.runFor(4 * LINE_PROBE_MS);
    expect(port.state).toMatchObject({ found: true, setting: { baud: 115_200, dataBits: 7 } });
    expect(heard.nets.length).toBeGreaterThan(0);
  });
  it("a found setting survives silence, and is searched anew after LINE_LOST_MS", () => {
    const { world, heard, meter, line, port } = onLine("5.0");
    world.runFor(2_500);
    meter.close();
    world.runFor(P1_SILENCE_MS + 5_000);
    expect(port.counts.silences).toBe(1);
    expect(port.state).toMatchObject({ found: true });
    // Another meter is put in: an old one.
    new P1Meter(world.platform("old meter"), { version: "2.2", output: { kind: "serial", device: line.a.path }, telegrams: { state: () => ({ ...house, power: [1_000] }) } });
    const before = heard.nets.length;
    world.runFor(LINE_LOST_MS + 3 * LINE_PROBE_MS + 60_000);
    expect(port.state).toMatchObject({ found: true, setting: { baud: 9_600 } });
    // A CRC was seen on this port: an old meter is named, not believed.
    expect(heard.nets.length).toBe(before);
    expect(heard.errors.at(-1)).toMatchObject({ rule: "no_crc" });
  });
  it("a fixed setting is not left", () => {
    const world = newWorld();
    const line = world.serialPair("meter end", "p1");
    const port = new P1Port(world.platform("controller"), { source: { kind: "serial", device: line.b.path, setting: { baud: 9_600, dataBits: 7, parity: "even" } }, onTelegram: () => {} });
    world.runFor(5 * LINE_PROBE_MS);
    expect(port.state).toMatchObject({ kind: "listening", setting: { baud: 9_600 } });
  });
});

const P1_LINES_8N1 = { baud: 115_200, dataBits: 8, parity: "none" };

describe("whatever happens to the stream", () => {
  it("an unplugged cable: opened again with a growing pause", () => {
    const { world, heard, line, port } = onLine("5.0");
    world.runFor(2_500);
    line.b.plugged = false;
    world.runFor(60_000);
    expect(port.counts.streamErrors).toBeGreaterThan(3);
    expect(port.counts.streamErrors).toBeLessThan(12);
    const before = heard.nets.length;
    line.b.plugged = true;
    world.runFor(35_000);
    expect(heard.nets.length).toBeGreaterThan(before);
    expect(heard.states.some((state) => state.kind === "closed")).toBe(true);
  });
  it("a device that is not there yet", () => {
    const world = newWorld();
    const { heard, callbacks } = listen();
    const port = new P1Port(world.platform("controller"), { source: { kind: "serial", device: "/dev/none" }, ...callbacks });
    world.runFor(20_000);
    expect(port.state).toMatchObject({ kind: "closed" });
    port.close();
    const said = heard.states.length;
    world.runFor(60_000);
    expect(heard.states.length).toBe(said);
  });
  it("bit errors cost the telegrams they hit and no other", () => {
    const { world, line, heard } = onLine("5.0");
    let count = 0;
    line.b.tamper = (bytes) => {
      // One bit in some 1,500 bytes: about every second telegram.
      const copy = bytes.slice();
      for (let i = 0; i < copy.length; i++) if (++count % 1_511 === 0) copy[i]! ^= 4;
      return copy;
    };
    world.runFor(60_500);
    expect(heard.nets.every((net) => net === -400)).toBe(true);
    expect(heard.nets.length).toBeGreaterThan(10);
    expect(heard.errors.length).toBeGreaterThan(10);
    expect(heard.nets.length + heard.errors.length).toBeGreaterThanOrEqual(59);
  });
  it("gives the text message once for each change", () => {
    let text = "";
    const { world, heard } = onLine("5.0", () => ({ ...house, text }));
    world.runFor(3_500);
    text = "VN1:abc";
    world.runFor(3_500);
    text = "";
    world.runFor(3_500);
    expect(heard.texts).toEqual(["", "VN1:abc", ""]);
  });
});

describe("over TCP, and passed on", () => {
  const platforms: NodePlatform[] = [];
  const directories: string[] = [];
  const node = (): NodePlatform => {
    const directory = mkdtempSync(join(tmpdir(), "vangnet-p1-test-"));
    directories.push(directory);
    const platform = nodePlatform({ dataDirectory: directory, log: () => {} });
    platforms.push(platform);
    return platform;
  };
  afterEach(() => {
    for (const platform of platforms.splice(0)) platform.close();
    for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
  });

  it("reads from one socket and relays the same bytes to another, over real sockets", async () => {
    const platform = node();
    const meter = new P1Meter(platform, { version: "5.0", output: { kind: "tcp", port: 0, address: "127.0.0.1" }, telegrams: { recorded: [vector("esmr5_text.txt")] }, periodMs: 120 });
    const relay = new P1Relay(platform, { port: 0, address: "127.0.0.1" });
    await until(() => meter.port > 0 && (relay.port ?? 0) > 0);
    const { heard, callbacks } = listen();
    const port = new P1Port(platform, { source: { kind: "tcp", host: "127.0.0.1", port: meter.port }, ...callbacks, onTelegram: (telegram) => relay.send(telegram) });
    const received: Uint8Array[] = [];
    const socket = connect({ host: "127.0.0.1", port: relay.port! });
    socket.on("data", (chunk) => received.push(chunk));
    await until(() => received.reduce((sum, chunk) => sum + chunk.length, 0) >= 2 * vector("esmr5_text.txt").length);
    socket.destroy();
    const all = splitTelegrams(Uint8Array.from(received.flatMap((chunk) => [...chunk])));
    expect(all[0]).toEqual(vector("esmr5_text.txt"));
    expect(heard.errors).toEqual([]);
    port.close();
    relay.close();
    meter.close();
  });

  it("connects again when the other end has gone, under virtual time", () => {
    const world = newWorld();
    const server = world.platform("server");
    const output = { kind: "tcp", port: 2_001 } as const;
    let meter = new P1Meter(server, { version: "5.0", output, telegrams: { state: () => house } });
    const { heard, callbacks } = listen();
    new P1Port(world.platform("controller"), { source: { kind: "tcp", host: "server", port: 2_001 }, ...callbacks });
    world.runFor(3_500);
    expect(heard.nets.length).toBeGreaterThan(0);
    meter.close();
    world.runFor(10_000);
    const before = heard.nets.length;
    meter = new P1Meter(server, { version: "5.0", output, telegrams: { state: () => house } });
    world.runFor(60_000);
    expect(heard.nets.length).toBeGreaterThan(before + 10);
  });

  it("a slow reader is dropped, a fifth is turned away, the others and the controller do not notice", () => {
    const world = newWorld();
    const controller = world.platform("controller");
    const line = world.serialPair("meter end", "p1");
    new P1Meter(world.platform("meter"), { version: "5.0", output: { kind: "serial", device: line.a.path }, telegrams: { state: () => house } });
    const relay = new P1Relay(controller, { port: 2_001 });
    let telegrams = 0;
    new P1Port(controller, { source: { kind: "serial", device: line.b.path }, onTelegram: (telegram) => { telegrams++; relay.send(telegram); } });
    const client = world.platform("client");
    const read = Array<number>(P1_RELAY_READERS_MAX + 1).fill(0);
    const ended = Array<boolean>(P1_RELAY_READERS_MAX + 1).fill(false);
    for (let i = 0; i <= P1_RELAY_READERS_MAX; i++) {
      const stream = new client.TCP({
        host: "controller", port: 2_001, format: "buffer",
        onReadable: () => { if (i !== 0) read[i]! += stream.read()?.byteLength ?? 0; }, // the first never reads
        onError: () => { ended[i] = true; },
      });
      world.runFor(5);
    }
    world.runFor(200_000);
    expect(relay.counts).toMatchObject({ accepted: P1_RELAY_READERS_MAX, refused: 1, dropped: 1 });
    expect(ended.slice(1)).toEqual([false, false, false, true]); // the first sees its end only once it reads
    expect(telegrams).toBeGreaterThanOrEqual(198);
    expect(relay.readers).toBe(P1_RELAY_READERS_MAX - 1);
    for (const bytes of read.slice(1, P1_RELAY_READERS_MAX)) expect(bytes).toBeGreaterThan(195 * 800);
  });

  it("the longest telegram reaches a reader, and one that has a usual telegram to read yet", () => {
    const world = newWorld();
    const relay = new P1Relay(world.platform("controller"), { port: 2_001 });
    const read: number[] = [];
    const stream = new (world.platform("client").TCP)({ host: "controller", port: 2_001, format: "buffer", onReadable: () => { read.push(stream.read()?.byteLength ?? 0); } });
    world.runFor(50);
    const send = (bytes: number) => relay.send({ bytes: new Uint8Array(bytes), start: 0, end: bytes } as Telegram);
    send(TELEGRAM_BYTES_MAX);
    world.runFor(50);
    send(1_000);
    send(TELEGRAM_BYTES_MAX);
    world.runFor(50);
    expect(relay.counts.dropped).toBe(0);
    expect(read.reduce((sum, bytes) => sum + bytes, 0)).toBe(2 * TELEGRAM_BYTES_MAX + 1_000 + 3 * 2);
  });
});

describe.skipIf(absent("socat"))(titled("over a pty, with serialport", "socat"), () => {
  it.each(["5.0", "2.2"] as const)("DSMR %s", async (version) => {
    const pty = await openPty();
    if (typeof pty === "string") throw new Error(pty);
    const directory = mkdtempSync(join(tmpdir(), "vangnet-p1-test-"));
    const platform = nodePlatform({ dataDirectory: directory, log: () => {} });
    try {
      const { baud, dataBits, parity } = P1_LINES[version];
      const meter = new P1Meter(platform, { version, output: { kind: "serial", device: pty.inner }, telegrams: { state: () => ({ ...house, power: [510] }) }, periodMs: 1_000 });
      const { heard, callbacks } = listen();
      const port = new P1Port(platform, { source: { kind: "serial", device: pty.outer, setting: { baud, dataBits, parity } }, crc: version === "2.2" ? "none" : "required", ...callbacks });
      await until(() => heard.nets.length >= 2);
      expect(heard.nets.slice(0, 2)).toEqual([510, 510]);
      port.close();
      meter.close();
    } finally {
      platform.close();
      pty.close();
      rmSync(directory, { recursive: true, force: true });
    }
  });
});

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 15_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error("did not come");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
