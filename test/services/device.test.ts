import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Profile } from "../../src/actuation/profile.js";
import { alfen } from "../../src/actuation/profiles/alfen.js";
import { sunspecInverter } from "../../src/actuation/profiles/sunspec.js";
import type { Setpoint } from "../../src/allocation/decision.js";
import { DEVICE_OFFLINE_MS, READ_BACK_SETTLE_MS } from "../../src/constants.js";
import { DeviceDriver } from "../../src/services/device.js";
import { ModbusRtuBus, ModbusTcpBus } from "../../src/services/modbus_bus.js";
import type { ModbusBus } from "../../src/services/modbus_bus.js";
import type { SimWorld } from "../../hal/sim/world.js";
import { RtuLine, sealed, TcpDevice, world } from "./modbus_slave.js";
import type { Unit } from "./modbus_slave.js";

const amps = (value: number): Setpoint => ({ kind: "current", value: value * 1000 });

/** A charger in whole and tenth amperes, with an enable register, a watchdog and a gap in its map. */
const charger: Profile = {
  id: "test_charger", maker: "none", models: "", document: "test", kind: "ev", unit: 1,
  read: {
    current_l1: { table: "input", address: 10, type: "u16", scale: -1 },
    current_l2: { table: "input", address: 11, type: "u16", scale: -1 },
    current_l3: { table: "input", address: 12, type: "u16", scale: -1 },
    power: { table: "input", address: 20, type: "u32" },
    wants: { table: "holding", address: 5, type: "u16", trueWhen: [2, 3] },
  },
  write: [
    { table: "holding", address: 100, type: "u16", scale: -1 },
    { table: "holding", address: 110, type: "u16", constant: 1, when: "not_zero" },
    { table: "holding", address: 110, type: "u16", constant: 0, when: "zero" },
  ],
  setpoint: "A", minimum: 6, maximum: 16,
  watchdog: {
    register: { table: "holding", address: 121, type: "u16" }, seconds: 30,
    fallback: { table: "holding", address: 120, type: "u16", scale: -1 }, to: 0,
  },
};

function busTo(w: SimWorld, host = "device"): ModbusTcpBus {
  const platform = w.platform("home");
  return new ModbusTcpBus({ io: platform.TCP, timer: platform.timer, monotonic: () => platform.monotonic(), host, timeout: 300, retries: 1 });
}
function driverOf(w: SimWorld, bus: ModbusBus, profile: Profile, unit = 1): DeviceDriver {
  const platform = w.platform("home");
  return new DeviceDriver({ bus, profile, unit, safe: profile.kind === "ev" ? amps(0) : { kind: "production", value: 0 }, rated: 5_000, timer: platform.timer, monotonic: () => platform.monotonic() });
}
function fill(unit: Unit): void {
  unit.input.set(10, 101).set(11, 102).set(12, 103).set(20, 0).set(21, 7_000);
  unit.holding.set(5, 2);
}
function house(profile: Profile = charger) {
  const w = world();
  const device = new TcpDevice(w);
  const unit = device.unit(1);
  fill(unit);
  const bus = busTo(w);
  return { w, device, unit, bus, driver: driverOf(w, bus, profile) };
}

