/** The Modbus client against other people's servers, over real sockets and real (pseudo) serial lines. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as jsmodbus from "jsmodbus";
import { ServerSerial, ServerTCP } from "modbus-serial";
import { SerialPort } from "serialport";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { monotonicClock } from "../../hal/node/clock.js";
import { Serial } from "../../hal/node/serial.js";
import { TCP } from "../../hal/node/tcp.js";
import { nodeTimer } from "../../hal/node/timer.js";
import { alfen } from "../../src/actuation/profiles/alfen.js";
import { DeviceDriver } from "../../src/services/device.js";
import { ModbusRtuBus, ModbusTcpBus } from "../../src/services/modbus_bus.js";
import type { ModbusBus } from "../../src/services/modbus_bus.js";
import type { ModbusRequest, ModbusResult } from "../../src/wire/modbus.js";
import { absent, titled } from "../need.js";

let cleanups: (() => void | Promise<void>)[] = [];
const timer = nodeTimer();
const monotonic = monotonicClock();
afterEach(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
  cleanups = [];
  timer.clearAll();
});

const ask = (bus: ModbusBus, unit: number, request: ModbusRequest): Promise<ModbusResult> =>
  new Promise((resolve) => { bus.request(unit, request, resolve); });
const ok = (...values: number[]): ModbusResult => ({ ok: true, values });
const failed = (rule: string): unknown => ({ ok: false, rule });

/** Everything a client does, against registers 0.. holding 100 + n, input 200 + n, coils n even. */
async function exercise(bus: ModbusBus, unit: number): Promise<void> {
  expect(await ask(bus, unit, { function: 3, address: 0, count: 3 })).toEqual(ok(100, 101, 102));
  expect(await ask(bus, unit, { function: 4, address: 5, count: 2 })).toEqual(ok(205, 206));
  expect(await ask(bus, unit, { function: 1, address: 0, count: 10 })).toEqual(ok(1, 0, 1, 0, 1, 0, 1, 0, 1, 0));
  expect(await ask(bus, unit, { function: 6, address: 7, value: 0xabcd })).toEqual(ok());
  expect(await ask(bus, unit, { function: 16, address: 8, values: [1, 0xffff] })).toEqual(ok());
  expect(await ask(bus, unit, { function: 3, address: 7, count: 3 })).toEqual(ok(0xabcd, 1, 0xffff));
  expect(await ask(bus, unit, { function: 5, address: 3, value: true })).toEqual(ok());
  expect(await ask(bus, unit, { function: 15, address: 4, values: [false, true] })).toEqual(ok());
  expect(await ask(bus, unit, { function: 1, address: 2, count: 4 })).toEqual(ok(1, 1, 0, 1));
  expect(await ask(bus, unit, { function: 3, address: 0, count: 125 })).toMatchObject({ ok: true, values: { length: 125 } });
}

class Registers {
  holding = new Map<number, number>();
  coils = new Map<number, boolean>();
  writes: [number, number][] = [];
  readonly vector = {
    getCoil: (address: number): boolean => this.coils.get(address) ?? address % 2 === 0,
    getHoldingRegister: (address: number): number => {
      // modbus-serial takes the exception's code from the error it catches.
      if (address >= 5_000) throw Object.assign(new Error("no such register"), { modbusErrorCode: 2 });
      return this.holding.get(address) ?? 100 + address;
    },
    getInputRegister: (address: number): number => 200 + address,
    setRegister: (address: number, value: number): void => { this.writes.push([address, value]); this.holding.set(address, value); },
    setCoil: (address: number, value: boolean): void => { this.coils.set(address, value); },
  };
}

