import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { actuationStart, actuationTick, safeSetpoint, type ActuationState } from "../../src/actuation/actuation.js";
import type { Command } from "../../src/actuation/command.js";
import type { Decision, Setpoint } from "../../src/allocation/decision.js";
import { READ_BACK_RETRY_MS, REWRITE_PERIOD_MS, TICK_PERIOD_MS } from "../../src/constants.js";
import { SILENT, type DeviceReport } from "../../src/reading/report.js";
import type { Device, Site } from "../../src/site.js";

const runs = Number(process.env["VANGNET_RUNS"] ?? 1) * 200;
const all = [true, true, true] as const;
const devices: readonly Device[] = [
  { kind: "ev", id: "car", priority: 1, phases: all, minimum: 6_000, maximum: 16_000, step: 1_000 },
  { kind: "battery", id: "battery", priority: 2, phases: all, chargeMax: 5_000, dischargeMax: 5_000, step: 50 },
  { kind: "inverter", id: "roof", priority: 3, phases: all, rated: 8_000, safe: 1_500, step: 50 },
  { kind: "heat_pump", control: "sg_ready", id: "pump", priority: 4, phases: all, nominal: 2_500 },
  { kind: "heat_pump", control: "power", id: "pump2", priority: 5, phases: all, minimum: 1_000, maximum: 6_000, step: 100, safe: 1_000 },
];
const site: Site = {
  serial: "T1", ean: null, msr: null, connection: { phases: 3, delta: false, fuse: 25_000, importMax: null, exportMax: null },
  failsafe: { importLimit: 4_200, exportLimit: null, duration: 7_200_000 }, autonomousImport: null, tariffTarget: null,
  ownerImport: null, ownerExport: null, par14a: false, hasOperator: false, inputs: [], devices,
};
const reports: readonly DeviceReport[] = devices.map(() => ({ ...SILENT, online: true }));

const setpoints = (car: number, battery: number, roof: number, pump: 1 | 2 | 3 | 4, pump2: number): Setpoint[] => [
  { kind: "current", value: car }, { kind: "power", value: battery }, { kind: "production", value: roof },
  { kind: "sg_ready", value: pump }, { kind: "power", value: pump2 },
];
const decide = (list: readonly Setpoint[]): Decision[] =>
  list.map((setpoint, i) => ({ device: devices[i]!.id, setpoint, asked: setpoint.value, reason: "asked_in_full", limit: null }));
const busy = decide(setpoints(16_000, 5_000, 8_000, 4, 6_000));

/** What a command tells its device, contacts turned back into a state. */
function told(command: Command): Setpoint {
  if (command.kind === "write") return command.setpoint;
  const one = command.moves.find((move) => move.contact === 1)!.value, two = command.moves.find((move) => move.contact === 2)!.value;
  return { kind: "sg_ready", value: one ? (two ? 4 : 1) : two ? 3 : 2 };
}