describe("device driver", () => {
  it("polls in few reads and reports in milli-units", () => {
    const { w, unit, driver } = house();
    expect(driver.report()).toMatchObject({ online: false, power: null });
    w.runFor(900);
    expect(driver.report()).toEqual({
      online: true, at: expect.any(Number) as number, power: 7_000, current: [10_100, 10_200, 10_300], voltage: [null, null, null],
      wants: true, stateOfCharge: null, applied: 0, fault: null,
    });
    const reads = unit.requests.filter((pdu) => pdu[0]! <= 4).map((pdu) => [pdu[0], pdu[2], pdu[4]]);
    expect(reads).toEqual([[3, 5, 1], [3, 100, 1], [4, 10, 3], [4, 20, 2]]);
    w.runFor(2_000);
    expect(unit.requests.filter((pdu) => pdu[0] === 4 && pdu[2] === 10).length).toBe(3);
  });

  it("writes a setpoint register by register in the profile's order, reads it back, sets the watchdog once", () => {
    const { w, unit, driver } = house();
    driver.write(amps(10));
    w.runFor(900);
    expect(unit.writes).toEqual([[16, 100, 100], [16, 110, 1], [16, 120, 0, 30]]);
    expect(driver.report()).toMatchObject({ applied: 10_000, fault: null });
    driver.write(amps(0));
    w.runFor(900);
    expect(unit.writes.slice(3)).toEqual([[16, 100, 0], [16, 110, 0]]);
    driver.write(amps(4));
    w.runFor(900);
    // Below the minimum is off, never the minimum.
    expect(unit.writes.slice(5)).toEqual([[16, 100, 0], [16, 110, 0]]);
  });

  it("the setpoint is on the wire at once, polls or no polls, and a newer one cuts in", () => {
    const { w, unit, driver } = house();
    w.runFor(2_005);
    const sent = w.now;
    driver.write(amps(16));
    driver.write(amps(6));
    w.runUntil(() => unit.holding.get(100) === 60, sent + 1_000);
    expect(w.now - sent).toBeLessThan(30);
    w.runFor(500);
    expect(unit.writes.filter(([, address]) => address === 100)[0]).toEqual([16, 100, 160]);
    expect(unit.writes[unit.writes.length - 1]).toEqual([16, 110, 1]);
    expect(unit.holding.get(100)).toBe(60);
  });

  it("a device that does not hold what it was told: read_back_mismatch after the settling time, gone when it does", () => {
    const { w, unit, driver } = house();
    unit.keeps = (address, value) => (address === 100 ? 160 : value);
    driver.write(amps(8));
    w.runFor(READ_BACK_SETTLE_MS - 500);
    expect(driver.report()).toMatchObject({ applied: 16_000, fault: null });
    w.runFor(1_500);
    expect(driver.report()).toMatchObject({ online: true, applied: 16_000, fault: "read_back_mismatch" });
    unit.keeps = (_address, value) => value;
    driver.write(amps(8));
    w.runFor(500);
    expect(driver.report()).toMatchObject({ applied: 8_000, fault: null });
    // Later changed at the device itself: seen by the periodic read-back.
    unit.holding.set(100, 320);
    w.runFor(READ_BACK_SETTLE_MS + 1_500);
    expect(driver.report().fault).toBe("read_back_mismatch");
  });

  it.each([1, 2, 3, 4, 6])("writes refused with exception %i: named, polling goes on", (code) => {
    const { w, unit, driver } = house();
    const answer = unit.answer.bind(unit);
    unit.answer = (pdu) => (pdu[0] === 16 ? [0x90, code] : answer(pdu));
    driver.write(amps(8));
    w.runFor(3_000);
    expect(driver.report()).toMatchObject({ online: true, power: 7_000, fault: `exception_${code}` });
    // Not hammered: one attempt a command.
    expect(unit.writes).toEqual([]);
    unit.answer = answer;
    driver.write(amps(8));
    w.runFor(500);
    expect(driver.report()).toMatchObject({ applied: 8_000, fault: null });
  });

  it("a connection cut and re-established writes the setpoint and the watchdog again, by itself", () => {
    const { w, device, unit, driver } = house();
    driver.write(amps(10));
    w.runFor(3_000);
    unit.writes.length = 0;
    // The charger restarts: it has forgotten its setpoint.
    unit.holding.set(100, 320);
    w.cutConnections("home", "device");
    const cut = w.now;
    w.runUntil(() => unit.holding.get(100) === 100, cut + 10_000);
    expect(w.now - cut).toBeLessThan(3_000);
    w.runFor(500);
    expect(device.connections).toBe(2);
    expect(unit.writes).toEqual([[16, 100, 100], [16, 110, 1], [16, 120, 0, 30]]);
    expect(driver.report()).toMatchObject({ online: true, applied: 10_000, fault: null });
  });

  it("silent: offline after DEVICE_OFFLINE_MS with the rule, nothing of its old values; back: written at once", () => {
    const { w, unit, driver } = house();
    driver.write(amps(10));
    w.runFor(3_000);
    unit.dead = true;
    unit.writes.length = 0;
    w.runFor(DEVICE_OFFLINE_MS - 1_500);
    expect(driver.report().online).toBe(true);
    w.runFor(2_500);
    expect(driver.report()).toMatchObject({ online: false, power: null, current: [null, null, null], applied: null });
    expect(["timeout", "disconnected"]).toContain(driver.report().fault);
    driver.write(amps(6));
    unit.dead = false;
    w.runFor(40_000);
    expect(driver.report()).toMatchObject({ online: true, applied: 6_000, fault: null });
    expect(unit.writes.map(([, address]) => address)).toEqual([100, 110, 120]);
  });

  describe("one block unanswered while the device answers the others", () => {
    const mute = (unit: Unit, is: (pdu: number[]) => boolean): { over: boolean } => {
      const answer = unit.answer.bind(unit);
      const state = { over: false };
      unit.answer = (pdu) => (!state.over && is(pdu) ? null : answer(pdu));
      return state;
    };
    const reads = (pdu: number[], address: number): boolean => pdu[0]! <= 4 && ((pdu[1]! << 8) | pdu[2]!) === address;

    it.each([
      ["wants", 5, { wants: null, power: 7_000, current: [10_100, 10_200, 10_300], applied: 16_000 }],
      ["the read-back", 100, { wants: true, power: 7_000, current: [10_100, 10_200, 10_300], applied: null }],
      ["the currents", 10, { wants: true, power: 7_000, current: [null, null, null], applied: 16_000 }],
      ["the power", 20, { wants: true, power: null, current: [10_100, 10_200, 10_300], applied: 16_000 }],
    ])("%s: absent, the rest fresh, writes in time, and back when it answers", (_name, address, rest) => {
      const { w, unit, driver } = house();
      driver.write(amps(16));
      w.runFor(3_000);
      const muted = mute(unit, (pdu) => reads(pdu, address));
      w.runFor(8_000);
      let oldest = 0;
      for (let i = 0; i < 90; i++) {
        w.runFor(1_000);
        const report = driver.report();
        expect(report, `after ${i} s`).toMatchObject({ online: true, ...rest });
        oldest = Math.max(oldest, w.platform("home").monotonic() - report.at);
      }
      expect(oldest).toBeLessThan(DEVICE_OFFLINE_MS / 2);
      expect(driver.report().fault).toBeNull();
      for (let i = 0; i < 40; i++) {
        const value = 6 + (i % 8);
        driver.write(amps(value));
        const sent = w.now;
        w.runUntil(() => unit.holding.get(100) === value * 10, sent + 5_000);
        expect(w.now - sent).toBeLessThan(5_000);
        w.run(sent + 1_300);
      }
      muted.over = true;
      driver.write(amps(16));
      w.runFor(40_000);
      expect(driver.report()).toMatchObject({ online: true, wants: true, power: 7_000, current: [10_100, 10_200, 10_300], applied: 16_000, fault: null });
    });

    it("unanswered once: asked again at the end of the same cycle", () => {
      const { w, unit, driver } = house();
      w.runFor(3_000);
      const muted = mute(unit, (pdu) => reads(pdu, 5));
      w.runUntil(() => driver.report().wants === null, w.now + 10_000);
      muted.over = true;
      w.runFor(2_500);
      expect(driver.report()).toMatchObject({ wants: true, power: 7_000 });
    });

    it("a sum of phases without one of them is no sum, and a meter's half cycle no reading", () => {
      const w = world();
      const unit = new TcpDevice(w).unit(1);
      unit.input.set(10, 1_000).set(20, 2_000).set(30, 3_000);
      const phase = (address: number) => ({ table: "input" as const, address, type: "i16" as const });
      const platform = w.platform("home");
      let polls = 0;
      const driver = new DeviceDriver({
        bus: busTo(w), unit: 1, safe: null, timer: platform.timer, monotonic: () => platform.monotonic(), polled: () => { polls++; },
        profile: { id: "phases", maker: "none", models: "", document: "test", kind: "meter", unit: 1, write: [], read: { power_l1: phase(10), power_l2: phase(20), power_l3: phase(30) } },
      });
      w.runFor(900);
      expect([driver.report().power, polls]).toEqual([6_000, 1]);
      mute(unit, (pdu) => reads(pdu, 20));
      w.runFor(10_000);
      const before = polls;
      w.runFor(20_000);
      expect(driver.report()).toMatchObject({ online: true, power: null });
      expect(polls).toBe(before);
    });

    it("every read unanswered, writes answered: what it once said is not there after DEVICE_OFFLINE_MS, nor later", () => {
      const { w, unit, driver } = house();
      unit.holding.set(5, 0);
      w.runFor(2_000);
      expect(driver.report()).toMatchObject({ online: true, wants: false });
      mute(unit, (pdu) => pdu[0]! <= 4);
      w.runFor(DEVICE_OFFLINE_MS);
      for (let i = 0; i < 60; i++) {
        driver.write(amps(6 + (i % 2)));
        w.runFor(1_000);
        const { at, fault, ...report } = driver.report();
        expect(at).toBeLessThan(3_000);
        expect(["not_read", "timeout", "backing_off", "disconnected"]).toContain(fault);
        expect(report).toEqual({ online: false, power: null, current: [null, null, null], voltage: [null, null, null], wants: null, stateOfCharge: null, applied: null });
      }
      expect(unit.writes.length).toBeGreaterThan(5);
    });
  });

  it("a device that only takes writes is online while it takes them", () => {
    const { w, driver } = house({ ...charger, read: {}, readBack: null });
    expect(driver.report()).toMatchObject({ online: false, fault: null });
    for (let i = 0; i < 10; i++) {
      driver.write(amps(6 + i));
      w.runFor(10_000);
      expect(driver.report()).toMatchObject({ online: true, power: null, fault: null });
    }
    w.runFor(DEVICE_OFFLINE_MS);
    expect(driver.report()).toMatchObject({ online: false });
  });

  it("answers, and is not what the profile says: offline with the rule once it had its time", () => {
    const { w, driver } = house(sunspecInverter);
    w.runFor(DEVICE_OFFLINE_MS - 1_000);
    expect(driver.report()).toMatchObject({ online: true, power: null });
    w.runFor(2_000);
    expect(driver.report()).toMatchObject({ online: false, power: null, fault: expect.stringMatching(/./) as string });
  });

  it("PEERS: one device offline at start, or one without the feature, stops everything (evcc#26467, #33483)", () => {
    const w = world();
    // Three chargers behind one gateway: 1 is off, 2 has no power register, 3 is whole. A fourth has no host at all.
    const gateway = new TcpDevice(w);
    for (const id of [1, 2, 3]) fill(gateway.unit(id));
    gateway.unit(1).dead = true;
    const two = gateway.unit(2);
    const answer = two.answer.bind(two);
    two.answer = (pdu) => (pdu[0] === 4 && pdu[2]! + pdu[4]! > 20 ? [0x84, 2] : answer(pdu));
    const bus = busTo(w);
    const drivers = [1, 2, 3].map((id) => driverOf(w, bus, charger, id));
    const nowhere = driverOf(w, busTo(w, "nowhere"), charger);
    for (const driver of [...drivers, nowhere]) driver.write(amps(8));
    w.runFor(5_000);
    expect(drivers[0]!.report()).toMatchObject({ online: false });
    expect(drivers[1]!.report()).toMatchObject({ online: true, current: [10_100, 10_200, 10_300], power: null, applied: 8_000, fault: null });
    expect(drivers[2]!.report()).toMatchObject({ online: true, power: 7_000, applied: 8_000, fault: null });
    expect(nowhere.report()).toMatchObject({ online: false, fault: "disconnected" });
    // Switched on later, it joins with the setpoint it was told.
    gateway.unit(1).dead = false;
    w.runFor(40_000);
    expect(drivers[0]!.report()).toMatchObject({ online: true, applied: 8_000, fault: null });
  });

  it("one refused register of a joined read takes no neighbour with it", () => {
    const { w, unit, driver } = house();
    const answer = unit.answer.bind(unit);
    unit.answer = (pdu) => (pdu[0] === 4 && pdu[2]! <= 12 && pdu[2]! + pdu[4]! > 12 ? [0x84, 2] : answer(pdu));
    w.runFor(2_500);
    expect(driver.report()).toMatchObject({ online: true, current: [10_100, 10_200, null], power: 7_000, fault: null });
  });

  it("Alfen: IEEE floats, a status text, its own limit read back", () => {
    const { w, unit, driver } = house(alfen);
    const f32 = (address: number, value: number): void => {
      const view = new DataView(new ArrayBuffer(4));
      view.setFloat32(0, value);
      unit.holding.set(address, view.getUint16(0)).set(address + 1, view.getUint16(2));
    };
    f32(306, 229.5); f32(308, 230); f32(310, 231); f32(320, 10.5); f32(322, 10.25); f32(324, 10); f32(344, 7_050);
    unit.holding.set(1201, 0x4332);
    driver.write(amps(10));
    w.runFor(900);
    expect(driver.report()).toMatchObject({
      online: true, power: 7_050, current: [10_500, 10_250, 10_000], voltage: [229_500, 230_000, 231_000], wants: true, applied: 10_000, fault: null,
    });
    expect(unit.writes).toEqual([[16, 1210, 0x4120, 0]]);
  });

  it("SunSpec: finds its models before it writes, and finds them again where they have moved", () => {
    const w = world();
    const device = new TcpDevice(w);
    const unit = device.unit(1);
    const lay = (base: number): void => {
      unit.holding.clear();
      let at = base;
      const put = (...words: number[]): void => { for (const word of words) unit.holding.set(at++, word); };
      put(0x5375, 0x6e53);
      for (const [id, length] of [[1, 66], [103, 50], [120, 26], [123, 24]] as const) {
        const start = at;
        put(id, length, ...new Array<number>(length).fill(0));
        if (id === 103) unit.holding.set(start + 14, 3_000).set(start + 15, 0);
        if (id === 120) unit.holding.set(start + 3, 5_000).set(start + 4, 0);
        if (id === 123) unit.holding.set(start + 23, 0xfffe);
      }
      put(0xffff, 0);
    };
    lay(40_000);
    const bus = busTo(w);
    const driver = driverOf(w, bus, sunspecInverter);
    driver.write({ kind: "production", value: 2_500 });
    w.runFor(3_000);
    expect(driver.report()).toMatchObject({ online: true, power: -3_000, applied: 2_500, fault: null });
    expect(unit.writes.length).toBeGreaterThan(0);
    // A new firmware has moved them: nothing is written to the old addresses after the first cycle.
    lay(50_000);
    w.cutConnections("home", "device");
    w.runFor(5_000);
    expect(driver.report()).toMatchObject({ online: true, power: -3_000, applied: 2_500, fault: null });
  });

  it("faults at random on one unit of a shared line: the others never notice, and it ends with the newest setpoint", () => {
    fc.assert(fc.property(fc.nat(), (seed) => {
      const w = world(seed);
      w.serialPair("home485", "line485");
      const line = new RtuLine(w, "line485", { baud: 19_200 });
      for (const id of [1, 2, 3]) fill(line.unit(id));
      const platform = w.platform("home");
      const bus = new ModbusRtuBus({ io: platform.Serial, timer: platform.timer, monotonic: () => platform.monotonic(), line: { device: "home485", baud: 19_200 }, timeout: 200 });
      const drivers = [1, 2, 3].map((id) => driverOf(w, bus, charger, id));
      let faulty = true;
      const luck = (n: number): number => w.random.u32() % n;
      line.mangle = (frame, unit, delay) => {
        const whole = [{ afterMs: delay, bytes: frame }];
        if (!faulty || unit !== 1) return whole;
        switch (luck(7)) {
          case 0: case 1: return [];
          case 2: return [{ afterMs: delay, bytes: frame.slice(0, luck(frame.length)) }];
          case 3: return [{ afterMs: delay, bytes: sealed([frame[0]!, frame[1]! | 0x80, 1 + luck(6)]) }];
          case 4: return [{ afterMs: delay, bytes: sealed([9, ...frame.slice(1, -2)]) }];
          case 5: return [{ afterMs: 220 + luck(150), bytes: frame }];
          default: return whole;
        }
      };
      let told = 0;
      for (let i = 0; i < 25; i++) {
        told = [0, 6, 8, 10, 16][luck(5)]!;
        const at = w.now;
        for (const driver of drivers) driver.write(amps(told));
        w.runUntil(() => line.unit(2).holding.get(100) === told * 10 && line.unit(3).holding.get(100) === told * 10, at + 2_000);
        // One timeout of the faulty one may be under way, and one may be its turn in between.
        expect(w.now - at).toBeLessThan(2 * 225 + 150);
        w.run(at + 1_500 + luck(2_000));
        for (const well of [drivers[1]!, drivers[2]!]) expect(well.report()).toMatchObject({ online: true, power: 7_000, fault: null });
      }
      faulty = false;
      w.runFor(45_000);
      // As the core would, within its rewrite period.
      drivers[0]!.write(amps(told));
      w.runFor(3_000);
      expect(drivers[0]!.report()).toMatchObject({ online: true, applied: told * 1000, fault: null });
      expect(line.unit(1).holding.get(100)).toBe(told * 10);
    }), { numRuns: 25 * Number(process.env["VANGNET_RUNS"] ?? 1) });
  });

  it("a closed driver says and asks nothing more", () => {
    const { w, unit, driver } = house();
    w.runFor(900);
    driver.close();
    const before = unit.requests.length;
    driver.write(amps(8));
    w.runFor(20_000);
    expect(unit.requests.length).toBe(before);
  });
});
