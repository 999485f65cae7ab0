/** A small household that only a meter sees: base load, appliances, sun. Repeatable from its seed. */
import type { P1MeterState } from "./p1_telegram.js";

interface Appliance {
  readonly phase: number;
  readonly watts: number;
  /** Mean seconds on, and between two runs. */
  readonly on: number;
  readonly off: number;
}

const APPLIANCES: readonly Appliance[] = [
  { phase: 0, watts: 2_000, on: 180, off: 7_200 }, // kettle
  { phase: 1, watts: 2_600, on: 1_500, off: 14_400 }, // oven
  { phase: 2, watts: 2_100, on: 1_200, off: 28_800 }, // washing machine, heating
  { phase: 0, watts: 120, on: 900, off: 1_800 }, // refrigerator
  { phase: 1, watts: 1_500, on: 2_400, off: 5_400 }, // heat pump
];
const SOLAR_PEAK_W = 4_000;
const SOURCE_MV = 232_000;
/** Milliohms of line and transformer as one house sees them. */
const SOURCE_MILLIOHM = 250;

export class Household {
  readonly #random: () => number;
  readonly #running: boolean[];
  readonly #base = [180, 120, 90];
  #imported: [number, number] = [4_321_000, 5_678_000];
  #exported: [number, number] = [1_200_000, 2_300_000];
  #time: number;
  #gas = 1_234_567;
  text = "";

  /** `time`: UTC at the start. */
  constructor(seed: number, time: number) {
    this.#random = generator(seed);
    this.#running = APPLIANCES.map(() => this.#random() < 0.2);
    this.#time = time;
  }

  /** The house at a later time, at most an hour on. */
  at(time: number): P1MeterState {
    const elapsed = Math.max(0, Math.min(3_600, time - this.#time));
    this.#time = time;
    for (let phase = 0; phase < 3; phase++) {
      this.#base[phase] = Math.max(40, Math.min(900, this.#base[phase]! + (this.#random() - 0.5) * 30));
    }
    const power = [...this.#base].map(Math.round);
    APPLIANCES.forEach((appliance, index) => {
      const chance = elapsed / (this.#running[index] ? appliance.on : appliance.off);
      if (this.#random() < chance) this.#running[index] = !this.#running[index];
      if (this.#running[index]) power[appliance.phase]! += appliance.watts;
    });
    const hour = (time / 3600 + 1) % 24;
    const sun = Math.max(0, Math.sin(((hour - 7) / 12) * Math.PI));
    power[2]! -= Math.round(SOLAR_PEAK_W * sun * (0.7 + 0.3 * this.#random()));

    const net = power[0]! + power[1]! + power[2]!;
    const tariff = hour >= 7 && hour < 23 ? 2 : 1;
    const energy = (Math.abs(net) * elapsed) / 3600;
    (net >= 0 ? this.#imported : this.#exported)[tariff - 1]! += energy;
    const voltage = power.map((watts) => SOURCE_MV - Math.round((SOURCE_MILLIOHM * watts) / 230));
    const five = time - (time % 300);
    return {
      time, power, voltage, tariff, text: this.text,
      imported: [Math.trunc(this.#imported[0]), Math.trunc(this.#imported[1])],
      exported: [Math.trunc(this.#exported[0]), Math.trunc(this.#exported[1])],
      gas: { litres: this.#gas, time: five },
    };
  }
}

/** Mulberry32. */
function generator(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
