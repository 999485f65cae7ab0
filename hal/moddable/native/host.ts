/** The native odds and ends of a target: lin/host.c, esp32/host.c. */

/** Milliseconds of a clock that nobody sets. */
export function monotonicMs(): number { return native<() => number>("vangnet_monotonic_ms").call(undefined as never); }

/** 32 bits of the target's own generator. The SDK's rng starts from the same seed at each boot. */
export function random32(): number { return native<() => number>("vangnet_random32").call(undefined as never); }

/** Makes renames and deletions in a directory under the root of the files durable. */
export function syncDirectory(path: string): void { native<(path: string) => void>("vangnet_sync_directory").call(undefined as never, path); }
