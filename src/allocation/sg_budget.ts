import {
  SG_BLOCKED_MAX_MS, SG_BLOCKS_MAX, SG_BLOCK_APART_MS, SG_BLOCK_MIN_MS, SG_END_MARGIN_MS, SG_RESERVE_BLOCKS, SG_RESERVE_MS, SG_WINDOW_MS,
} from "../constants.js";
import type { EpochSeconds, Millis } from "../units.js";

/** A block by the monotonic clock, which may lie before power-on; end null = it goes on. */
export interface Block {
  readonly start: Millis;
  readonly end: Millis | null;
}

/** As stored, in UTC; start null = no clock was trusted then. */
export interface StoredBlock {
  readonly start: EpochSeconds | null;
  readonly end: EpochSeconds | null;
}

export interface StoredLog {
  readonly id: string;
  readonly blocks: readonly StoredBlock[];
}

/** What an SG Ready pump's rolling budget and its states are judged by. */
export interface SgState {
  /** The device's id, under which the log is stored. */
  readonly id: string;
  /** Newest last; none that ended more than 24 h ago. */
  readonly blocks: readonly Block[];
  /** From before the reboot, until a clock tells when they were; null = none left to place. */
  readonly unplaced: readonly StoredBlock[] | null;
  /** The whole budget counts as spent until then; null = it does not. */
  readonly spentUntil: Millis | null;
  /** The uncontrolled load is above a limit since. */
  readonly shortSince: Millis | null;
  /** While blocked: the pump's nominal power would fit since. */
  readonly fitSince: Millis | null;
  /** Surplus (to enter state 3) or its want (to leave it) since. */
  readonly surplusSince: Millis | null;
}

/**
 * The log as restored: null = it was lost, and what cannot be known counts as spent for a whole
 * window. Blocks wait for a trusted clock, and until then count as spent too (CONTROL, "SG Ready").
 */
export function sgStart(id: string, logs: readonly StoredLog[] | null, now: Millis): SgState {
  const fresh: SgState = { id, blocks: [], unplaced: null, spentUntil: null, shortSince: null, fitSince: null, surplusSince: null };
  if (logs === null) return { ...fresh, spentUntil: now + SG_WINDOW_MS };
  for (const log of logs) {
    if (log.id !== id || log.blocks.length === 0) continue;
    for (const block of log.blocks) if (block.start === null) return { ...fresh, spentUntil: now + SG_WINDOW_MS };
    return { ...fresh, unplaced: log.blocks };
  }
  return fresh;
}

/** Puts the restored blocks on the monotonic clock, once UTC is known, and drops what is a window old. */
export function sgPlace(state: SgState, utcOffset: number | null, now: Millis): SgState {
  let next = state;
  if (state.unplaced !== null && utcOffset !== null) {
    const blocks: Block[] = [];
    for (const stored of state.unplaced) {
      // One that lies ahead, because the clock went back, or never ended, because power did, ends now.
      const start = Math.min(now, (stored.start ?? 0) * 1000 - utcOffset);
      const end = stored.end === null ? Math.min(now, start + SG_BLOCKED_MAX_MS) : Math.min(now, stored.end * 1000 - utcOffset);
      const ahead = (stored.start ?? 0) * 1000 - utcOffset > now;
      blocks.push(ahead ? { start: now - SG_BLOCKED_MAX_MS, end: now } : { start, end });
    }
    next = { ...state, blocks, unplaced: null };
  }
  const oldest = next.blocks[0];
  if (oldest !== undefined && oldest.end !== null && oldest.end <= now - SG_WINDOW_MS) next = { ...next, blocks: next.blocks.slice(1) };
  if (next.spentUntil !== null && now >= next.spentUntil) next = { ...next, spentUntil: null };
  return next;
}

export function sgBlocked(state: SgState): Block | null {
  const last = state.blocks[state.blocks.length - 1];
  return last !== undefined && last.end === null ? last : null;
}

/** Milliseconds blocked within the window that ends now. */
export function sgUsed(state: SgState, now: Millis): Millis {
  let used = 0;
  for (const block of state.blocks) used += Math.max(0, (block.end ?? now) - Math.max(block.start, now - SG_WINDOW_MS));
  return used;
}

/** May a block begin: null = yes, else why not. It must have room for its own shortest length. */
export function sgRefusal(state: SgState, emergency: boolean, now: Millis): "block_spent" | "block_apart" | null {
  if (state.spentUntil !== null || state.unplaced !== null) return "block_spent";
  const last = state.blocks[state.blocks.length - 1];
  if (last !== undefined && last.end !== null && now - last.end < SG_BLOCK_APART_MS) return "block_apart";
  if (state.blocks.length >= SG_BLOCKS_MAX - (emergency ? 0 : SG_RESERVE_BLOCKS)) return "block_spent";
  return sgUsed(state, now) + SG_BLOCK_MIN_MS + SG_END_MARGIN_MS > allowed(emergency) ? "block_spent" : null;
}

/** The block must end now, or the next late tick might overspend. */
export function sgOut(state: SgState, emergency: boolean, now: Millis): boolean {
  return sgUsed(state, now) + SG_END_MARGIN_MS >= allowed(emergency);
}

function allowed(emergency: boolean): Millis {
  return SG_BLOCKED_MAX_MS - (emergency ? 0 : SG_RESERVE_MS);
}

/** The rolling log as one compact text: [[id, [[start, end], ...]], ...] in epoch seconds. */
export function sgLogText(states: readonly (SgState | null)[], utcOffset: number | null): string {
  const logs: [string, [number | null, number | null][]][] = [];
  for (const state of states) {
    if (state === null) continue;
    const blocks: [number | null, number | null][] = [];
    if (state.spentUntil !== null) blocks.push([null, null]);
    for (const old of state.unplaced ?? []) blocks.push([old.start, old.end]);
    for (const block of state.blocks) {
      blocks.push([epoch(block.start, utcOffset, Math.floor), block.end === null ? null : epoch(block.end, utcOffset, Math.ceil)]);
    }
    logs.push([state.id, blocks]);
  }
  return JSON.stringify(logs);
}

function epoch(at: Millis, utcOffset: number | null, round: (value: number) => number): number | null {
  return utcOffset === null ? null : round((at + utcOffset) / 1000);
}

/**
 * The stored text back; null = lost. No text at all is a controller that never blocked anything:
 * the log is written before the first contact moves.
 */
export function sgRestore(text: string | null): readonly StoredLog[] | null {
  if (text === null) return [];
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return null;
  }
  if (!Array.isArray(parsed)) return null;
  const logs: StoredLog[] = [];
  for (const entry of parsed as unknown[]) {
    if (!Array.isArray(entry) || entry.length !== 2 || typeof entry[0] !== "string" || !Array.isArray(entry[1])) return null;
    const blocks: StoredBlock[] = [];
    for (const pair of entry[1] as unknown[]) {
      if (!Array.isArray(pair) || pair.length !== 2 || !isTime(pair[0]) || !isTime(pair[1])) return null;
      blocks.push({ start: pair[0], end: pair[1] });
    }
    logs.push({ id: entry[0], blocks });
  }
  return logs;
}

function isTime(value: unknown): value is number | null {
  return value === null || (typeof value === "number" && Number.isInteger(value) && value >= 0);
}
