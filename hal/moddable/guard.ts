/**
 * Nothing that is thrown in a callback may reach the SDK: there it would vanish, or end the machine.
 * The core and the services let nothing through on purpose; what arrives here is a bug, and is told.
 */
export type Log = (line: string) => void;

export function guarded<A extends unknown[]>(log: Log, what: string, callback: ((...values: A) => void) | undefined): (...values: A) => void {
  return (...values) => {
    try {
      callback?.(...values);
    } catch (error) {
      log(`${what}: ${told(error)}`);
    }
  };
}

/** With the way there, which a debug build knows. */
export const told = (error: unknown): string => (error instanceof Error && error.stack ? `${String(error)} ${error.stack}` : String(error));
