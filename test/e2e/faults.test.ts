/** Things that break while a whole house runs, in virtual time: safe within the deadline, the rest goes on, and back again. */
import { describe, expect, it } from "vitest";
import { battery, ev, inverter, pump, useHouses } from "./house.js";

const make = useHouses();

describe("the P1 cable", () => {
  for (const how of ["silent", "unplugged", "noise"] as const) {
    it(`${how}: no rise after 5 periods, safe values within 10, and back again`, () => {
      let noise = false;
      const house = make({ spoil: (telegram) => (noise ? telegram.map((byte, i) => (i % 97 === 50 ? byte ^ 4 : byte)) : telegram) });
      // Half way up: there is something left to rise to.
      house.until(() => house.told("charger") >= 9_000, 300, "9 A");
      const from = house.now;
      if (how === "silent") house.pullMeter();
      if (how === "unplugged") house.world.serialEnd("/dev/p1")!.plugged = false;
      if (how === "noise") noise = true;
      const told: [number, number][] = [];
      house.run(13, ({ setpoints, at }) => { told.push([at, setpoints[1]!]); });
      // A telegram that was under way may have come through.
      const last = house.now - house.status.reading.age! / 1000;
      expect(last - from).toBeLessThanOrEqual(1.1);
      const [ageing] = told.filter(([at]) => at >= last + 5);
      for (const [at, value] of told) if (at > ageing![0]) expect(value, `at +${at - last}`).toBeLessThanOrEqual(ageing![1]);
      expect([house.held("pump"), house.held("charger"), house.held("battery")]).toEqual([2, 0, 0]);
      const zero = house.writes.findLast(({ id, value }, i) => id === "charger" && value === 0 && house.writes.slice(0, i).findLast((one) => one.id === "charger")!.value !== 0)!;
      expect(zero.at / 1000 - last).toBeLessThanOrEqual(11);
      expect(house.status.reading).toMatchObject({ freshness: "stale", net: null });
      expect(house.reason("charger")).toContain("no telegram for too long: safe value");
      if (how === "noise") expect(house.status.counters["telegramErrors"]).toBeGreaterThanOrEqual(10);
      house.run(60, ({ setpoints }) => expect(setpoints.slice(1)).toEqual([0, 0]));

      if (how === "silent") house.plugMeter();
      if (how === "unplugged") house.world.serialEnd("/dev/p1")!.plugged = true;
      noise = false;
      const back = house.now;
      house.until(() => house.status.reading.freshness === "fresh", 40, "read again");
      house.until(() => house.told("charger") === 16_000, 500, "charging again");
      // Off for at least five minutes.
      const on = house.trace.find(({ at, setpoints }) => at > back && setpoints[1]! > 0)!.at;
      expect(on - from).toBeGreaterThanOrEqual(300);
    });
  }
});

