/** The life of a cap in a whole house, in virtual time: obeyed, replaced, kept over a reboot, proven. */
import { describe, expect, it } from "vitest";
import { useHouses, type House } from "./house.js";

const make = useHouses();

/** No second of the trace from `from` on lies above `watts` for longer than `patience` seconds. */
function obeyed(house: House, from: number, to: number, watts: number, patience = 10): void {
  let run = 0, longest = 0;
  for (const { at, net } of house.trace) {
    if (at <= from || at > to) continue;
    run = net > watts ? run + 1 : 0;
    longest = Math.max(longest, run);
  }
  expect(longest, `seconds above ${watts} W`).toBeLessThanOrEqual(patience);
}

describe("a cap", () => {
  it("reaches the charger's register in the tick in which it arrives, and holds the house under it", () => {
    const house = make();
    house.charging();
    const said = house.now;
    house.cap(4_200, 600);
    house.world.runFor(200);
    // Verification takes 20 ms and three computers 1 ms each; then it is the next turn.
    expect(house.told("charger")).toBeLessThanOrEqual(6_000);
    expect(house.held("charger")).toBe(house.told("charger"));
    house.run(600);
    obeyed(house, said, said + 600, 4_200);
    expect(house.trace.find(({ at }) => at > said + 300)).toMatchObject({ limit: 4_200, source: "cap", state: "limited" });
  });

  it("of 0 W switches everything off that can be, and the battery covers the household", () => {
    const house = make();
    house.charging();
    house.cap(0, 300);
    house.run(20);
    expect(house.held("charger")).toBe(0);
    expect(house.held("battery")).toBeLessThanOrEqual(0);
    expect(house.status.limits.import).toMatchObject({ watts: 0, source: "cap" });
    const from = house.now;
    house.run(250);
    // 600 W of household and pump, one battery of 3 kW.
    obeyed(house, from, house.now, 0, 15);
    expect(house.held("charger")).toBe(0);
  });

  it("comes through the meter's text field with the network down", () => {
    const house = make();
    house.charging();
    house.world.link("controller", "broker").up = false;
    house.run(5);
    const said = house.now;
    house.cap(4_200, 300, { via: "p1", life: 86_400 });
    house.run(300);
    obeyed(house, said + 1, said + 300, 4_200);
    expect(house.told_of("accepted").at(-1)).toMatchObject({ channel: "p1" });
    expect(house.trace.at(-10)).toMatchObject({ limit: 4_200, source: "cap" });
    // The text is repeated in every telegram: taken once.
    expect(house.status.counters["tokensRefused"]).toBe(0);
  });

  it("is replaced: lower in the same tick, higher slowly, cancelled slowly", () => {
    const house = make();
    house.charging();
    house.cap(8_000, 3_000, { release: 120 });
    house.run(30);
    expect(house.status.limits.import).toMatchObject({ watts: 8_000, source: "cap" });
    house.cap(5_000, 3_000, { release: 120 });
    house.world.runFor(200);
    expect(house.status.limits.import).toMatchObject({ watts: 5_000, source: "cap" });
    house.run(30);

    house.cap(9_000, 3_000, { release: 120 });
    const raised = house.now;
    let last = 0;
    house.run(420, ({ limit, at }) => {
      expect(limit, `at +${at - raised} s`).not.toBeNull();
      expect(limit!).toBeGreaterThanOrEqual(Math.min(last, 5_000));
      if (at - raised < 300) expect(limit!, `at +${at - raised} s`).toBeLessThan(9_000);
      expect(limit! - Math.max(5_000, last), "no jump").toBeLessThanOrEqual(4_000 / 300 + 2);
      last = limit!;
    });
    expect(house.status.limits.import).toMatchObject({ watts: 9_000, source: "cap" });

    house.say(() => []);
    const cancelled = house.now;
    house.run(1);
    expect(house.status.limits.import).toMatchObject({ source: "release" });
    let before = 9_000;
    house.run(125, ({ limit }) => {
      expect(limit ?? Infinity).toBeGreaterThanOrEqual(before);
      before = limit ?? Infinity;
    });
    house.until(() => house.status.limits.import === null, 180, "released");
    expect(house.now - cancelled).toBeGreaterThanOrEqual(60);
    expect(house.now - cancelled).toBeLessThanOrEqual(181);
  });

  it("that ends is released: never above it before its delay, never falling, to the end of its ramp", () => {
    const house = make();
    house.charging();
    const token = house.cap(4_200, 120, { release: 120 });
    expect(token.length).toBeLessThan(720);
    const said = house.now;
    house.run(118);
    let last = 0;
    house.run(240, ({ limit, source, at }) => {
      if (limit === null) return;
      if (at < said + 120) expect(source).toBe("cap");
      expect(limit).toBeGreaterThanOrEqual(last);
      last = limit;
    });
    expect(house.status.limits).toMatchObject({ state: "controlled", import: null });
    expect(house.told_of("release_begins").at(-1)).toMatchObject({ scope: "import", id: "00000c01", from: 4_200 });
    expect(house.told_of("release_ends")).toContainEqual({ scope: "import", id: "00000c01" });
  });

  it("leaves a chain: received, in force, commanded, measured, released", () => {
    const house = make();
    house.charging();
    house.cap(4_200, 60, { release: 60 });
    house.run(200);
    const chain = house.evidence();
    const from = chain.findLastIndex(({ type, data }) => type === "accepted" && data.includes('"events":1'));
    expect(from).toBeGreaterThan(0);
    const types = chain.slice(from).map(({ type, data }) => {
      const about = JSON.parse(data) as Record<string, unknown>;
      return type === "commanded" ? `commanded ${String(about["device"])} ${String(about["limit"])}` : type;
    });
    const order = ["accepted", "cap_in_force", "commanded charger cap", "under_limit", "cap_ended", "measured", "release_begins", "release_ends"];
    // Each is there; those that follow from each other in their order.
    for (const type of order) expect(types).toContain(type);
    for (const [a, b] of [["accepted", "cap_in_force"], ["cap_in_force", "commanded charger cap"], ["commanded charger cap", "under_limit"], ["under_limit", "measured"], ["release_begins", "release_ends"]] as const) {
      expect(types.indexOf(a), `${a} before ${b}`).toBeLessThan(types.indexOf(b));
    }
    const measured = house.told_of("measured").find(({ source }) => source === "cap")!;
    expect(measured).toMatchObject({ id: "00000c01", watts: 4_200, unmeasured_s: 0 });
    expect(measured["under_after_s"]).toBeLessThanOrEqual(10);
    expect(measured["above_s"]).toBeLessThanOrEqual(10);
    expect(chain.every(({ t }, i) => t !== null || i < 12)).toBe(true);
    expect(house.verify()).toMatchObject({ ok: true });
  });
});

