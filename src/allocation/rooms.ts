import type { Budget } from "../budget/budget.js";
import { phaseCount, phaseVolts } from "../budget/controlled.js";
import type { Battery, EvCharger, Inverter, PowerHeatPump } from "../site.js";
import type { ReasonCode } from "./decision.js";

/** Devices whose setpoint is a quantity. An SG Ready pump has states instead. */
export type Continuous = EvCharger | Battery | Inverter | PowerHeatPump;

/**
 * What is left to hand out, in five places a device may bind at: mA on L1, L2, L3, W of the first
 * scope (net import; export) and W of the second (controllable devices; production).
 */
export type Rooms = number[];
export const NET = 3;
export const SCOPED = 4;
/** Where no limit binds. */
export const UNBOUND = 1e12;
/** Products of a share and its cost are not whole: less than this is rounding, in mA and W. */
const ROUNDING = 1e-3;

/** One device within one tick: what it may have, what it costs, what it gets. Scratch, never kept. */
export interface Consumer {
  readonly index: number;
  readonly priority: number;
  /** In the setpoint's unit, on its step grid. */
  readonly minimum: number;
  maximum: number;
  readonly step: number;
  /** Setpoint units that make 1 mA on each phase it uses. */
  readonly scale: number;
  /** What one setpoint unit takes of each room. */
  readonly cost: readonly number[];
  readonly running: boolean;
  admitted: boolean;
  target: number;
  /** A battery's: no lower than this, whatever its shape. */
  least: number;
  reason: ReasonCode;
  /** The room that binds, -1 where none does. */
  bind: number;
}

export function consumer(device: Continuous, index: number, setpoint: number, { voltage, voltageLow }: Budget): Consumer {
  const { kind, step, phases } = device;
  let scale = 1;
  let cost: number[];
  if (kind === "ev") {
    const watts = phaseVolts(device, voltage) / 1_000_000;
    cost = [phases[0] ? 1 : 0, phases[1] ? 1 : 0, phases[2] ? 1 : 0, watts, watts];
  } else {
    const count = phaseCount(device);
    scale = phaseVolts(device, voltageLow) / 1_000_000;
    cost = [
      phases[0] ? 1_000_000 / (count * voltageLow[0]) : 0, phases[1] ? 1_000_000 / (count * voltageLow[1]) : 0,
      phases[2] ? 1_000_000 / (count * voltageLow[2]) : 0, 1, 1,
    ];
  }
  const maximum = kind === "battery" ? device.chargeMax : kind === "inverter" ? device.rated : device.maximum;
  return {
    index, priority: device.priority, step,
    minimum: kind === "ev" || kind === "heat_pump" ? Math.ceil(device.minimum / step) * step : 0,
    maximum: Math.floor(maximum / step) * step,
    scale, cost, running: setpoint > 0, admitted: false, target: 0, least: 0, reason: "asked_in_full", bind: -1,
  };
}

/** True where `amount` more of this device fits everywhere. */
export function fits(rooms: Rooms, one: Consumer, amount: number): boolean {
  return firstShort(rooms, one, amount) < 0;
}

// The five places are written out below: on XS a loop costs twice what it loops over.

/** The first room in which `amount` more of this device does not fit, -1 where it fits. */
export function firstShort(rooms: Rooms, one: Consumer, amount: number): number {
  const cost = one.cost;
  if (rooms[SCOPED]! + ROUNDING < amount * cost[SCOPED]!) return SCOPED;
  if (rooms[NET]! + ROUNDING < amount * cost[NET]!) return NET;
  if (cost[2]! > 0 && rooms[2]! + ROUNDING < amount * cost[2]!) return 2;
  if (cost[1]! > 0 && rooms[1]! + ROUNDING < amount * cost[1]!) return 1;
  if (cost[0]! > 0 && rooms[0]! + ROUNDING < amount * cost[0]!) return 0;
  return -1;
}

/** Takes `amount` of this device out of the rooms; a negative amount gives back. */
export function take(rooms: Rooms, one: Consumer, amount: number): void {
  const cost = one.cost;
  const watts = amount * cost[NET]!;
  rooms[SCOPED]! -= watts;
  rooms[NET]! -= watts;
  if (cost[2]! > 0) rooms[2]! -= amount * cost[2]!;
  if (cost[1]! > 0) rooms[1]! -= amount * cost[1]!;
  if (cost[0]! > 0) rooms[0]! -= amount * cost[0]!;
}

/** How much more of this device the rooms hold, in its unit, before the step grid; may be negative. */
export function most(rooms: Rooms, one: Consumer): number {
  const cost = one.cost;
  let least = (Math.min(rooms[NET]!, rooms[SCOPED]!) + ROUNDING) / cost[NET]!;
  for (let phase = 0; phase < NET; phase++) {
    const each = cost[phase]!;
    if (each > 0 && (rooms[phase]! + ROUNDING) / each < least) least = (rooms[phase]! + ROUNDING) / each;
  }
  return least;
}

/** The room this device would run out of first, -1 where none binds. */
export function tightest(rooms: Rooms, one: Consumer): number {
  const cost = one.cost;
  const scoped = rooms[SCOPED]! < rooms[NET]!;
  let where = scoped ? SCOPED : NET;
  let least = rooms[where]! / cost[NET]!;
  if (rooms[where]! >= UNBOUND / 2) where = -1;
  for (let phase = NET - 1; phase >= 0; phase--) {
    const each = cost[phase]!;
    if (each > 0 && rooms[phase]! / each < least) {
      least = rooms[phase]! / each;
      where = phase;
    }
  }
  return where;
}