describe("a device", () => {
  for (const how of ["silent", "exception", "wrongUnit", "torn", "gone"] as const) {
    it(`${how}: named, counted with what nobody controls, the others go on; back, its setpoint is written at once`, () => {
      const house = make({ devices: [ev("one", { phases: [1] }), ev("two", { phases: [2], priority: 3 }), battery("battery", { phases: [3] })] });
      house.until(() => house.told("one") === 16_000 && house.told("two") === 16_000, 400, "both at 16 A");
      house.run(20);
      const one = house.modbus.get("one")!;
      if (how === "silent") one.faults.silent = true;
      if (how === "exception") one.faults.exception = 4;
      if (how === "wrongUnit") one.faults.wrongUnit = true;
      if (how === "torn") one.faults.torn = true;
      if (how === "gone") house.world.link("controller", "one").up = false;
      house.run(40, ({ setpoints }) => expect(setpoints[1]).toBe(16_000));
      const named = { silent: /timeout/, exception: /exception_4/, wrongUnit: /wrong_unit/, torn: /timeout|disconnected/, gone: /timeout|disconnected/ }[how];
      expect(house.status.devices[0]!.fault).toMatch(named);
      if (how !== "exception") {
        expect(house.status.devices[0]!.online).toBe(false);
        expect(house.reason("one")).toContain("does not answer: safe value");
      }
      // A cap while it is gone: the others make room for what it draws.
      house.cap(4_000, 600);
      house.run(15);
      house.run(60, ({ net }) => expect(net).toBeLessThanOrEqual(4_000));
      Object.assign(one.faults, { silent: false, exception: null, wrongUnit: false, torn: false });
      house.world.link("controller", "one").up = true;
      const wrote = house.writes.length, back = house.world.now;
      house.until(() => house.writes.slice(wrote).some(({ id }) => id === "one"), 35, "written again");
      expect(house.writes.slice(wrote).find(({ id }) => id === "one")!.value).toBe(house.told("one"));
      // The longest back-off is 30 s.
      expect(house.world.now - back).toBeLessThanOrEqual(32_000);
      house.until(() => house.status.devices[0]!.fault === null && house.status.devices[0]!.online, 15, "well again");
      house.run(60, ({ net }) => expect(net).toBeLessThanOrEqual(4_000));
    });
  }

  it("that acknowledges writes and forgets them is found out, and the others pay for it", () => {
    const house = make({ devices: [ev("one", { phases: [1], priority: 3 }), ev("two", { phases: [2] })] });
    house.until(() => house.told("one") === 16_000 && house.told("two") === 16_000, 400, "both at 16 A");
    house.run(20);
    house.modbus.get("one")!.faults.deaf = true;
    house.cap(6_000, 600);
    house.run(30);
    expect(house.status.devices[0]!.fault).toBe("read_back_mismatch");
    house.run(20, ({ net }) => expect(net).toBeLessThanOrEqual(6_000));
    expect(house.models.get("one")!.watts[0]).toBeGreaterThan(3_000);
    expect(house.told("two")).toBeLessThan(16_000);
  });

  it("whose one read block goes unanswered while it answers the rest: nothing old is believed, and the cap holds", () => {
    const house = make({ devices: [ev("one", { priority: 1, profile: "go_e" }), ev("two", { priority: 2 })], site: (json) => { json["connection"].fuse_A = 63; } });
    house.until(() => house.told("one") === 16_000 && house.told("two") === 16_000, 900, "both at 16 A");
    house.run(20);
    const one = house.modbus.get("one")!, answer = one.answer.bind(one);
    let mute = 100;
    one.answer = (request) => (request[0]! <= 4 && ((request[1]! << 8) | request[2]!) === mute ? null : answer(request));
    // The car's state, then its voltages, currents and power.
    for (const [address, id] of [[100, "00000c01"], [108, "00000c02"]] as const) {
      mute = address;
      house.run(60);
      house.cap(9_000, 900, { id, release: 1 });
      house.run(15);
      house.run(600, ({ net }) => expect(net, `block ${address}`).toBeLessThanOrEqual(9_000));
      expect(house.status.devices[0]).toMatchObject({ online: true });
      house.say(() => []);
      mute = -1;
      house.until(() => house.told("one") === 16_000 && house.told("two") === 16_000, 1_500, "both at 16 A again");
    }
    // Unable to tell anything it is as good as gone, and what it draws is nobody's to give away.
    one.answer = (request) => (request[0]! <= 4 ? null : answer(request));
    house.run(20);
    expect(house.status.devices[0]).toMatchObject({ online: false });
    house.cap(9_000, 900, { id: "00000c03" });
    house.run(15);
    house.run(600, ({ net }) => expect(net).toBeLessThanOrEqual(9_000));
  });

  it("with a watchdog of its own falls when the controller dies, and the house stays under its cap", () => {
    const house = make();
    house.charging();
    house.cap(9_000, 3_600);
    house.run(30);
    house.platform.cutPower();
    house.run(65);
    expect(house.modbus.get("charger")!.fallen).toBe(true);
    expect(house.models.get("charger")!.watts[0]).toBe(0);
    house.platform.reboot();
    house.run(5);
    expect(house.modbus.get("charger")!.fallen).toBe(false);
  });
});

describe("the broker", () => {
  for (const how of ["stopped", "half open", "link down"] as const) {
    it(`${how}: failsafe when the promise runs out and not before; back, and controlled`, () => {
      const house = make({ heartbeat: false, site: (json) => { json["limits"] = { failsafe_W: 5_000 }; } });
      house.say(() => [], { life: 600 });
      house.charging();
      house.say(() => [], { life: 120 });
      const exp = house.now + 120;
      house.run(5);
      if (how === "stopped") house.broker.stop();
      if (how === "half open") house.broker.freeze("vangnet-VN-E2E");
      if (how === "link down") house.world.link("controller", "broker").up = false;
      house.run(Math.floor(exp - house.now) - 1, ({ state, limit }) => {
        expect(state).toBe("controlled");
        expect(limit).toBeNull();
      });
      house.until(() => house.status.limits.state === "failsafe", 3, "failsafe");
      expect(house.now - exp).toBeLessThanOrEqual(1);
      house.run(10);
      house.run(60, ({ net }) => expect(net).toBeLessThanOrEqual(5_000));
      expect(house.told_of("link").at(-1)).toMatchObject({ alive: false });
      if (how === "stopped") house.startBroker();
      house.world.link("controller", "broker").up = true;
      // A new connection within the longest back-off; then the retained word is there.
      house.say(() => [], { life: 900 });
      house.until(() => house.status.limits.state === "controlled", 420, "controlled again");
      expect(house.status.limits.import, "given back slowly").not.toBeNull();
    });
  }
});

