/**
 * An update's first start. It is kept once it has run for TRIAL_MS with the network up: what cannot
 * be reached could not be replaced either. Without network for TRIAL_MAX_MS it gives way to the
 * image before it; so does one that restarts, by the bootloader (CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE).
 */
import type { Timer } from "../../ecma419.js";
import type { Log } from "../guard.js";
import { isOnTrial, markValid, rollBack } from "../native/firmware.js";

export const TRIAL_MS = 60_000;
export const TRIAL_MAX_MS = 15 * 60_000;
const LOOK_MS = 5_000;

export function watchTrial(timer: Timer, monotonic: () => number, isNetworkUp: () => boolean, log: Log): void {
  if (!isOnTrial()) return;
  const start = monotonic();
  log("firmware: on trial");
  const looking = timer.repeat(() => {
    const ran = monotonic() - start;
    if (ran >= TRIAL_MS && isNetworkUp()) {
      timer.clear(looking);
      markValid();
      log("firmware: kept");
    } else if (ran >= TRIAL_MAX_MS) {
      timer.clear(looking);
      log("firmware: no network: back to the one before");
      rollBack();
    }
  }, LOOK_MS);
}
