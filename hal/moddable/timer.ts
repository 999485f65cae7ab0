/** Timers over the SDK's. A callback that throws is told and does not end the machine. */
import SDKTimer from "timer";
import type { Timer, TimerId } from "../ecma419.js";
import { guarded, type Log } from "./guard.js";

/** The SDK's timer throws when one that has ended is cleared: so each knows whether it runs. */
class Running {
  timer: SDKTimer | undefined;
}

export function moddableTimer(log: Log): Timer {
  return {
    set(callback, delayMs): TimerId {
      const running = new Running();
      const call = guarded(log, "timer", callback);
      running.timer = SDKTimer.set(() => {
        running.timer = undefined;
        call();
      }, Math.max(0, Math.ceil(delayMs)));
      return running;
    },
    repeat(callback, periodMs): TimerId {
      const running = new Running();
      running.timer = SDKTimer.repeat(guarded(log, "timer", () => { if (running.timer !== undefined) callback(); }), Math.max(1, Math.ceil(periodMs)));
      return running;
    },
    clear(id: TimerId | undefined): void {
      if (!(id instanceof Running) || id.timer === undefined) return;
      const { timer } = id;
      id.timer = undefined;
      SDKTimer.clear(timer);
    },
  };
}

/** On the next turn. */
export function later(log: Log, task: () => void): void {
  const call = guarded(log, "later", task);
  SDKTimer.set(() => call(), 0);
}
