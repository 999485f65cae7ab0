/** Real (pseudo) serial lines, and cables pulled: socat's ptys, an RTU server of modbus-serial, a broker killed. */
import { execFileSync } from "node:child_process";
import { readlinkSync, realpathSync } from "node:fs";
import { ServerSerial } from "modbus-serial";
import { connectAsync } from "mqtt";
import { SerialPort } from "serialport";
import { afterEach, describe, expect, it } from "vitest";
import { writeTelegram, type P1Version } from "../../tools/emulators/p1_telegram.js";
import { P1Meter } from "../../tools/emulators/p1_meter.js";
import { topicOf } from "../../tools/operator/deliver.js";
import type { OperatorState } from "../../tools/operator/files.js";
import { reissue } from "../../tools/operator/issue.js";
import { TEST_EAN } from "../helpers/token.js";
import { absent, titled } from "../need.js";
import { HostStalls, Mosquitto, pause, Ptys, RealCharger, RealHouse, until } from "./real_house.js";

const AUD = `ean:${TEST_EAN}`;
let cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
  cleanups = [];
});

async function ptys(): Promise<Ptys> {
  const made = new Ptys();
  cleanups.push(() => made.close());
  await made.open();
  return made;
}
const house = (behind: number): RealHouse => {
  const made = new RealHouse(behind);
  cleanups.push(() => made.close());
  return made;
};

describe.skipIf(absent("socat"))(titled("the meter on a serial line", "socat"), () => {
  it("115200 8N1: telegrams are read at once, paced as the real line; the cable pulled is noticed, and safe in time", async () => {
    const line = await ptys();
    const home = house(150);
    const meter = new P1Meter(home.time.platform, { version: "5.0", output: { kind: "serial", device: line.theirs }, telegrams: { state: () => home.state() } });
    cleanups.push(() => meter.close());
    await home.start({ site: (json) => { json["meter"] = { type: "p1", device: line.ours }; } });
    await until(() => home.controller.status().counters["readings"]! > 0, "a reading", 5_000);
    await until(() => home.controller.status().reading.freshness === "fresh", "fresh", 2_000);
    expect(home.controller.status().reading).toMatchObject({ source: "p1", net: 600 });
    // The line's own pace is part of it: 115200 baud are 11,520 bytes in a second of house time.
    home.time.pace = 16;
    await until(() => home.charger.told >= 6_000, "charging", 30_000);
    home.time.pace = 1;
    await until(() => home.controller.status().reading.age! < 1_500, "fresh");
    expect(home.controller.status().counters).toMatchObject({ telegramErrors: 0, implausible: 0, faults: 0 });

    const stalls = new HostStalls();
    cleanups.push(async () => stalls.close());
    const pulled = performance.now();
    await line.unplug();
    await until(() => home.charger.told === 0, "safe", 25_000);
    const { at } = home.charger.writes.at(-1)!, took = at - pulled - stalls.during(pulled, at);
    console.log(`P1 cable pulled until the charger's register is at 0: ${(took / 1000).toFixed(1)} s`);
    expect(took).toBeLessThanOrEqual(10_000 + 1_100);
    expect(home.controller.status().devices[0]!.words).toContain("no telegram for too long: safe value");
  });

  it("9600 7E1: the setting is found by trying, and a DSMR 3.0 meter without CRC is read", async () => {
    const line = await ptys();
    const home = house(60);
    const port = new SerialPort({ path: line.theirs, baudRate: 115_200 });
    await new Promise<void>((resolve) => port.once("open", () => resolve()));
    cleanups.push(() => new Promise<void>((resolve) => { port.close(() => resolve()); }));
    // A pty keeps the baud rate but not the parity: what a UART would make of it is made here.
    const tried = new Set<number>();
    const speed = (): number => Number(execFileSync("stty", ["-F", realpathSync(line.ours), "speed"], { encoding: "utf8" }));
    home.time.pace = 40;
    home.time.platform.timer.repeat(() => {
      const clear = writeTelegram(home.state(), "3.0" satisfies P1Version);
      tried.add(speed());
      port.write(speed() === 9_600 ? Buffer.from(clear) : Buffer.from(clear).subarray(0, 300).map((byte, i) => (byte * 37 + i * 101) & 0xff));
    }, 10_000);
    await home.start({ site: (json) => { json["meter"] = { type: "p1", device: line.ours }; } });
    await until(() => home.controller.status().counters["readings"]! >= 2, "readings", 20_000);
    expect([...tried]).toEqual(expect.arrayContaining([115_200, 9_600]));
    expect(speed()).toBe(9_600);
    expect(home.controller.status().reading.net).toBe(600);
    expect(readlinkSync(line.ours)).toContain("pts");
  });

  it("a charger on Modbus RTU: its register follows, its cable pulled is named, and it is written again when it is back", async () => {
    const line = await ptys();
    const home = house(150);
    const rtu = new RealCharger();
    const serve = async (): Promise<ServerSerial> => {
      const server = new ServerSerial(rtu.vector, { path: line.theirs, baudRate: 19_200, unitID: 1 });
      await new Promise<void>((resolve) => { server.on("initialized", () => resolve()); });
      return server;
    };
    let server: ServerSerial | null = await serve();
    const stop = (): Promise<void> => new Promise((resolve) => {
      if (server === null) resolve();
      else server.close(() => resolve());
      server = null;
    });
    cleanups.push(stop);
    await home.start({ site: (json) => {
      json["buses"]["rtu"] = { device: line.ours, baud: 19_200 };
      json["devices"].push({ id: "second", kind: "ev", profile: "alfen", bus: "rtu", phases: [1, 2, 3], maximum_A: 8 });
      json["connection"]["fuse_A"] = 35;
    } });
    await until(() => rtu.writes.length > 0, "a first setpoint on the RTU line", 5_000);
    expect(rtu.writes[0]!.milliamps).toBe(0);
    home.meterOn();
    home.time.pace = 12;
    await until(() => rtu.told >= 6_000 && home.charger.told >= 6_000, "both charge", 30_000);
    await stop();
    await until(() => home.controller.status().devices[1]!.online === false, "offline", 15_000);
    await until(() => home.controller.status().devices[1]!.words.includes("does not answer: safe value"), "told its safe value", 2_000);
    expect(home.controller.status().devices[1]!.fault).toBe("timeout");
    const other = home.charger.told;
    expect(other).toBeGreaterThanOrEqual(6_000);
    const wrote = rtu.writes.length;
    server = await serve();
    await until(() => rtu.writes.length > wrote, "written again", 32_000);
    await until(() => home.controller.status().devices[1]!.online, "back", 10_000);
    expect(home.charger.told).toBeGreaterThanOrEqual(other);
    expect(home.controller.status().counters["faults"]).toBe(0);
  });
});

