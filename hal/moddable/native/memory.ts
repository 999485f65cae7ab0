/** Live memory after a collection, as a line of text: lin/memory.c. */
export function memory(): string { return native<() => string>("vangnet_memory").call(undefined as never); }
