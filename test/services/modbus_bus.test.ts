import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { SimWorld } from "../../hal/sim/world.js";
import { ModbusRtuBus, ModbusTcpBus } from "../../src/services/modbus_bus.js";
import type { ModbusBus } from "../../src/services/modbus_bus.js";
import type { ModbusRequest, ModbusResult } from "../../src/wire/modbus.js";
import { RtuLine, sealed, TcpDevice, world } from "./modbus_slave.js";
import type { Mangle } from "./modbus_slave.js";

const RUNS = Number(process.env["VANGNET_RUNS"] ?? 1);
const LINE = { baud: 19_200, parity: "even", stopBits: 1 } as const;

function rtu(w: SimWorld, options: { timeout?: number; retries?: number } = {}): { bus: ModbusRtuBus; line: RtuLine } {
  w.serialPair("home485", "line485");
  const line = new RtuLine(w, "line485", LINE);
  const platform = w.platform("home");
  const bus = new ModbusRtuBus({ io: platform.Serial, timer: platform.timer, monotonic: () => platform.monotonic(), line: { device: "home485", ...LINE }, timeout: 300, ...options });
  return { bus, line };
}
function tcp(w: SimWorld, options: { timeout?: number; retries?: number; parallel?: number } = {}): ModbusTcpBus {
  const platform = w.platform("home");
  return new ModbusTcpBus({ io: platform.TCP, timer: platform.timer, monotonic: () => platform.monotonic(), host: "device", port: 502, timeout: 300, ...options });
}

interface Told { result: ModbusResult; at: number; took: number }
/** A request and the one call of its callback; a second call fails the test. */
function ask(w: SimWorld, bus: ModbusBus, unit: number, request: ModbusRequest): { told: Told | null } {
  const slot: { told: Told | null } = { told: null };
  const sent = w.now;
  let inside = true;
  bus.request(unit, request, (result) => {
    expect(inside, "called from within request()").toBe(false);
    expect(slot.told, "called twice").toBeNull();
    slot.told = { result, at: w.now, took: w.now - sent };
  });
  inside = false;
  return slot;
}
const rule = (slot: { told: Told | null }): string => (slot.told === null ? "nothing" : slot.told.result.ok ? "ok" : slot.told.result.rule);
const values = (slot: { told: Told | null }): readonly number[] => (slot.told?.result.ok ? slot.told.result.values : []);
const read = (address: number, count = 1): ModbusRequest => ({ function: 3, address, count });
const write = (address: number, value: number): ModbusRequest => ({ function: 16, address, values: [value] });

