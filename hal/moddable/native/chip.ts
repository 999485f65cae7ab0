/** What only the ESP32 boards' esp32/host.c has. */

/** A line of the log on the console's UART. */
export function writeLine(line: string): void { native<(line: string) => void>("vangnet_write_line").call(undefined as never, line); }
/** Asks this server for the time of day, and sets the chip's clock. */
export function startNtp(server: string): void { native<(server: string) => void>("vangnet_ntp_start").call(undefined as never, server); }
export function restart(): void { native<() => void>("vangnet_restart").call(undefined as never); }
