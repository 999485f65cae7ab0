/** A controller's middle on a test bench: loads given by hand, devices that obey at once. */
import { allocationStart, allocationTick, type AllocationState, type StoredLog } from "../../src/allocation/allocation.js";
import type { Decision } from "../../src/allocation/decision.js";
import { describeDecision } from "../../src/allocation/reason.js";
import { budgetStart, budgetTick, type BudgetState } from "../../src/budget/assess.js";
import type { Limits } from "../../src/limits/limit.js";
import type { Reading } from "../../src/reading/reading.js";
import type { DeviceReport } from "../../src/reading/report.js";
import type { Site } from "../../src/site.js";
import { report, testLimits, testReading } from "../house.js";

export class Bench {
  readonly site: Site;
  now = 0;
  state: AllocationState;
  decisions: readonly Decision[] = [];
  limits: Limits;
  /** Load beside the devices, W per phase. */
  load: [number, number, number] = [0, 0, 0];
  silent = false;
  utc: number | null = 1_700_000_000;
  persisted = 0;
  /** What a device draws of its setpoint, for those that do not obey. */
  draws: (device: number, setpoint: number) => number = (_, setpoint) => setpoint;
  reportOver: (device: number) => Partial<DeviceReport> = () => ({});
  #budget: BudgetState;
  #reading: Reading | null = null;

  constructor(site: Site, logs: readonly StoredLog[] | null = []) {
    this.site = site;
    this.limits = testLimits(site);
    this.state = allocationStart(site, logs, 0);
    this.#budget = budgetStart(site);
  }

  /** Ticks each second. */
  run(seconds: number, until: () => boolean = () => false): this {
    for (let second = 0; second < seconds && !until(); second++) this.tick();
    return this;
  }

  tick(): readonly Decision[] {
    this.now += 1_000;
    const watts: [number, number, number] = [...this.load];
    const reports = this.site.devices.map((device, i) => {
      const drawn = this.draws(i, this.state.commanded[i]!.setpoint);
      const n = device.phases.filter(Boolean).length;
      const sg = device.kind === "heat_pump" && device.control === "sg_ready";
      const power = sg ? (this.state.commanded[i]!.setpoint === 1 ? 0 : device.nominal) : device.kind === "inverter" ? -drawn : device.kind === "ev" ? drawn * 0.23 * n : drawn;
      for (let p = 0; p < 3; p++) if (device.phases[p]) watts[p]! += power / n;
      return report({ power: Math.round(power), current: device.kind === "ev" ? (device.phases.map((used) => (used ? drawn : 0)) as [number, number, number]) : [null, null, null], ...this.reportOver(i) });
    });
    const fresh = this.silent ? null : testReading(this.now, watts.map(Math.round) as [number, number, number]);
    this.#reading = fresh ?? this.#reading;
    const assessed = budgetTick(this.site, this.#budget, { reading: this.#reading, fresh: fresh !== null, limits: this.limits, reports, commanded: this.state.commanded }, this.now);
    const given = allocationTick(this.site, this.state, { reading: this.#reading, budget: assessed.budget, limits: this.limits, reports, utc: this.utc }, this.now);
    this.#budget = assessed.state;
    this.state = given.state;
    this.decisions = given.decisions;
    if (given.persistChanged) this.persisted += 1;
    if (this.utc !== null) this.utc += 1;
    return given.decisions;
  }

  told(device = 0): number {
    return this.decisions[device]!.setpoint.value;
  }

  words(device = 0): string {
    return describeDecision(this.site, this.decisions[device]!, this.limits);
  }
}
