/** The controller goes in good order, or one of its own parts throws. */
import { describe, expect, it } from "vitest";
import { sha256, verifyP256Sync } from "../../hal/node/crypto.js";
import { SimWorld } from "../../hal/sim/world.js";
import { Vangnet } from "../../src/main.js";
import { readSite } from "../../src/services/site_config.js";
import { demoSite, SimulatedHome } from "../../tools/home.js";
import { ev, pump, useHouses } from "./house.js";

const make = useHouses();

describe("an orderly end", () => {
  it("leaves every device at its safe value: no pump stays blocked, no charger stays at 16 A", () => {
    const house = make({ devices: [pump("pump"), ev("charger")] });
    house.charging();
    expect(house.held("charger")).toBeGreaterThanOrEqual(6_000);
    let ended = false;
    house.controller.stop(() => { ended = true; });
    house.world.runFor(3_000);
    expect(ended).toBe(true);
    expect([house.held("pump"), house.held("charger")]).toEqual([2, 0]);
  });

  it("ends a block", () => {
    const house = make({ devices: [pump("pump"), ev("charger")] });
    house.run(30);
    house.until(() => house.models.get("pump")!.watts[0] > 500, 3_000, "the pump runs");
    house.cap(0, 3_600);
    house.until(() => house.held("pump") === 1, 60, "the pump is blocked");
    house.controller.stop(() => {});
    house.world.runFor(3_000);
    expect(house.held("pump")).toBe(2);
  });
});

describe("a part that throws at every tick", () => {
  it("is counted, and the house is led all the same", () => {
    const world = new SimWorld({ seed: 5, crypto: { sha256, verifyP256: verifyP256Sync } });
    const platform = world.platform("controller");
    const home = new SimulatedHome({
      platform: world.platform("home"), seed: 5, epoch: () => world.epochSeconds(), stepMs: 1_000,
      contacts: [platform.pins.get("virtual:sg1"), platform.pins.get("virtual:sg2")],
    });
    const read = readSite(demoSite(home.ports, home.key, null));
    if (!read.ok) throw new Error("the demo's site is faulty");
    let lines = 0;
    const controller = new Vangnet({
      platform, ...read, version: "test",
      onTick: () => { throw new Error("a listener's bug"); },
      record: () => { if (lines++ > 0) throw new Error("a recorder's bug"); },
    });
    home.say((events) => events);
    world.runFor(100_000);
    const { counters, limits } = controller.status();
    expect(counters["faults"]).toBeGreaterThan(150);
    expect(counters["readings"]).toBeGreaterThan(95);
    expect(limits.state).toBe("controlled");
    expect(home.battery.setpoint).toBeGreaterThan(500);
    controller.close();
    home.close();
  });
});