describe("the store", () => {
  it("fails at every write: a cap binds all the same, a cancel does not relax, and all is well once it can write", () => {
    const house = make();
    house.charging();
    house.platform.flash.broken = true;
    house.cap(5_000, 900);
    house.run(12);
    house.run(20, ({ net, limit }) => {
      expect(net).toBeLessThanOrEqual(5_000);
      expect(limit).toBe(5_000);
    });
    expect(house.status.counters["storeFailures"]).toBeGreaterThan(0);
    expect(house.told_of("store_fault").length).toBeGreaterThan(0);
    house.say(() => []);
    house.run(60, ({ limit }) => expect(limit).toBe(5_000));
    house.platform.flash.broken = false;
    house.until(() => house.status.limits.import?.source === "release", 30, "the cancel acts once it is kept");
  });

  it("torn and cut at random through a day of caps: never above a cap, the sequence never back, the chain whole", () => {
    const house = make({ seed: 11 });
    house.platform.flash.torn = false;
    house.charging();
    for (let round = 0; round < 12; round++) {
      house.cap(3_000 + 100 * round, 1_200);
      house.platform.power.cutAtWrite = house.platform.power.writes + 1 + ((round * 7) % 9);
      house.run(20);
      house.platform.power.cutAtWrite = null;
      if (house.platform.off) house.reboot(2);
      house.run(40);
      expect(house.trace.at(-1)!.limit, `round ${round}`).toBeLessThanOrEqual(3_000 + 100 * round);
      expect(house.verify(), `round ${round}`).toMatchObject({ ok: true });
    }
    expect(house.boots).toBeGreaterThan(5);
    expect(house.status.counters["tokensRefused"]).toBe(0);
  });
});

describe("a heat pump", () => {
  it("is blocked when nothing else is left, without ever passing through a wrong state, and counted", () => {
    const house = make({ devices: [pump("pump"), ev("charger")] });
    house.charging();
    house.until(() => house.models.get("pump")!.watts[0] > 500, 3_000, "the pump runs");
    house.cap(1_500, 1_800);
    house.run(20);
    expect(house.held("pump")).toBe(1);
    house.run(30, ({ net }) => expect(net).toBeLessThanOrEqual(1_500));
    expect(house.contacts.map(({ one, two }) => `${one}${two}`)).toEqual(["10"]);
    expect(house.reason("pump")).toContain("blocked (state 1)");
    // A reboot gives nothing back: the block is in the log.
    house.reboot(1);
    house.run(30);
    house.cap(0, 7_200, { id: "00000c02" });
    house.run(4 * 3_600 / 4);
    expect(house.contacts.every(({ one, two }) => !(one === 1 && two === 1))).toBe(true);
  });
});

describe("what feeds in", () => {
  it("an export cap of 0 W is kept by the inverter, in the same tick", () => {
    const house = make({ devices: [inverter("roof")], sun: 1, base: [100, 100, 100] });
    house.until(() => house.told("roof") === 8_000 && house.net < -4_000, 300, "feeding in");
    house.run(30);
    house.cap(null, 600, { exportLimit: 0 });
    house.world.runFor(300);
    expect(house.told("roof")).toBeLessThanOrEqual(300);
    house.run(10);
    house.run(60, ({ net }) => expect(net).toBeGreaterThanOrEqual(0));
    expect(house.status.limits.export).toMatchObject({ watts: 0, source: "cap" });
  });

  it("a cap on the controllable devices leaves the household out, and sun adds room", () => {
    const house = make({ devices: [ev("charger"), inverter("roof")], base: [3_500, 200, 100] });
    house.until(() => house.told("charger") >= 6_000, 300, "charging");
    house.cap(4_600, 900, { controllable: true });
    house.run(15);
    house.run(60, () => expect(house.models.get("charger")!.watts.reduce((a, b) => a + b)).toBeLessThanOrEqual(4_600));
    expect(house.told("charger")).toBe(6_000);
    expect(house.status.limits).toMatchObject({ import: null, controllable: { watts: 4_600, source: "cap" } });
  });
});
