import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { contactMoves, sgReadyState } from "../../src/actuation/sg_ready.js";
import type { SgReadyState } from "../../src/allocation/decision.js";
import { ContactExecutor, ContactInputs, GpioContacts, ModbusContacts } from "../../src/services/contacts.js";
import { ModbusTcpBus } from "../../src/services/modbus_bus.js";
import type { SimWorld } from "../../hal/sim/world.js";
import { TcpDevice, world } from "./modbus_slave.js";

const RUNS = { numRuns: 100 * Number(process.env["VANGNET_RUNS"] ?? 1) };

function gpio(w: SimWorld, options: { readBack?: boolean } = {}) {
  const platform = w.platform("home");
  const driver = new GpioContacts({ io: platform.Digital, pins: ["sg1", "sg2"], timer: platform.timer, ...options });
  const executor = new ContactExecutor({ driver, timer: platform.timer, monotonic: () => platform.monotonic() });
  const one = w.pin("home", "sg1"), two = w.pin("home", "sg2");
  return { executor, one, two, state: () => sgReadyState({ one: one.level, two: two.level }) };
}
function relay(w: SimWorld) {
  const device = new TcpDevice(w);
  const board = device.unit(1);
  const platform = w.platform("home");
  const bus = new ModbusTcpBus({ io: platform.TCP, timer: platform.timer, monotonic: () => platform.monotonic(), host: "device", timeout: 300 });
  const driver = new ModbusContacts({ bus, unit: 1, coils: [4, 5], monotonic: () => platform.monotonic() });
  const executor = new ContactExecutor({ driver, timer: platform.timer, monotonic: () => platform.monotonic() });
  return { executor, board, state: () => sgReadyState({ one: board.coils.get(4) ? 1 : 0, two: board.coils.get(5) ? 1 : 0 }) };
}

describe("SG Ready contacts", () => {
  it("GPIO: both contacts open from the first moment, then every state as told", () => {
    const w = world();
    const { executor, one, two, state } = gpio(w);
    expect([one.level, two.level]).toEqual([0, 0]);
    for (const target of [1, 2, 3, 4, 1, 3, 2] as SgReadyState[]) {
      executor.execute(contactMoves(target));
      w.runFor(10);
      expect(state()).toBe(target);
      expect(executor.report()).toMatchObject({ online: true, applied: target, fault: null });
    }
  });

  it("relay board: one coil after the other, each read back before the next moves", () => {
    const w = world();
    const { executor, board, state } = relay(w);
    executor.execute(contactMoves(4));
    w.runFor(300);
    expect(state()).toBe(4);
    expect(board.requests.map((pdu) => [pdu[0], pdu[2]])).toEqual([[5, 5], [1, 5], [5, 4], [1, 4]]);
    expect(executor.report()).toMatchObject({ online: true, applied: 4, fault: null });
  });

  it("a stuck relay is named, the next contact does not move, and it goes on when the relay is free", () => {
    const w = world();
    const { executor, board, state } = relay(w);
    executor.execute(contactMoves(3));
    w.runFor(300);
    expect(state()).toBe(3);
    // To state 1: contact 2 opens first. It is welded: closing contact 1 now would be state 4, forced on.
    board.keeps = (address, value) => (address === 5 ? null : value);
    executor.execute(contactMoves(1));
    w.runFor(5_000);
    expect(executor.report().fault).toBe("contact_stuck");
    expect(executor.report().applied).toBeNull();
    expect(board.writes.filter(([, address]) => address === 4)).toEqual([[5, 4, 0]]);
    expect(state()).toBe(3);
    board.keeps = (_address, value) => value;
    w.runFor(1_500);
    expect(state()).toBe(1);
    expect(executor.report()).toMatchObject({ applied: 1, fault: null });
  });

  it.each([["silent", "timeout"], ["refuses", "exception_2"]] as const)("a board that is %s: %s", (how, fault) => {
    const w = world();
    const { executor, board, state } = relay(w);
    if (how === "silent") board.dead = true;
    else board.exception = 2;
    executor.execute(contactMoves(1));
    w.runFor(1_300);
    expect(executor.report().fault).toBe(fault);
    expect(executor.report().online).toBe(false);
    board.dead = false;
    board.exception = null;
    w.runFor(5_000);
    expect(state()).toBe(1);
    expect(executor.report()).toMatchObject({ online: true, fault: null });
  });

  it("GPIO faults are named: pin that cannot be written, contact that does not follow", () => {
    const w = world();
    const { executor, one, state } = gpio(w, { readBack: true });
    one.unwritable = true;
    executor.execute(contactMoves(1));
    w.runFor(100);
    expect(executor.report().fault).toBe("contact_unwritable");
    one.unwritable = false;
    one.stuck = true;
    w.runFor(2_000);
    expect(executor.report().fault).toBe("contact_stuck");
    one.stuck = false;
    w.runFor(2_000);
    expect(executor.report()).toMatchObject({ applied: 1, fault: null });
    expect(state()).toBe(1);
  });

  it("states 1 and 4 are seen only where they were asked for, whatever is told when", () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.constantFrom<SgReadyState>(1, 2, 3, 4), fc.nat({ max: 60 })), { maxLength: 20 }), (told) => {
      const w = world();
      const { executor, board, state } = relay(w);
      board.delayMs = 7;
      w.runFor(20);
      const asked = new Set<number>([state()]);
      const keep = board.keeps;
      board.keeps = (address, value) => {
        w.schedule(0, () => { if (state() === 1 || state() === 4) expect(asked.has(state())).toBe(true); });
        return keep(address, value);
      };
      for (const [target, wait] of told) {
        asked.add(target);
        executor.execute(contactMoves(target));
        w.runFor(wait);
      }
      w.runFor(2_000);
      if (told.length > 0) expect(state()).toBe(told[told.length - 1]![0]);
    }), RUNS);
  });
});