describe.skipIf(absent("mosquitto", "openssl"))(titled("what was there is gone", "mosquitto", "openssl"), () => {
  it("broker killed: the link is lost at its exp, failsafe within a second; Modbus server stopped: named, the setpoint is on it when it is back", async () => {
    const broker = new Mosquitto();
    cleanups.push(() => broker.close());
    await broker.start();
    const home = house(150);
    await home.start({ mqtt: `mqtt://127.0.0.1:${broker.ports.plain}`, site: (json) => { json["limits"] = { failsafe_W: 5_000 }; } });
    const client = await connectAsync(`mqtt://127.0.0.1:${broker.ports.plain}`, { protocolVersion: 5, reconnectPeriod: 0 });
    client.on("error", () => {});
    const operator: OperatorState = { audiences: [] };
    const say = (life: number): Promise<unknown> => {
      const { token } = reissue(operator, AUD, home.key, Math.floor(Date.now() / 1000), life, (events) => events);
      return client.publishAsync(topicOf(AUD), Buffer.from(token), { qos: 1, retain: true });
    };
    await say(900);
    await home.charging();
    expect(home.controller.status().limits.import).toBeNull();
    const accepted = home.controller.status().counters["tokensAccepted"]!;
    const stalls = new HostStalls();
    cleanups.push(async () => stalls.close());
    const exp = Math.floor(Date.now() / 1000) + 4;
    await say(4);
    await until(() => home.controller.status().counters["tokensAccepted"]! > accepted, "the short promise is heard", 3_000);
    await broker.kill();
    await client.endAsync(true);
    await until(() => home.charger.told < 16_000, "failsafe on the register", 25_000);
    const late = home.time.epoch() - exp, own = home.controller.status().clock.time! - exp;
    console.log(`broker killed: failsafe on the charger's register ${late.toFixed(2)} s after the promise ran out, ${own} s by the controller's clock`);
    expect(own).toBeGreaterThanOrEqual(0);
    expect(own).toBeLessThanOrEqual(1);
    // The controller's clock is the meter's, whole seconds old when they come, and follows it to within 2 s.
    // It wrote within its own second; what the machine itself took is not the controller's.
    expect(late).toBeLessThanOrEqual(1 + 2 + stalls.during(0, Infinity) / 1000);
    expect(home.controller.status()).toMatchObject({ limits: { state: "failsafe", import: { watts: 5_000, source: "failsafe" } } });
    expect(home.controller.status().link.mqtt!.state).not.toBe("up");
    expect(home.charger.told * 0.69 + 600).toBeLessThanOrEqual(5_000);

    await home.charger.stop();
    const port = home.charger.port;
    home.time.pace = 15;
    await until(() => !home.controller.status().devices[0]!.online, "offline is seen", 10_000);
    const ticks = home.controller.status().counters["ticks"]!;
    await pause(400);
    expect(home.controller.status().counters["ticks"]).toBeGreaterThan(ticks);
    const wrote = home.charger.writes.length;
    await home.charger.listen(port);
    await until(() => home.charger.writes.length > wrote, "written again", 10_000);
    // It may have forgotten everything: what it is told first is no more than the limit leaves.
    expect(home.charger.writes[wrote]!.milliamps * 0.69 + 600).toBeLessThanOrEqual(5_000);
    await until(() => home.controller.status().devices[0]!.online, "back", 10_000);
  });
});
