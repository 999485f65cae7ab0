/** The seeded house as only its meter sees it: for `p1 emulate`. */
import { HouseModel } from "./house.js";
import { InverterModel } from "./models.js";
import type { P1MeterState } from "./p1_telegram.js";

const STEP_MS = 1_000;
/** A gap longer than this is not lived through second by second. */
const GAP_MAX_S = 3_600;
const IMPORTED_WH = [4_321_000, 5_678_000] as const;
const EXPORTED_WH = [1_200_000, 2_300_000] as const;
const GAS_LITRES = 1_234_567;

export class Household {
  text = "";
  readonly #house: HouseModel;
  #time: number;

  /** `time`: UTC at the start. */
  constructor(seed: number, time: number) {
    const local = new Date((time + 3_600) * 1000);
    this.#house = new HouseModel({
      seed, devices: [new InverterModel({ seed, rated: 4_000 })],
      timeOfDay: (time + 3_600) % 86_400 * 1000, day: Math.floor((local.getTime() - Date.UTC(local.getUTCFullYear(), 0, 1)) / 86_400_000) + 1,
    });
    this.#time = time;
    this.#house.step(STEP_MS);
  }

  /** The house at a later time. */
  at(time: number): P1MeterState {
    for (let left = Math.min(GAP_MAX_S, time - this.#time); left > 0; left--) this.#house.step(STEP_MS);
    this.#time = time;
    const phases = this.#house.phases();
    const high = Math.floor(time / 3_600 + 1) % 24 >= 7;
    return {
      time, tariff: high ? 2 : 1, text: this.text,
      power: phases.map(({ watts }) => Math.round(watts)),
      voltage: phases.map(({ volts }) => Math.round(volts * 10) * 100),
      current: phases.map(({ amps }) => Math.round(Math.abs(amps) * 1000)),
      imported: [IMPORTED_WH[0], IMPORTED_WH[1] + Math.trunc(this.#house.imported)],
      exported: [EXPORTED_WH[0], EXPORTED_WH[1] + Math.trunc(this.#house.exported)],
      gas: { litres: GAS_LITRES, time: time - (time % 300) },
    };
  }
}
