import { describe, expect, it } from "vitest";
import { HouseModel } from "../../tools/emulators/house.js";
import { BatteryModel, EvModel, HeatPumpModel, InverterModel } from "../../tools/emulators/models.js";

const family = (seed: number, day = 15) => {
  const car = new EvModel({ seed, need: 20_000 }), roof = new InverterModel({ seed: seed + 1 });
  const pump = new HeatPumpModel({ seed: seed + 2 }), battery = new BatteryModel({ seed: seed + 3 });
  return { house: new HouseModel({ seed, day, devices: [car, roof, pump, battery] }), car, roof, pump, battery };
};

describe("a house", () => {
  it("adds up: the meter sees the household and its devices, phase by phase", () => {
    const { house, car } = family(1);
    car.told(16_000);
    for (let s = 0; s < 600; s++) {
      house.step(1_000);
      house.phases().forEach(({ watts, volts, amps }, i) => {
        const devices = house.devices.reduce((total, device) => total + device.watts[i]!, 0);
        expect(watts).toBeCloseTo(house.base[i]! + devices, 6);
        expect(volts).toBeGreaterThan(200);
        expect(volts).toBeLessThan(253);
        expect(Math.sign(amps)).toBe(Math.sign(watts));
        expect(Math.abs(amps)).toBeCloseTo((Math.abs(watts) / volts) * 1.01, 6);
      });
    }
    expect(house.imported).toBeGreaterThan(1_000);
    expect(house.exported).toBe(0);
  });
  it("pulls the voltage down when it draws, and lifts it when it feeds in", () => {
    const quiet = new HouseModel({ seed: 2, gridSwing: 0 }), loaded = new HouseModel({ seed: 2, gridSwing: 0 }), feeding = new HouseModel({ seed: 2, gridSwing: 0 });
    loaded.extra[0] = 5_000;
    feeding.extra[0] = -5_000;
    for (const house of [quiet, loaded, feeding]) for (let s = 0; s < 10; s++) house.step(1_000);
    const [q, l, f] = [quiet, loaded, feeding].map((house) => house.phases()[0].volts) as [number, number, number];
    expect(q - l).toBeGreaterThan(4);
    expect(f - q).toBeGreaterThan(4);
  });
  it("lives a winter day like a household: 5 to 20 kWh without its devices, peaks of kettles and ovens", () => {
    for (const seed of [1, 2, 3]) {
      const house = new HouseModel({ seed });
      let peak = 0;
      for (let t = 0; t < 86_400; t += 5) {
        house.step(5_000);
        peak = Math.max(peak, house.net);
      }
      expect(house.imported).toBeGreaterThan(5_000);
      expect(house.imported).toBeLessThan(20_000);
      expect(peak).toBeGreaterThan(2_000);
    }
  });
  it("keeps warm in January, and less so while the pump is blocked", () => {
    const free = family(4), blocked = family(4);
    blocked.pump.contacts = { one: 1, two: 0 };
    let ran = 0;
    for (let t = 0; t < 86_400; t += 10) {
      free.house.step(10_000);
      blocked.house.step(10_000);
      if (free.pump.running) ran++;
      expect(blocked.pump.running).toBe(false);
    }
    expect(free.pump.indoor).toBeGreaterThan(18.5);
    expect(free.pump.indoor).toBeLessThan(22);
    expect(blocked.pump.indoor).toBeLessThan(free.pump.indoor - 3);
    expect(ran / 8_640).toBeGreaterThan(0.2);
  });
  it("has sun at noon and none at night, more in June", () => {
    const noon = (day: number) => new HouseModel({ seed: 1, day, timeOfDay: 12.67 * 3_600_000 }).environment().sun;
    expect(new HouseModel({ seed: 1 }).environment().sun).toBe(0);
    expect(noon(15)).toBeGreaterThan(0.1);
    expect(noon(172)).toBeGreaterThan(2 * noon(15));
    expect(noon(172)).toBeLessThanOrEqual(1);
  });
  it("is the same for the same seed, and another for another", () => {
    const day = (seed: number) => {
      const { house } = family(seed), said: number[] = [];
      for (let t = 0; t < 7_200; t += 10) {
        house.step(10_000);
        said.push(Math.round(house.net), Math.round(house.phases()[1].volts * 10));
      }
      return said;
    };
    expect(day(5)).toEqual(day(5));
    expect(day(5)).not.toEqual(day(6));
  });
  it("has one phase where it has one", () => {
    const house = new HouseModel({ seed: 1, phases: 1, devices: [new EvModel({ seed: 1, phases: [true, false, false] })] });
    for (let s = 0; s < 60; s++) house.step(1_000);
    const [one, two, three] = house.phases();
    expect(one.watts).toBeGreaterThan(50);
    expect([two, three]).toEqual([{ watts: 0, volts: 0, amps: 0 }, { watts: 0, volts: 0, amps: 0 }]);
  });
});
