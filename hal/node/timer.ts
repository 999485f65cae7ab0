/** Timers over Node's, with the list of those pending, so that a platform can end them all. */
import type { Timer, TimerId } from "../ecma419.js";

export function nodeTimer(): Timer & { clearAll(): void } {
  const pending = new Set<NodeJS.Timeout>();
  return {
    set(callback, delayMs) {
      const id = setTimeout(() => {
        pending.delete(id);
        callback();
      }, delayMs);
      pending.add(id);
      return id;
    },
    repeat(callback, periodMs) {
      const id = setInterval(callback, periodMs);
      pending.add(id);
      return id;
    },
    clear(id: TimerId | undefined) {
      if (id === undefined) return;
      clearTimeout(id as NodeJS.Timeout);
      pending.delete(id as NodeJS.Timeout);
    },
    clearAll() {
      for (const id of pending) clearTimeout(id);
      pending.clear();
    },
  };
}
