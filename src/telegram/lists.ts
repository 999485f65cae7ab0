/**
 * The two lists of a telegram that nobody needs each second, decoded when asked for, from the
 * telegram's own bytes: so only while the telegram is valid.
 */
import type { EpochSeconds, Seconds, Watts } from "../units.js";
import { OPEN, Scanner, UNIT_KW, UNIT_S, UNIT_W } from "./scanner.js";
import type { Telegram } from "./telegram.js";

export interface PowerFailure {
  /** When the power came back. */
  readonly end: EpochSeconds | null;
  readonly duration: Seconds | null;
}

export interface MonthPeak {
  readonly power: Watts | null;
  /** When the peak was; the first quarter-hour of a new meter has none. */
  readonly time: EpochSeconds | null;
}

/** P1: ten failures, thirteen months; a count beyond that is not believed. */
const ENTRIES_MAX = 16;

/** 1-0:99.97.0(n)(0-0:96.7.19)[(time)(seconds*s)]n: the long power failures. Null: absent. */
export function failureLog(telegram: Telegram): readonly PowerFailure[] | null {
  if (telegram.failureLogAt < 0) return null;
  const scanner = new Scanner();
  scanner.bytes = telegram.bytes;
  let p = brackets(scanner, telegram.failureLogAt, 2);
  const log: PowerFailure[] = [];
  while (p >= 0 && log.length < ENTRIES_MAX && scanner.isTimestamp(p)) {
    const end = scanner.time(p);
    if (telegram.bytes[scanner.position] !== OPEN) break;
    const value = scanner.quantity(scanner.position + 1);
    log.push({ end, duration: value >= 0 && scanner.unit === UNIT_S ? value / 1000 : null });
    p = telegram.bytes[scanner.position] === OPEN ? scanner.position + 1 : -1;
  }
  return log;
}

/**
 * 0-0:98.1.0(n)(1-0:1.6.0)(1-0:1.6.0)[(month's end)(time of the peak)(power)]n: Belgium. Null where
 * absent, or where the line is another list (Hungary puts last month's registers there).
 */
export function monthPeaks(telegram: Telegram): readonly MonthPeak[] | null {
  if (telegram.monthPeaksAt < 0) return null;
  const scanner = new Scanner();
  scanner.bytes = telegram.bytes;
  if (scanner.isTimestamp(telegram.monthPeaksAt)) return null;
  let p = brackets(scanner, telegram.monthPeaksAt, 3);
  const peaks: MonthPeak[] = [];
  while (p >= 0 && peaks.length < ENTRIES_MAX && scanner.isTimestamp(p) && scanner.isTimestamp(p + 15)) {
    const time = scanner.time(p + 15);
    if (telegram.bytes[scanner.position] !== OPEN) break;
    const value = scanner.quantity(scanner.position + 1);
    const power = value < 0 ? null : scanner.unit === UNIT_KW ? value : scanner.unit === UNIT_W ? Math.trunc(value / 1000) : null;
    peaks.push({ power, time });
    p = telegram.bytes[scanner.position] === OPEN ? scanner.position + 1 : -1;
  }
  return peaks;
}

/** Passes `count` brackets, the first one's inside at p; the inside of the next, or -1. */
function brackets(scanner: Scanner, p: number, count: number): number {
  for (let i = 0; i < count; i++) {
    const close = scanner.closing(p);
    if (close < 0 || scanner.bytes[close + 1] !== OPEN) return -1;
    p = close + 2;
  }
  return p;
}