describe("Modbus TCP", () => {
  async function modbusSerial(registers = new Registers(), unitID = 1, port = 0): Promise<{ port: number; server: ServerTCP; registers: Registers }> {
    // The library takes 0 for "not given", which is 502; "0" is any free port.
    const server = new ServerTCP(registers.vector, { host: "127.0.0.1", port: (port === 0 ? "0" : port) as number, unitID });
    await new Promise<void>((resolve, reject) => { server.on("initialized", () => resolve()); server.on("serverError", reject); });
    cleanups.push(() => stop(server));
    const bound = (server as unknown as { _server: Server })._server.address() as AddressInfo;
    return { port: bound.port, server, registers };
  }
  const stop = (server: ServerTCP): Promise<void> => new Promise((resolve) => {
    server.close(() => resolve());
    for (const socket of server.socks.keys()) socket.destroy();
  });
  function busTo(port: number, timeout = 500): ModbusTcpBus {
    const bus = new ModbusTcpBus({ io: TCP, timer, monotonic, host: "127.0.0.1", port, timeout, retries: 1 });
    cleanups.push(() => bus.close());
    return bus;
  }

  it("modbus-serial: every function, and its exception", async () => {
    const { port } = await modbusSerial();
    const bus = busTo(port);
    await exercise(bus, 1);
    expect(await ask(bus, 1, { function: 3, address: 5_000, count: 1 })).toEqual(failed("exception_2"));
    expect(bus.status.counters.timeouts).toBe(0);
  });

  it("modbus-serial: a unit it does not serve is silence, named, and the served one goes on", async () => {
    const { port } = await modbusSerial();
    const bus = busTo(port, 150);
    expect(await ask(bus, 9, { function: 3, address: 0, count: 1 })).toEqual(failed("timeout"));
    expect(await ask(bus, 1, { function: 3, address: 0, count: 1 })).toEqual(ok(100));
  });

  it("jsmodbus: every function, and an answer that is too short", async () => {
    const holding = Buffer.alloc(1_000), input = Buffer.alloc(1_000), coils = Buffer.alloc(10, 0x55);
    for (let i = 0; i < 500; i++) { holding.writeUInt16BE(100 + i, 2 * i); input.writeUInt16BE((200 + i) & 0xffff, 2 * i); }
    const server = createServer();
    const sockets = new Set<Socket>();
    server.on("connection", (socket) => { sockets.add(socket); });
    new jsmodbus.server.TCP(server, { holding, input, coils, discrete: Buffer.alloc(10) });
    await new Promise<void>((resolve) => { server.listen(0, "127.0.0.1", resolve); });
    cleanups.push(() => { server.close(); for (const socket of sockets) socket.destroy(); });
    const bus = busTo((server.address() as AddressInfo).port);
    await exercise(bus, 1);
    // A read beyond its end it answers with fewer registers than were asked: not taken, not filled up.
    expect(await ask(bus, 1, { function: 3, address: 490, count: 20 })).toEqual(failed("bad_length"));
  });

  it("a driver over a cut connection: the setpoint is on the new server within the back-off", async () => {
    const first = await modbusSerial();
    const bus = busTo(first.port);
    const driver = new DeviceDriver({ bus, profile: alfen, safe: { kind: "current", value: 0 }, timer, monotonic });
    cleanups.push(() => driver.close());
    const sent = monotonic();
    driver.write({ kind: "current", value: 8_000 });
    await until(() => first.registers.holding.get(1211) !== undefined);
    expect(monotonic() - sent).toBeLessThan(1_000);
    expect(first.registers.holding.get(1210)).toBe(0x4100);
    await stop(first.server);
    const second = await modbusSerial(new Registers(), 1, first.port);
    await until(() => second.registers.holding.get(1210) === 0x4100);
    await until(() => driver.report().applied === 8_000);
    expect(driver.report().online).toBe(true);
    expect(bus.generation).toBe(2);
  });
});

const until = async (done: () => boolean): Promise<void> => {
  const limit = monotonic() + 8_000;
  while (!done()) {
    if (monotonic() > limit) throw new Error("did not come");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};

describe.skipIf(absent("socat"))(titled("Modbus RTU over a pty", "socat"), () => {
  let ours = "", theirs = "";
  beforeEach(async () => {
    const directory = mkdtempSync(join(tmpdir(), "vangnet-rtu-"));
    ours = join(directory, "ours");
    theirs = join(directory, "theirs");
    const socat: ChildProcess = spawn("socat", [`pty,raw,echo=0,link=${ours}`, `pty,raw,echo=0,link=${theirs}`], { stdio: "ignore" });
    cleanups.push(() => new Promise((resolve) => {
      socat.once("exit", () => { rmSync(directory, { recursive: true, force: true }); resolve(); });
      socat.kill();
    }));
    await until(() => existsSync(ours) && existsSync(theirs));
  });
  function bus(): ModbusRtuBus {
    const made = new ModbusRtuBus({ io: Serial, timer, monotonic, line: { device: ours, baud: 19_200 }, timeout: 400, retries: 1 });
    cleanups.push(() => made.close());
    return made;
  }

  it("modbus-serial: every function, its exception, and silence of a unit that is not there", async () => {
    const server = new ServerSerial(new Registers().vector, { path: theirs, baudRate: 19_200, unitID: 1 });
    await new Promise<void>((resolve) => { server.on("initialized", () => resolve()); });
    cleanups.push(() => new Promise((resolve) => { server.close(() => resolve()); }));
    const line = bus();
    await exercise(line, 1);
    expect(await ask(line, 1, { function: 3, address: 5_000, count: 1 })).toEqual(failed("exception_2"));
    expect(await ask(line, 7, { function: 3, address: 0, count: 1 })).toEqual(failed("timeout"));
    expect(await ask(line, 1, { function: 3, address: 0, count: 1 })).toEqual(ok(100));
    expect(line.status.counters).toMatchObject({ crc: 0, badLength: 0 });
  });

  it("jsmodbus: reads and writes", async () => {
    const port = new SerialPort({ path: theirs, baudRate: 19_200 });
    await new Promise<void>((resolve) => { port.once("open", () => resolve()); });
    cleanups.push(() => new Promise((resolve) => { port.close(() => resolve()); }));
    const holding = Buffer.alloc(1_000), input = Buffer.alloc(1_000), coils = Buffer.alloc(10, 0x55);
    for (let i = 0; i < 500; i++) { holding.writeUInt16BE(100 + i, 2 * i); input.writeUInt16BE(200 + i, 2 * i); }
    new jsmodbus.server.RTU(port as never, { holding, input, coils, discrete: Buffer.alloc(10) });
    await exercise(bus(), 1);
  });
});