describe("Modbus RTU bus", () => {
  it("reads, writes, and leaves the line quiet between frames", () => {
    const w = world();
    const { bus, line } = rtu(w);
    line.unit(1).holding.set(10, 4711);
    const slots = [ask(w, bus, 1, read(10)), ask(w, bus, 1, write(20, 5)), ask(w, bus, 1, { function: 6, address: 21, value: 6 })];
    w.runFor(1_000);
    expect(slots.map(rule)).toEqual(["ok", "ok", "ok"]);
    expect(values(slots[0]!)).toEqual([4711]);
    // The writes went before the read that was asked first.
    expect(line.unit(1).requests.map((pdu) => pdu[0])).toEqual([16, 6, 3]);
    // 3.5 characters at 19,200 baud are 2.0 ms; an answer of 8 bytes takes 4.6 ms, the device 5.
    for (let i = 1; i < line.seen.length; i++) expect(line.seen[i]![0] - line.seen[i - 1]![0]).toBeGreaterThanOrEqual(11);
  });

  it.each([1, 2, 3, 4, 5, 6])("exception %i is the device's word: told at once, not retried, no back-off", (code) => {
    const w = world();
    const { bus, line } = rtu(w);
    line.unit(1).exception = code;
    const slot = ask(w, bus, 1, read(10));
    w.runFor(1_000);
    expect(rule(slot)).toBe(`exception_${code}`);
    expect(line.seen.length).toBe(1);
    expect(bus.status.units[0]).toMatchObject({ failures: 0, backoff: 0 });
  });

  it.each<[string, Mangle]>([
    ["timeout", () => []],
    ["wrong_unit", (frame, _unit, delay) => [{ afterMs: delay, bytes: sealed([9, ...frame.slice(1, -2)]) }]],
    ["wrong_function", (frame, _unit, delay) => [{ afterMs: delay, bytes: sealed([frame[0]!, 4, ...frame.slice(2, -2)]) }]],
    ["bad_length", (frame, _unit, delay) => [{ afterMs: delay, bytes: frame.slice(0, -1) }]],
    ["bad_length", (frame, _unit, delay) => [{ afterMs: delay, bytes: sealed([frame[0]!, 3, 4, 0, 1, 0, 2]) }]],
    ["crc", (frame, _unit, delay) => [{ afterMs: delay, bytes: [...frame.slice(0, -1), frame[frame.length - 1]! ^ 1] }]],
  ])("%s, retried, then told by that name", (expected, mangle) => {
    const w = world();
    const { bus, line } = rtu(w, { retries: 2 });
    line.unit(1).holding.set(10, 1);
    line.mangle = mangle;
    const slot = ask(w, bus, 1, read(10));
    w.runFor(2_000);
    expect(rule(slot)).toBe(expected);
    expect(line.seen.length).toBe(3);
  });

  it("an answer in pieces, with noise before it, is taken", () => {
    const w = world();
    const { bus, line } = rtu(w);
    line.unit(1).holding.set(10, 77);
    line.mangle = (frame, _unit, delay) => [
      { afterMs: 1, bytes: [0x55, 0xaa, 1, 3] }, { afterMs: delay, bytes: frame.slice(0, 3) }, { afterMs: delay + 60, bytes: frame.slice(3) },
    ];
    const slot = ask(w, bus, 1, read(10));
    w.runFor(1_000);
    expect(values(slot)).toEqual([77]);
    expect(line.seen.length).toBe(1);
  });

  it("a late answer after the timeout is not taken for the next request", () => {
    const w = world();
    // A slow unit: its timeout is longer than the first back-off, so the back-off alone does not help.
    const { bus, line } = rtu(w, { retries: 0, timeout: 3_000 });
    line.unit(1).holding.set(10, 1010).set(20, 2020);
    const delays = [5_100, 2_000];
    line.mangle = (frame) => [{ afterMs: delays.shift() ?? 5, bytes: frame }];
    const a = ask(w, bus, 1, read(10));
    w.runFor(4_200);
    expect(rule(a)).toBe("timeout");
    const b = ask(w, bus, 1, read(20));
    w.runFor(20_000);
    expect(values(b)).toEqual([2020]);
    expect(bus.status.counters.unexpected).toBe(7);
  });

  it("the second answer of a request that was repeated is not taken for the next one", () => {
    const w = world();
    const { bus, line } = rtu(w, { retries: 2 });
    line.unit(1).holding.set(10, 1010).set(20, 2020);
    // Every answer takes 1.3 timeouts: the first arrives during the repetition, the second after it.
    line.mangle = (frame) => [{ afterMs: 390, bytes: frame }];
    const a = ask(w, bus, 1, read(10));
    const b = ask(w, bus, 1, read(20));
    w.runFor(3_000);
    expect(values(a)).toEqual([1010]);
    expect(values(b)).toEqual([2020]);
  });

  it("one dead device of three takes a bounded share of the line", () => {
    const w = world(7);
    const { bus, line } = rtu(w, { retries: 2 });
    for (const id of [1, 2, 3]) line.unit(id).holding.set(10, id);
    line.unit(2).dead = true;
    const took: number[] = [];
    const rules = new Map<string, number>();
    let pending = 0;
    const again = (unit: number): void => {
      pending++;
      const slot = ask(w, bus, unit, read(10));
      const wait = (): void => {
        if (slot.told === null) return void w.schedule(1, wait);
        pending--;
        if (unit !== 2) {
          expect(values(slot)).toEqual([unit]);
          took.push(slot.told.took);
        } else rules.set(rule(slot), (rules.get(rule(slot)) ?? 0) + 1);
        w.schedule(unit === 2 ? 200 : 50, () => again(unit));
      };
      wait();
    };
    for (const unit of [1, 2, 3]) again(unit);
    w.runFor(300_000);
    expect(pending).toBeLessThanOrEqual(3);
    // Never longer than one timeout of the dead one plus the other's own exchange.
    expect(Math.max(...took)).toBeLessThan(300 + 20 + 2 * 45);
    took.sort((x, y) => x - y);
    expect(took[Math.floor(took.length * 0.98)]).toBeLessThan(60);
    // Three attempts, then one per interval: 1, 2, 4, 8, 16, 30, 30, ... s: 14 probes in 5 min.
    const probes = line.seen.filter(([, unit]) => unit === 2).length;
    expect(probes).toBeGreaterThanOrEqual(3 + 12);
    expect(probes).toBeLessThanOrEqual(3 + 15);
    expect(rules.get("timeout")).toBe(probes - 2);
  });

  it("a unit that answers again is served at once and loses its back-off", () => {
    const w = world();
    const { bus, line } = rtu(w);
    line.unit(1).dead = true;
    const first = ask(w, bus, 1, read(10));
    w.runFor(1_500);
    expect(rule(first)).toBe("timeout");
    const refused = ask(w, bus, 1, read(10));
    w.runFor(10);
    expect(rule(refused)).toBe("backing_off");
    line.unit(1).dead = false;
    w.runFor(1_000);
    const probe = ask(w, bus, 1, read(10));
    w.runFor(100);
    expect(rule(probe)).toBe("ok");
    expect(bus.status.units[0]).toMatchObject({ failures: 0, backoff: 0 });
  });

  it("the newest setpoint takes the place of the waiting one; a full queue refuses by name and keeps the write", () => {
    const w = world();
    const { bus, line } = rtu(w);
    line.unit(1);
    const reads = Array.from({ length: 17 }, (_, i) => ask(w, bus, 1, read(i)));
    const old = ask(w, bus, 1, write(100, 16));
    const fresh = ask(w, bus, 1, write(100, 6));
    w.runFor(3_000);
    expect(rule(old)).toBe("superseded");
    expect(rule(fresh)).toBe("ok");
    expect(line.unit(1).writes).toEqual([[16, 100, 6]]);
    expect(reads.map(rule).filter((one) => one === "queue_full").length).toBe(2);
    expect(reads.map(rule).filter((one) => one === "ok").length).toBe(15);
  });

  it("refuses what cannot go onto the line, broadcast first", () => {
    const w = world();
    const { bus, line } = rtu(w);
    line.unit(1);
    const slots = [ask(w, bus, 0, write(1, 1)), ask(w, bus, 248, read(1)), ask(w, bus, 1, read(1, 126))];
    w.runFor(500);
    expect(slots.map(rule)).toEqual(["refused", "refused", "refused"]);
    expect(line.seen).toEqual([]);
  });

  it("the adapter unplugged: told as disconnected, opened again when it is back", () => {
    const w = world();
    const { bus, line } = rtu(w);
    line.unit(1).holding.set(10, 3);
    const before = ask(w, bus, 1, read(10));
    w.runFor(100);
    expect(rule(before)).toBe("ok");
    w.serialEnd("home485")!.plugged = false;
    w.runFor(100);
    const during = ask(w, bus, 1, read(10));
    w.runFor(100);
    expect(rule(during)).toBe("disconnected");
    w.runFor(10_000);
    w.serialEnd("home485")!.plugged = true;
    w.runFor(40_000);
    const after = ask(w, bus, 1, read(10));
    w.runFor(100);
    expect(rule(after)).toBe("ok");
    expect(bus.generation).toBe(2);
  });

  it("a bug in one caller's callback stops nobody", () => {
    const w = world();
    const { bus, line } = rtu(w);
    line.unit(1);
    bus.request(1, read(1), () => { throw new Error("a bug"); });
    const other = ask(w, bus, 1, read(2));
    w.runFor(500);
    expect(rule(other)).toBe("ok");
    expect(bus.status.counters.callbackErrors).toBe(1);
  });

  it("faults at random: never a wrong value, every callback once, healthy again afterwards", () => {
    fc.assert(fc.property(fc.nat(), (seed) => {
      const w = world(seed);
      const { bus, line } = rtu(w, { retries: 1 });
      for (const id of [1, 2]) for (let i = 0; i < 8; i++) line.unit(id).holding.set(i, id * 100 + i);
      let faulty = true;
      line.mangle = (frame, _unit, delay) => {
        const kind = faulty ? w.random.u32() % 8 : 7;
        switch (kind) {
          case 0: return [];
          case 1: return [{ afterMs: delay, bytes: frame.slice(0, w.random.u32() % frame.length) }];
          case 2: return [{ afterMs: 310 + (w.random.u32() % 250), bytes: frame }]; // late, by less than a timeout
          case 3: return [{ afterMs: delay, bytes: frame.map((b, i) => (i === w.random.u32() % frame.length ? b ^ 4 : b)) }];
          case 4: return [{ afterMs: delay, bytes: [...frame, ...frame] }];
          case 5: return [{ afterMs: delay, bytes: [w.random.u32() & 255, w.random.u32() & 255, ...frame] }];
          default: return [{ afterMs: delay, bytes: frame }];
        }
      };
      const slots: { slot: { told: Told | null }; expected: number }[] = [];
      for (let i = 0; i < 60; i++) {
        const id = 1 + (w.random.u32() % 2), address = w.random.u32() % 8;
        slots.push({ slot: ask(w, bus, id, read(address)), expected: id * 100 + address });
        w.runFor(w.random.u32() % 400);
      }
      w.runFor(60_000);
      for (const { slot, expected } of slots) {
        expect(rule(slot)).not.toBe("nothing");
        if (rule(slot) === "ok") expect(values(slot)).toEqual([expected]);
      }
      faulty = false;
      w.runFor(31_000);
      const last = [ask(w, bus, 1, read(3)), ask(w, bus, 2, read(4))];
      w.runFor(3_000);
      expect(last.map(values)).toEqual([[103], [204]]);
    }), { numRuns: 40 * RUNS });
  }, 60_000);
});

