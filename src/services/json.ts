/**
 * JSON.stringify for what may hold preloaded objects. XS marks each object while it writes it and
 * throws where that mark cannot be set, which is so for everything in flash: constants of the core
 * that ended up in a status or an event. What is preloaded is frozen, so what is frozen is copied.
 */
export function toJson(value: unknown): string {
  return JSON.stringify(value, thawed);
}

function thawed(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || !Object.isFrozen(value)) return value;
  return Array.isArray(value) ? [...(value as unknown[])] : { ...value };
}
