/** `cap refresh --every`: says the same again and again, so that the link to the houses stays alive. */
import process from "node:process";

const RETRY_MIN_MS = 2_000;
const RETRY_MAX_MS = 60_000;

/**
 * Calls `beat` every `everyMs` until SIGINT or SIGTERM; after a beat that was not delivered it tries
 * again sooner, with a wait that doubles. A beat under way is finished first; the second signal ends
 * the process at once. Gives the exit code: 0 where the last beat was delivered.
 */
export async function heartbeat(everyMs: number, beat: () => Promise<boolean>, say: (words: string) => void): Promise<number> {
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  process.once("SIGINT", onSignal);
  process.once("SIGTERM", onSignal);
  let delivered = false;
  try {
    for (let failures = 0; !stop.signal.aborted;) {
      const began = performance.now();
      delivered = await beat();
      failures = delivered ? 0 : failures + 1;
      const wait = delivered ? everyMs - (performance.now() - began) : retryWait(failures, everyMs);
      if (!delivered && !stop.signal.aborted) say(`again in ${Math.ceil(wait / 1_000)} s`);
      await pause(Math.max(0, wait), stop.signal);
    }
  } finally {
    process.removeListener("SIGINT", onSignal);
    process.removeListener("SIGTERM", onSignal);
  }
  return delivered ? 0 : 1;
}

/** Never later than the next beat would have come. */
export const retryWait = (failures: number, everyMs: number): number => Math.min(everyMs, RETRY_MAX_MS, RETRY_MIN_MS * 2 ** (failures - 1));

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
  });
}