describe("Modbus TCP bus", () => {
  it("reads and writes, one transaction at a time", () => {
    const w = world();
    const device = new TcpDevice(w);
    device.unit(1).holding.set(10, 4711);
    const bus = tcp(w);
    const slots = [ask(w, bus, 1, read(10)), ask(w, bus, 1, write(20, 5))];
    w.runFor(200);
    expect(slots.map(rule)).toEqual(["ok", "ok"]);
    expect(values(slots[0]!)).toEqual([4711]);
    expect(new Set(device.transactions).size).toBe(2);
    expect(device.connections).toBe(1);
  });

  it.each<[string, Mangle]>([
    ["timeout", () => []],
    ["wrong_unit", (f, _u, d) => [{ afterMs: d, bytes: [...f.slice(0, 6), 99, ...f.slice(7)] }]],
    ["wrong_transaction", (f, _u, d) => [{ afterMs: d, bytes: [f[0]! ^ 1, ...f.slice(1)] }]],
    ["wrong_function", (f, _u, d) => [{ afterMs: d, bytes: [...f.slice(0, 7), 4, ...f.slice(8)] }]],
    ["bad_length", (f, _u, d) => [{ afterMs: d, bytes: [...f.slice(0, 5), f[5]! + 2, ...f.slice(6), 0, 0] }]],
    ["bad_length", (f, _u, d) => [{ afterMs: d, bytes: f.slice(0, -1) }]],
  ])("%s", (expected, mangle) => {
    const w = world();
    const device = new TcpDevice(w);
    device.unit(1).holding.set(10, 1);
    device.mangle = mangle;
    const slot = ask(w, tcp(w, { retries: 1 }), 1, read(10));
    w.runFor(3_000);
    expect(rule(slot)).toBe(expected);
  });

  it("late and duplicate answers are known by their transaction and dropped", () => {
    const w = world();
    const device = new TcpDevice(w);
    device.unit(1).holding.set(10, 1010).set(20, 2020);
    let n = 0;
    device.mangle = (frame, _unit, delay) => (n++ === 0
      ? [{ afterMs: 400, bytes: frame }, { afterMs: 401, bytes: frame }]
      : [{ afterMs: 150 + delay, bytes: frame }]);
    const bus = tcp(w, { retries: 1 });
    const a = ask(w, bus, 1, read(10)), b = ask(w, bus, 1, read(20));
    w.runFor(2_000);
    expect(values(a)).toEqual([1010]);
    expect(values(b)).toEqual([2020]);
    expect(bus.status.counters.unexpected).toBe(2);
  });

  it("a gateway's dead unit (exception 11) backs off and the others go on", () => {
    const w = world();
    const device = new TcpDevice(w);
    device.unit(1).holding.set(10, 1);
    device.unit(2).exception = 11;
    device.unit(2).delayMs = 250;
    const bus = tcp(w, { retries: 0 });
    const took: number[] = [];
    for (let i = 0; i < 100; i++) {
      ask(w, bus, 2, read(10));
      const slot = ask(w, bus, 1, read(10));
      w.runFor(600);
      expect(values(slot)).toEqual([1]);
      took.push(slot.told!.took);
    }
    expect(Math.max(...took)).toBeLessThan(300);
    expect(device.unit(2).requests.length).toBeLessThanOrEqual(7);
    expect(device.connections).toBe(1);
  });

  it("with pipelining a slow unit of a gateway delays no other", () => {
    const w = world();
    const device = new TcpDevice(w);
    device.unit(1).holding.set(10, 1);
    device.unit(2).holding.set(10, 2);
    device.unit(2).delayMs = 250;
    const bus = tcp(w, { parallel: 2 });
    const slow = ask(w, bus, 2, read(10)), slow2 = ask(w, bus, 2, read(10)), quick = ask(w, bus, 1, read(10));
    w.runFor(2_000);
    expect(quick.told!.took).toBeLessThan(30);
    expect([slow, slow2, quick].map(values)).toEqual([[2], [2], [1]]);
  });

  it("refused, cut and restored: requests end as disconnected, the bus comes back by itself", () => {
    const w = world();
    const bus = tcp(w);
    const early = ask(w, bus, 1, read(10));
    w.runFor(500);
    expect(rule(early)).toBe("disconnected");
    const device = new TcpDevice(w);
    device.unit(1).holding.set(10, 1);
    w.runFor(3_000);
    const up = ask(w, bus, 1, read(10));
    w.runFor(100);
    expect(rule(up)).toBe("ok");
    const cut = ask(w, bus, 1, read(10));
    w.cutConnections("home", "device");
    w.runFor(50);
    expect(rule(cut)).toBe("disconnected");
    w.runFor(1_200);
    const again = ask(w, bus, 1, read(10));
    w.runFor(100);
    expect(rule(again)).toBe("ok");
    expect(bus.generation).toBe(2);
  });

  it("a connection that has gone silent, or out of step, is made afresh", () => {
    const w = world();
    const device = new TcpDevice(w);
    device.unit(1).holding.set(10, 1);
    const bus = tcp(w, { retries: 0 });
    // Half a frame: whatever follows would be read as its rest.
    device.mangle = (frame, _unit, delay) => [{ afterMs: delay, bytes: [...frame.slice(0, 5), 200, ...frame.slice(6)] }];
    const bad = ask(w, bus, 1, read(10));
    w.runFor(400);
    expect(rule(bad)).toBe("bad_length");
    device.mangle = (frame, _unit, delay) => [{ afterMs: delay, bytes: frame }];
    w.runFor(2_500);
    const good = ask(w, bus, 1, read(10));
    w.runFor(100);
    expect(values(good)).toEqual([1]);
    expect(device.connections).toBe(2);
  });

  it("close ends everything once, and what is asked later is refused", () => {
    const w = world();
    const device = new TcpDevice(w);
    device.unit(1);
    const bus = tcp(w);
    w.runFor(50);
    const slots = [ask(w, bus, 1, read(1)), ask(w, bus, 1, read(2))];
    w.runFor(3);
    bus.close();
    bus.close();
    slots.push(ask(w, bus, 1, read(3)));
    w.runFor(60_000);
    expect(slots.map(rule)).toEqual(["disconnected", "disconnected", "refused"]);
    expect(device.connections).toBe(1);
  });

  it("a constructor that throws (no network yet) is a disconnection, not a crash", () => {
    const w = world();
    const platform = w.platform("home");
    let tries = 0;
    class NoNetwork { constructor() { tries++; throw new Error("no network"); } }
    const bus = new ModbusTcpBus({ io: NoNetwork as never, timer: platform.timer, monotonic: () => platform.monotonic(), host: "device" });
    const slot = ask(w, bus, 1, read(1));
    w.runFor(100_000);
    expect(rule(slot)).toBe("disconnected");
    expect(tries).toBeGreaterThanOrEqual(6);
    expect(tries).toBeLessThanOrEqual(9);
  });
});
