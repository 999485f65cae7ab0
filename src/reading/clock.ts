/**
 * Time without internet (CAPS, Life 7): the meter's clock, ratcheted by signed iats; network time
 * only agrees. A clock that goes back, or jumps by more than a day, is not trusted and says so.
 * Pure, plain data; instants are on the monotonic clock, times UTC.
 *
 * Trust is gained by
 * - a meter clock that runs evenly: for CLOCK_START_MS after start, for CLOCK_REGAIN_MS after it
 *   went back; not before the last known time or a signed iat, and no more than CLOCK_AHEAD_MAX_S
 *   beyond them, unless network time or a fresh token agrees;
 * - after a jump forward of more than a day: only with that agreement;
 * - at once, where the meter comes back to the line it had left (one spoilt telegram);
 * - on a meter without a clock (DSMR 2.2, 3.0): network time that a signed iat of the last hour
 *   confirms. Network time alone is never enough.
 */
import {
  CLOCK_AGREE_S, CLOCK_AHEAD_MAX_S, CLOCK_EPOCH_MIN_S, CLOCK_JUMP_MAX_S, CLOCK_PERSIST_S, CLOCK_REGAIN_MS, CLOCK_START_MS,
  CLOCK_TOLERANCE_S, LINK_LIFE_MAX_S,
} from "../constants.js";
import type { EpochSeconds, Millis, Seconds } from "../units.js";

export type ClockReason =
  | "start" // no source has spoken long enough yet
  | "went_back"
  | "jumped" // more than a day ahead
  | "behind_token" // before a signed iat
  | "behind_stored" // before the time that was last known
  | "far_ahead"; // beyond CLOCK_AHEAD_MAX_S of it, and nobody agrees

/** A time and the instant it was true. */
interface Line {
  readonly utc: EpochSeconds;
  readonly at: Millis;
}

export interface ClockState {
  readonly trusted: boolean;
  /** Why not; null while trusted. */
  readonly reason: ClockReason | null;
  /** The line that is, or was last, believed. */
  readonly anchor: Line | null;
  /** A line of meter time that is not believed yet, from its first reading on. */
  readonly candidate: Line | null;
  /** The newest signed iat, ever; and the newest of this session with its arrival. */
  readonly iat: EpochSeconds | null;
  readonly token: Line | null;
  readonly network: Line | null;
  readonly meterSeen: boolean;
  /** The last known time, at most CLOCK_PERSIST_S behind. */
  readonly known: EpochSeconds | null;
}

/** What survives a reboot. */
export interface ClockStored {
  readonly known: EpochSeconds | null;
  readonly iat: EpochSeconds | null;
}

export function clockStart(stored: ClockStored | null, _now: Millis): ClockState {
  return {
    trusted: false, reason: "start", anchor: null, candidate: null,
    iat: stored?.iat ?? null, token: null, network: null, meterSeen: false, known: stored?.known ?? null,
  };
}

/** UTC, null while the clock is not trusted. */
export function utc(state: ClockState, now: Millis): EpochSeconds | null {
  return state.trusted && state.anchor !== null ? timeOf(state.anchor, now) : null;
}

/** A plausible reading's meter time, with the instant the reading came. */
export function observeMeterTime(state: ClockState, time: EpochSeconds, now: Millis): ClockState {
  const seen = state.meterSeen ? state : { ...state, meterSeen: true };
  return seen.trusted && seen.anchor !== null ? followMeter(seen, seen.anchor, time, now) : weighMeter(seen, time, now);
}

/** Seconds of NTP. */
export function observeNetworkTime(state: ClockState, time: EpochSeconds, now: Millis): ClockState {
  const before = state.network;
  const same = before !== null && now - before.at < NETWORK_FRESH_MS / 2 && Math.abs(timeOf(before, now) - time) <= 2;
  return same ? state : withoutMeterClock({ ...state, network: { utc: time, at: now } }, now);
}

/** The iat of a token whose signature was right. */
export function observeToken(state: ClockState, iat: EpochSeconds, now: Millis): ClockState {
  if (state.token !== null && iat <= state.token.utc) return state;
  const next = { ...state, token: { utc: iat, at: now }, iat: Math.max(state.iat ?? iat, iat) };
  if (next.trusted && next.anchor !== null && timeOf(next.anchor, now) < iat - CLOCK_AGREE_S) return { ...next, trusted: false, reason: "behind_token", anchor: null };
  return withoutMeterClock(next, now);
}

/** Text for the store. It changes every CLOCK_PERSIST_S and with each newer token. */
export function clockPersist(state: ClockState, _now: Millis): string {
  return `1,${state.known ?? ""},${state.iat ?? ""}`;
}

/** Null for what is absent or not ours: the clock then starts without a past. */
export function clockRestore(text: string | null): ClockStored | null {
  const parts = text === null ? [] : text.split(",");
  if (parts.length !== 3 || parts[0] !== "1") return null;
  return { known: epoch(parts[1]!), iat: epoch(parts[2]!) };
}

const NETWORK_FRESH_MS = 3_600_000;
const NETWORK_TOKEN_S = 3_600;
/** Our crystal against the meter's: one second back in this time, and never more at once. */
const SLEW_MS = 600_000;

function timeOf(line: Line, now: Millis): EpochSeconds {
  return line.utc + Math.floor((now - line.at) / 1000);
}

