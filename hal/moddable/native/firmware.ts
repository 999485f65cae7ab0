/** The running image of an ESP32 board and its watchdog: esp32/firmware.c. */

/** True from an update's first start until it is marked valid. */
export function isOnTrial(): boolean { return native<() => boolean>("vangnet_firmware_on_trial").call(undefined as never); }
export function markValid(): void { native<() => void>("vangnet_firmware_mark_valid").call(undefined as never); }
/** Restarts with the image before this one; throws where there is none. */
export function rollBack(): void { native<() => void>("vangnet_firmware_roll_back").call(undefined as never); }

/** From here on the chip restarts when `feedWatchdog`, or the machine's own loop, is late by `ms`. */
export function armWatchdog(ms: number): void { native<(ms: number) => void>("vangnet_watchdog_arm").call(undefined as never, ms); }
export function feedWatchdog(): void { native<() => void>("vangnet_watchdog_feed").call(undefined as never); }
