import type { Millis } from "../units.js";

/** What a device was last told, in its setpoint's own unit (mA per phase, W, SG Ready state). */
export interface Commanded {
  readonly setpoint: number;
  /** When the setpoint last changed; null = not since power-on. */
  readonly changedAt: Millis | null;
  /** Higher setpoints it was told before, each with the time it was replaced; oldest and highest first. */
  readonly recent: readonly Told[];
  /** Not null: found not to follow its setpoint, and halved or switched off for it. */
  readonly derateTo?: number | null;
}

export interface Told {
  readonly value: number;
  readonly until: Millis;
}

/** The setpoint replaced by another at `now`; forgets what no device can still be answering to. */
export function replaced(told: Commanded, settle: Millis, now: Millis): readonly Told[] {
  const recent: Told[] = [];
  for (let index = 0; index < told.recent.length; index++) {
    const one = told.recent[index]!;
    if (now - one.until < settle && one.value > told.setpoint) recent.push(one);
  }
  recent.push({ value: told.setpoint, until: now });
  return recent;
}

/** The highest it was told within the settling time. */
export function highestTold(told: Commanded, settle: Millis, now: Millis): number {
  for (let index = 0; index < told.recent.length; index++) {
    const one = told.recent[index]!;
    if (now - one.until < settle) return one.value > told.setpoint ? one.value : told.setpoint;
  }
  return told.setpoint;
}