function epoch(text: string): EpochSeconds | null {
  const value = text.length === 0 ? NaN : Number(text);
  return Number.isInteger(value) && value >= CLOCK_EPOCH_MIN_S && value < 2 ** 40 ? value : null;
}

/** Trusted: does the meter go on along our line? */
function followMeter(state: ClockState, anchor: Line, time: EpochSeconds, now: Millis): ClockState {
  const away: Seconds = time - timeOf(anchor, now);
  if (Math.abs(away) <= CLOCK_TOLERANCE_S) {
    // Forward as the meter does; backward slowly, or small steps would add up to going back.
    const slew = away >= 2 ? time : away <= -2 && now - anchor.at >= SLEW_MS ? timeOf(anchor, now) - 1 : null;
    const known = state.known === null || time >= state.known + CLOCK_PERSIST_S ? time : state.known;
    if (slew === null && known === state.known && state.candidate === null) return state;
    return { ...state, anchor: slew === null ? anchor : { utc: slew, at: now }, candidate: null, known };
  }
  const candidate = { utc: time, at: now };
  if (away < 0) return { ...state, trusted: false, reason: "went_back", candidate };
  if (away > CLOCK_JUMP_MAX_S) return { ...state, trusted: false, reason: "jumped", candidate };
  // Set forward by less than a day: as soon as a second telegram says so.
  const again = state.candidate !== null && Math.abs(time - timeOf(state.candidate, now)) <= CLOCK_TOLERANCE_S;
  return again ? { ...state, anchor: candidate, candidate: null } : { ...state, candidate };
}

/** Not trusted: has the meter told one even line for long enough? */
function weighMeter(state: ClockState, time: EpochSeconds, now: Millis): ClockState {
  const { anchor } = state;
  if (anchor !== null && Math.abs(time - timeOf(anchor, now)) <= CLOCK_TOLERANCE_S) {
    return { ...state, trusted: true, reason: null, candidate: null };
  }
  const before = state.candidate;
  const even = before !== null && Math.abs(time - timeOf(before, now)) <= CLOCK_TOLERANCE_S;
  const candidate = even ? before : { utc: time, at: now };
  const agreed = networkAgrees(state, time, now) || tokenAgrees(state, candidate, time, now);
  const doubt = doubtOf(state, candidate, time, now, agreed);
  if (doubt === null) {
    return { ...state, trusted: true, reason: null, anchor: { utc: time, at: now }, candidate: null, known: time };
  }
  return even && doubt === state.reason ? state : { ...state, reason: doubt, candidate };
}

function doubtOf(state: ClockState, candidate: Line, time: EpochSeconds, now: Millis, agreed: boolean): ClockReason | null {
  if (time < CLOCK_EPOCH_MIN_S) return "behind_stored";
  // It is at least as late as the newest iat, and as long after its arrival as has passed since.
  const signed = Math.max(state.iat ?? 0, state.token === null ? 0 : timeOf(state.token, now));
  if (time < signed - CLOCK_AGREE_S) return "behind_token";
  if (!agreed && state.known !== null && time < state.known - CLOCK_TOLERANCE_S) return state.anchor === null ? "behind_stored" : "went_back";
  const newest = Math.max(state.known ?? 0, state.iat ?? 0);
  const fromToken = state.token !== null && time <= timeOf(state.token, now) + LINK_LIFE_MAX_S;
  if (!agreed && !fromToken && newest > 0 && time > newest + CLOCK_AHEAD_MAX_S) return "far_ahead";
  if (!agreed && state.anchor !== null && time - timeOf(state.anchor, now) > CLOCK_JUMP_MAX_S) return "jumped";
  const needed = state.anchor === null || agreed ? CLOCK_START_MS : CLOCK_REGAIN_MS;
  // What is doubted now may be something else than what was doubted first.
  const reason = state.reason === "went_back" || state.reason === "jumped" ? state.reason : "start";
  return now - candidate.at >= needed ? null : reason;
}

function networkAgrees(state: ClockState, time: EpochSeconds, now: Millis): boolean {
  const { network } = state;
  return network !== null && now - network.at <= NETWORK_FRESH_MS && Math.abs(timeOf(network, now) - time) <= CLOCK_AGREE_S;
}

/** A token that came after this line began, and was signed within the day before the line's time. */
function tokenAgrees(state: ClockState, candidate: Line, time: EpochSeconds, now: Millis): boolean {
  const { token } = state;
  if (token === null || token.at < candidate.at) return false;
  return time >= token.utc - CLOCK_AGREE_S && time <= timeOf(token, now) + CLOCK_JUMP_MAX_S;
}

/** DSMR 2.2 and 3.0 have no clock: there a fresh signed iat may confirm network time. */
function withoutMeterClock(state: ClockState, now: Millis): ClockState {
  const { network, token } = state;
  if (state.meterSeen || network === null || token === null) return state;
  if (now - network.at > NETWORK_FRESH_MS) return state;
  const time = timeOf(network, now);
  const ahead = time - timeOf(token, now);
  if (state.trusted && state.anchor !== null) {
    const away = Math.abs(time - timeOf(state.anchor, now));
    return away > 2 && away <= CLOCK_TOLERANCE_S ? { ...state, anchor: { utc: time, at: now } } : state;
  }
  const floor = state.known ?? 0;
  if (ahead < -CLOCK_AGREE_S || ahead > NETWORK_TOKEN_S || time < floor - CLOCK_TOLERANCE_S) return state;
  return { ...state, trusted: true, reason: null, anchor: { utc: time, at: now }, candidate: null, known: time };
}