describe("relay inputs", () => {
  function inputs(w: SimWorld) {
    const platform = w.platform("home");
    let changes = 0;
    const it = new ContactInputs({
      io: platform.Digital, timer: platform.timer, monotonic: () => platform.monotonic(), changed: () => { changes++; },
      inputs: [{ pin: "in1" }, { pin: "in2", activeLow: true }],
    });
    return { it, one: w.pin("home", "in1"), two: w.pin("home", "in2"), changes: () => changes };
  }

  it("reads at once, then debounces both ways", () => {
    const w = world();
    const { it: contacts, one, changes } = inputs(w);
    expect(contacts.values()).toEqual([false, true]);
    one.drive(1);
    w.runFor(60);
    one.drive(0);
    w.runFor(40);
    one.drive(1);
    w.runFor(90);
    expect(contacts.values()[0]).toBe(false);
    w.runFor(60);
    expect(contacts.values()[0]).toBe(true);
    expect(changes()).toBe(1);
    one.drive(0);
    w.runFor(150);
    expect(contacts.values()[0]).toBe(false);
  });

  it("PEERS: relay input unreadable → last value for ever (evcc#31926)", () => {
    const w = world();
    const { it: contacts, one } = inputs(w);
    w.runFor(500);
    expect(contacts.values()[0]).toBe(false);
    one.unreadable = true;
    w.runFor(40);
    // Not the last value, and not false: null counts as active.
    expect(contacts.values()[0]).toBeNull();
    w.runFor(60_000);
    expect(contacts.values()[0]).toBeNull();
    // The other input goes on.
    expect(contacts.values()[1]).toBe(true);
    one.unreadable = false;
    w.runFor(10_000);
    expect(contacts.values()[0]).toBe(false);
  });

  it("PEERS: missing input → no limit (OpenEMS Limiter14a): a pin that cannot be opened is null", () => {
    const w = world();
    const platform = w.platform("home");
    let opened = 0;
    class Missing { constructor() { opened++; throw new Error("no such pin"); } }
    const contacts = new ContactInputs({ io: Missing as never, timer: platform.timer, monotonic: () => platform.monotonic(), inputs: [{ pin: 99 }] });
    expect(contacts.values()).toEqual([null]);
    w.runFor(60_000);
    expect(contacts.values()).toEqual([null]);
    expect(opened).toBeLessThanOrEqual(13);
    contacts.close();
  });
});
