/** The target's clocks. */
import { monotonicMs } from "./native/host.js";

/** Whole milliseconds since this call, from a clock that nobody sets. */
export function monotonicClock(): () => number {
  const start = monotonicMs();
  return () => Math.floor(monotonicMs() - start);
}

/** 2025-01-01: a clock that says less was never set. */
const PLAUSIBLE_S = 1_735_689_600;

/** What the target's own NTP client keeps; null where it was evidently never set. */
export function systemTime(): number | null {
  const seconds = Math.floor(Date.now() / 1000);
  return seconds < PLAUSIBLE_S ? null : seconds;
}
