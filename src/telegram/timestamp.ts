/** P1 timestamps, YYMMDDhhmmssX in Central European local time, to UTC. Pure arithmetic. */
import type { EpochSeconds } from "../units.js";

const STANDARD_OFFSET_S = 3_600;
const SUMMER_OFFSET_S = 7_200;
/** A year of two digits from here on is a reset clock (`700101010000W`), not 2070. */
const YEAR_END = 70;

/** Days from 1970-01-01 to the first of the month (1–12) of a year 2000–2069; proleptic Gregorian. */
function daysToMonth(year: number, month: number): number {
  // Years that start in March put the leap day last (the usual civil-calendar arithmetic).
  const shifted = month <= 2 ? year - 1 : year;
  const fromMarch = month <= 2 ? month + 9 : month - 3;
  const sinceMarch = ((153 * fromMarch + 2) / 5) | 0;
  return 365 * shifted + ((shifted / 4) | 0) - ((shifted / 100) | 0) + ((shifted / 400) | 0) + sinceMarch - 719_468;
}

function daysInMonth(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 ? 29 : 28; // 2000–2069: 2000 is a leap year as well
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

/**
 * Twelve digits at `bytes[p]` as if they were UTC, or null where they are no date.
 * Seconds since 1970.
 */
function civil(bytes: Uint8Array, p: number): EpochSeconds | null {
  const year = two(bytes, p);
  const month = two(bytes, p + 2);
  const day = two(bytes, p + 4);
  const hour = two(bytes, p + 6);
  const minute = two(bytes, p + 8);
  const second = two(bytes, p + 10);
  if (year < 0 || year >= YEAR_END || month < 1 || month > 12 || day < 1 || day > daysInMonth(2000 + year, month)) return null;
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return null;
  return (daysToMonth(2000 + year, month) + day - 1) * 86_400 + hour * 3_600 + minute * 60 + second;
}

function two(bytes: Uint8Array, p: number): number {
  const tens = bytes[p]! - 48;
  const ones = bytes[p + 1]! - 48;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : -1;
}

/** `YYMMDDhhmmssX` at `bytes[p]`, X = S (summer, UTC+2) or W (winter, UTC+1). Null: no date. */
export function timestamp(bytes: Uint8Array, p: number): EpochSeconds | null {
  const letter = bytes[p + 12];
  if (letter !== 0x53 && letter !== 0x57) return null;
  const local = civil(bytes, p);
  return local === null ? null : local - (letter === 0x53 ? SUMMER_OFFSET_S : STANDARD_OFFSET_S);
}

/**
 * `YYMMDDhhmmss` without a letter (M-Bus readings of DSMR 2.2 and 3.0), by the European rule:
 * summer time from the last Sunday of March to the last of October, 01:00 UTC. The hour that comes
 * twice in October is taken as winter time.
 */
export function timestampWithoutLetter(bytes: Uint8Array, p: number): EpochSeconds | null {
  const local = civil(bytes, p);
  if (local === null) return null;
  const year = 2000 + two(bytes, p);
  const utc = local - STANDARD_OFFSET_S;
  const summer = utc >= lastSunday(year, 3) + 3_600 && utc < lastSunday(year, 10) + 3_600;
  return summer ? utc - STANDARD_OFFSET_S : utc;
}

/** 00:00 UTC of the last Sunday of a month of 31 days. */
function lastSunday(year: number, month: number): EpochSeconds {
  const last = daysToMonth(year, month) + 30;
  return (last - ((last + 4) % 7)) * 86_400; // 1970-01-01 was a Thursday
}
