/** The host's two clocks. */
import { performance } from "node:perf_hooks";

/** Milliseconds since this call, whole, from a clock that nobody sets. */
export function monotonicClock(): () => number {
  const start = performance.now();
  return () => Math.floor(performance.now() - start);
}

/** 2025-01-01: a host whose clock says less was never set. */
const PLAUSIBLE_S = 1_735_689_600;

/** The host's clock, which its own NTP client keeps; null where it was evidently never set. */
export function systemTime(): number | null {
  const seconds = Math.floor(Date.now() / 1000);
  return seconds < PLAUSIBLE_S ? null : seconds;
}
