/** The controller goes in good order, or one of its own parts throws. */
import { describe, expect, it } from "vitest";
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
