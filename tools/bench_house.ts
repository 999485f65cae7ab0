/** The plainest house that keeps a controller busy, for bench.ts: readings straight into tick(). */
import { performance } from "node:perf_hooks";
import { start, tick, type Inputs, type State } from "../src/controller.js";
import type { Reading } from "../src/reading/reading.js";
import { SILENT, type DeviceReport } from "../src/reading/report.js";
import type { Device, Site } from "../src/site.js";
import type { AcceptedToken } from "../src/token/cap.js";

const ALL = [true, true, true] as const;
const devices: readonly Device[] = [
  { kind: "heat_pump", control: "sg_ready", id: "pump", priority: 1, phases: ALL, nominal: 2_500 },
  { kind: "ev", id: "car", priority: 2, phases: ALL, minimum: 6_000, maximum: 16_000, step: 1_000 },
  { kind: "battery", id: "battery", priority: 4, phases: [true, false, false], chargeMax: 3_000, dischargeMax: 3_000, step: 10 },
  { kind: "ev", id: "visitor", priority: 2, phases: [false, true, false], minimum: 6_000, maximum: 16_000, step: 1_000 },
  { kind: "heat_pump", control: "power", id: "boiler", priority: 3, phases: ALL, minimum: 1_000, maximum: 3_000, step: 100, safe: 1_000 },
  { kind: "inverter", id: "roof", priority: 5, phases: ALL, rated: 6_000, safe: 6_000, step: 10 },
];

const site = (count: number): Site => ({
  serial: "VN-BENCH", ean: null, msr: null, connection: { phases: 3, delta: false, fuse: 25_000, importMax: 17_250, exportMax: null },
  failsafe: { importLimit: 4_200, exportLimit: null, duration: 7_200_000 }, autonomousImport: null, tariffTarget: null, ownerImport: null, ownerExport: null,
  par14a: false, hasOperator: true, inputs: [], devices: devices.slice(0, count),
});
export const SITE_OF_SIX = site(6);
export const SITE_OF_THREE = site(3);

export class BenchHouse {
  readonly #site: Site;
  readonly #epoch: number;
  #state: State;
  #second = 0;
  /** W each device draws. */
  readonly #drawn: number[];
  #last: Inputs | null = null;

  constructor(of: Site, epoch: number) {
    this.#site = of;
    this.#epoch = epoch;
    this.#state = start(of, { limits: null, sgReady: null, clock: null }, 0);
    this.#drawn = of.devices.map(() => 0);
  }

  run(seconds: number, token: AcceptedToken): void {
    for (let i = 0; i < seconds; i++) {
      this.#last = this.#inputs(this.#second === 30 ? [token] : []);
      const { state, outputs } = tick(this.#site, this.#state, this.#last, this.#second * 1_000);
      this.#state = state;
      for (let d = 0; d < this.#drawn.length; d++) this.#drawn[d] = draw(this.#site.devices[d]!, outputs.decisions[d]!.setpoint.value, this.#second);
      this.#second++;
    }
  }

  /** Milliseconds of a tick by itself: the newest one, once more and again. */
  tickTime(times: number): number {
    let least = Infinity;
    for (let round = 0; round < 5; round++) {
      const began = performance.now();
      for (let i = 0; i < times; i++) tick(this.#site, this.#state, this.#last!, this.#second * 1_000);
      least = Math.min(least, (performance.now() - began) / times);
    }
    return least;
  }

  #inputs(tokens: readonly AcceptedToken[]): Inputs {
    const second = this.#second;
    const now = second * 1_000;
    const phase: [number, number, number] = [200 + (second * 7) % 400, 300 + (second % 900 < 120 ? 2_000 : 0), 150 + (second * 13) % 300];
    const reports: DeviceReport[] = [];
    for (let d = 0; d < this.#drawn.length; d++) {
      const { phases } = this.#site.devices[d]!;
      const watts = this.#drawn[d]!;
      const each = Math.trunc(watts / (phases[0] && phases[1] ? 3 : 1));
      for (let p = 0; p < 3; p++) if (phases[p]) phase[p]! += each;
      reports.push({ ...SILENT, online: true, at: now, power: watts });
    }
    const reading: Reading = {
      source: "p1", at: now, period: 1_000, net: phase[0] + phase[1] + phase[2], power: phase,
      current: [ampere(phase[0]), ampere(phase[1]), ampere(phase[2])], currentWhole: true, voltage: [230_000, 231_000, 229_000],
      imported: null, exported: null, quarterAverage: null, monthPeak: null, meterTime: this.#epoch + second,
    };
    return { reading, tokens, contacts: [], reports, networkTime: null };
  }
}

const ampere = (watts: number): number => Math.trunc(watts / 230) * 1_000;

function draw(device: Device, told: number, second: number): number {
  switch (device.kind) {
    case "ev": return Math.trunc(told * 0.23) * (device.phases[0] ? 3 : 1);
    case "inverter": return -Math.min(told, Math.max(0, 4_000 - Math.abs((second % 86_400) - 43_200) / 4));
    case "battery": return told;
    case "heat_pump": return device.control === "sg_ready" ? (told === 1 ? 0 : second % 3_600 < 2_000 ? 2_200 : 60) : told;
  }
}