describe("actuation", () => {
  it("tells every device its safe value first, whatever was decided", () => {
    const { commands } = actuationTick(site, actuationStart(site), busy, reports, 0);
    expect(commands.map((command) => command.device)).toEqual([0, 1, 2, 3, 4]);
    expect(commands.map(told)).toEqual(devices.map(safeSetpoint));
    expect(commands.map(told)).toEqual(setpoints(0, 0, 1_500, 2, 1_000));
  });

  it("then what was decided, in the same tick, and nothing while nothing changes", () => {
    let { state } = actuationTick(site, actuationStart(site), busy, reports, 0);
    const second = actuationTick(site, state, busy, reports, 1_000);
    expect(second.commands.map(told)).toEqual(busy.map((decision) => decision.setpoint));
    const third = actuationTick(site, second.state, busy, reports, 2_000);
    expect(third.commands).toEqual([]);
    expect(third.state).toBe(second.state);
    const lower = decide(setpoints(6_000, 5_000, 8_000, 4, 6_000));
    state = third.state;
    expect(actuationTick(site, state, lower, reports, 3_000).commands).toEqual([
      { kind: "write", device: 0, setpoint: { kind: "current", value: 6_000 } },
    ]);
  });

  it("gives a device without a decision, or with one of another kind, its safe value", () => {
    const { state } = actuationTick(site, actuationStart(site), [], reports, 0);
    const after = actuationTick(site, actuationTick(site, state, busy, reports, 1_000).state, [], reports, 2_000);
    expect(after.commands.map(told)).toEqual(devices.map(safeSetpoint));
    const wrong: Decision[] = [{ device: "car", setpoint: { kind: "power", value: 9_000 }, asked: 0, reason: "limited", limit: null }];
    expect(actuationTick(site, state, wrong, reports, 1_000).commands).toEqual([]);
  });

  it("finds decisions by name when they come in another order", () => {
    const { state } = actuationTick(site, actuationStart(site), [], reports, 0);
    const { commands } = actuationTick(site, state, [...busy].reverse(), reports, 1_000);
    expect(commands.map(told)).toEqual(busy.map((decision) => decision.setpoint));
  });

  it("writes a device that comes back at once", () => {
    const away = reports.map((report, i) => (i === 0 ? { ...report, online: false } : report));
    let { state } = actuationTick(site, actuationStart(site), [], reports, 0);
    state = actuationTick(site, state, [], away, 1_000).state;
    expect(actuationTick(site, state, [], away, 2_000).commands).toEqual([]);
    const back = actuationTick(site, state, [], reports, 3_000);
    expect(back.commands).toEqual([{ kind: "write", device: 0, setpoint: { kind: "current", value: 0 } }]);
    expect(actuationTick(site, back.state, [], reports, 4_000).commands).toEqual([]);
  });

  it("repeats itself to a device that holds another value, but not in every tick", () => {
    const other = reports.map((report, i) => (i === 0 ? { ...report, fault: "read_back_mismatch" } : report));
    let { state } = actuationTick(site, actuationStart(site), [], other, 0);
    const at: number[] = [];
    for (let now = TICK_PERIOD_MS; now <= 2 * READ_BACK_RETRY_MS; now += TICK_PERIOD_MS) {
      const step = actuationTick(site, state, [], other, now);
      state = step.state;
      if (step.commands.some((command) => command.device === 0)) at.push(now);
    }
    expect(at).toEqual([READ_BACK_RETRY_MS, 2 * READ_BACK_RETRY_MS]);
  });

  it("writes every device at least every rewrite period, whatever happens (invariant 10)", () => {
    const tick = fc.record({
      // Ticks come at least every second; a telegram or a cap may bring one earlier.
      after: fc.integer({ min: 1, max: TICK_PERIOD_MS }),
      car: fc.constantFrom(0, 6_000, 7_000, 16_000),
      pump: fc.constantFrom<1 | 2 | 3 | 4>(1, 2, 3, 4),
      online: fc.boolean(),
    });
    fc.assert(fc.property(fc.array(tick, { minLength: 20, maxLength: 60 }), (ticks) => {
      let state: ActuationState = actuationStart(site), now = 0;
      const last = devices.map(() => 0);
      const value: (Setpoint | null)[] = devices.map(() => null);
      for (const { after, car, pump, online } of ticks) {
        now += after;
        const decisions = decide(setpoints(car, 0, 8_000, pump, 1_000));
        const frozen = JSON.stringify(state);
        const step = actuationTick(site, state, decisions, reports.map((report) => ({ ...report, online })), now);
        expect(JSON.stringify(state)).toBe(frozen);
        for (const command of step.commands) {
          last[command.device] = now;
          value[command.device] = told(command);
        }
        state = step.state;
        for (let i = 0; i < devices.length; i++) expect(now - last[i]!).toBeLessThanOrEqual(REWRITE_PERIOD_MS);
      }
      // And what each holds is what was decided last.
      expect(value[0]).toEqual({ kind: "current", value: ticks.at(-1)!.car });
      expect(value[3]).toEqual({ kind: "sg_ready", value: ticks.at(-1)!.pump });
    }), { numRuns: runs });
  });
});