describe("a reboot", () => {
  it("during a cap: the first safe output within a second, no limit above the cap, held to its end", () => {
    const house = make({ heartbeat: true });
    house.charging();
    house.cap(3_000, 400, { release: 60 });
    const end = house.now + 400;
    house.run(100);
    house.broker.stop();
    const cut = house.now;
    house.reboot(5);
    const wrote = house.writes.length;
    house.world.runFor(1000);
    expect(house.held("charger")).toBe(0);
    expect(house.writes.slice(wrote).map(({ id }) => id)).toEqual(expect.arrayContaining(["charger", "battery"]));
    expect(Math.min(...house.writes.slice(wrote).map(({ at }) => at)) - house.bootedAt).toBeLessThanOrEqual(1_000);
    house.run(Math.floor(end - house.now) - 2, ({ limit, source }) => {
      expect(limit, source ?? "").toBeLessThanOrEqual(3_000);
    });
    obeyed(house, cut + 10, end, 3_000);
    expect(house.status.limits.state).toBe("limited");
  });

  it("during a release: it goes on at or below where it was", () => {
    const house = make();
    house.charging();
    house.cap(4_200, 60, { release: 600 });
    house.until(() => house.status.limits.import?.source === "release" && house.status.limits.import.watts > 8_000, 960, "half released");
    const before = house.trace.at(-1)!;
    expect(before.source).toBe("release");
    house.reboot(3);
    house.run(1);
    expect(house.trace.at(-1)!.limit).toBeLessThanOrEqual(before.limit!);
    let last = 0;
    // From when the operator is heard again and the clock is trusted, it never falls.
    house.run(40);
    house.run(400, ({ limit }) => {
      if (limit === null) return;
      expect(limit).toBeGreaterThanOrEqual(last);
      last = limit;
    });
    house.until(() => house.status.limits.import === null, 700, "released");
  });

  it("with the clock lost: the cap holds for its whole length, and only tightening is accepted", () => {
    const house = make({ networkTime: null });
    house.charging();
    house.cap(3_000, 1_200);
    house.run(60);
    house.world.platform("controller").time = null;
    // A meter whose clock was reset: 2000-01-01.
    Object.assign(house.options, { meterTime: (epoch: number) => epoch - 800_000_000 });
    house.plugMeter();
    house.reboot(2);
    house.run(60);
    expect(house.status.clock.time).toBeNull();
    expect(house.status.limits.import).toMatchObject({ watts: 3_000 });
    house.cap(9_000, 1_200, { id: "00000c01" });
    house.run(10);
    expect(house.status.limits.import!.watts).toBeLessThanOrEqual(3_000);
    house.cap(1_000, 1_200, { id: "00000c02" });
    house.run(10);
    expect(house.status.limits.import).toMatchObject({ watts: 1_000 });
    house.say(() => []);
    house.run(300, ({ limit }) => expect(limit).toBeLessThanOrEqual(1_000));
  });

  it("the first start: no device above its safe value before the first telegram, whatever the broker says", () => {
    const house = make();
    house.meter.close();
    house.run(30);
    for (const { id, value } of house.writes) expect(value, id).toBe(0);
    expect(house.held("pump")).toBe(2);
    expect(house.contacts.filter(({ one, two }) => one !== 0 || two !== 0)).toEqual([]);
    expect(house.reason("charger")).toContain("no telegram yet: safe value");
    expect(Math.min(...house.writes.map(({ at }) => at)) - house.bootedAt).toBeLessThanOrEqual(1_000);
  });
});
