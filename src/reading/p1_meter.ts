/** Telegram → one plausible Reading, or the rule that refused it. Pure. */
import { CURRENT_ROUNDING_MA, TELEGRAM_PERIOD_DSMR4_MS, TELEGRAM_PERIOD_DSMR5_MS, VOLTAGE_PRESENT_MIN_MV } from "../constants.js";
import type { Connection } from "../site.js";
import type { Telegram } from "../telegram/telegram.js";
import type { Milliamps, Millis, PerPhase, WattHours, Watts } from "../units.js";
import { judge, PLAUSIBLE_START, type ImplausibleRule, type PlausibleState } from "./plausible.js";
import type { Reading } from "./reading.js";

export type ReadingRule =
  | "no_power" // neither 1-0:1.7.0, or a meter that exports without 2.7.0
  | "ambiguous" // two lines, one quantity, two values
  | ImplausibleRule;

export type ReadingResult =
  | { readonly kind: "reading"; readonly reading: Reading }
  /** `misfit`: what gave offence, in W, mA, mV or Wh as the rule has it; 0 where it is no number. */
  | { readonly kind: "refused"; readonly rule: ReadingRule; readonly misfit: number; readonly at: Millis };

/** Plain data, one per meter. */
export interface P1MeterState {
  readonly plausible: PlausibleState;
  readonly lastAt: Millis | null;
  /** Telegrams in a row that came within 2.5 s, as far as SHORT_GAPS_MIN. */
  readonly shortGaps: number;
}

export const P1_METER_START: P1MeterState = { plausible: PLAUSIBLE_START, lastAt: null, shortGaps: 0 };

/** A meter that tells no version is taken for one of 10 s until it has spoken faster this often. */
const SHORT_GAPS_MIN = 5;
const SHORT_GAP_MS = 2_500;

export function p1Reading(state: P1MeterState, telegram: Telegram, connection: Connection): { state: P1MeterState; result: ReadingResult } {
  const gap = state.lastAt === null ? null : telegram.at - state.lastAt;
  const shortGaps = gap !== null && gap <= SHORT_GAP_MS ? Math.min(state.shortGaps + 1, SHORT_GAPS_MIN) : 0;
  const seen = { plausible: state.plausible, lastAt: telegram.at, shortGaps };

  const net = netPower(telegram);
  if (telegram.ambiguous) return { state: seen, result: { kind: "refused", rule: "ambiguous", misfit: 0, at: telegram.at } };
  if (net === null) return { state: seen, result: { kind: "refused", rule: "no_power", misfit: 0, at: telegram.at } };

  const reading = readingOf(telegram, net, period(telegram.version, shortGaps >= SHORT_GAPS_MIN));
  const verdict = judge(state.plausible, reading, connection);
  return {
    state: { plausible: verdict.state, lastAt: telegram.at, shortGaps },
    result: verdict.rule === null
      ? { kind: "reading", reading }
      : { kind: "refused", rule: verdict.rule, misfit: verdict.misfit, at: telegram.at },
  };
}

/** The telegram's figures as a Reading, not yet held against anything. For display and judge(). */
export function readingOf(telegram: Telegram, net: Watts, periodMs: Millis): Reading {
  const power: PerPhase<Watts | null> = [phasePower(telegram, 0), phasePower(telegram, 1), phasePower(telegram, 2)];
  return {
    source: "p1",
    at: telegram.at,
    period: periodMs,
    net,
    power,
    current: signedCurrents(telegram, power, net),
    currentWhole: telegram.currentWhole,
    voltage: [telegram.voltage[0], telegram.voltage[1], telegram.voltage[2]],
    imported: registers(telegram.energy.import),
    exported: registers(telegram.energy.export),
    quarterAverage: telegram.quarterAverage,
    monthPeak: telegram.monthPeak.power,
    meterTime: telegram.time,
  };
}

/** Import − export. A meter without any 2.x register measures import only; else both must be there. */
export function netPower(telegram: Telegram): Watts | null {
  const { import: imported, export: exported } = telegram.power;
  if (imported === null) return null;
  if (exported !== null) return imported - exported;
  const { total, tariff } = telegram.energy.export;
  const importOnly = total === null && tariff[0] === null && tariff[1] === null && telegram.faultCount === 0;
  return importOnly ? imported : null;
}

/** DSMR 5, ESMR 5, e-MUCS: each second; DSMR 4 and before: 10 s. No version: by how fast it speaks. */
export function period(version: number | null, speaksFast: boolean): Millis {
  const fast = version === null ? speaksFast : firstDigit(version) === 5;
  return fast ? TELEGRAM_PERIOD_DSMR5_MS : TELEGRAM_PERIOD_DSMR4_MS;
}

function firstDigit(value: number): number {
  let digit = value;
  while (digit >= 10) digit = Math.trunc(digit / 10);
  return digit;
}

function phasePower(telegram: Telegram, phase: 0 | 1 | 2): Watts | null {
  const imported = telegram.power.importPerPhase[phase];
  const exported = telegram.power.exportPerPhase[phase];
  if (imported === null) return null;
  if (exported !== null) return imported - exported;
  const others = telegram.power.exportPerPhase;
  const importOnly = others[0] === null && others[1] === null && others[2] === null && telegram.faultCount === 0;
  return importOnly ? imported : null;
}

/**
 * The meter's amperes are unsigned, also during export. Where it gives the phase's power, that has
 * the sign. Where it gives none (Hungary) the sign of the total holds for all phases if they can
 * only add up that way, Σ V·I = |P|; else they count as import, which leaves the least headroom.
 */
function signedCurrents(telegram: Telegram, power: PerPhase<Watts | null>, net: Watts): PerPhase<Milliamps | null> {
  const exporting = net < 0 && (power[0] === null && power[1] === null && power[2] === null) && apparentEquals(telegram, net);
  const signed = (phase: 0 | 1 | 2): Milliamps | null => {
    const current = telegram.current[phase];
    const own = power[phase];
    if (current === null || current === 0) return current;
    return own === null ? (exporting ? -current : current) : own < 0 ? -current : current;
  };
  return [signed(0), signed(1), signed(2)];
}

function apparentEquals(telegram: Telegram, net: Watts): boolean {
  let apparent = 0;
  let slack = 0;
  for (let phase = 0; phase < 3; phase++) {
    const current = telegram.current[phase]!;
    const voltage = telegram.voltage[phase]!;
    if (current === null) continue;
    if (voltage === null || voltage < VOLTAGE_PRESENT_MIN_MV) return false;
    apparent += Math.trunc((current * voltage) / 1_000_000);
    slack += Math.trunc((CURRENT_ROUNDING_MA * voltage) / 1_000_000);
  }
  return Math.abs(apparent + net) <= slack;
}

/** The total, or the sum of the tariffs there are; null where there is none. */
function registers(energy: Telegram["energy"]["import"]): WattHours | null {
  if (energy.total !== null) return energy.total;
  let sum: WattHours | null = null;
  for (let i = 0; i < 4; i++) {
    const tariff = energy.tariff[i]!;
    if (tariff !== null) sum = (sum ?? 0) + tariff;
  }
  return sum;
}
