import type { Millis } from "../units.js";

/** What a device was last told, in its setpoint's own unit (mA per phase, W, SG Ready state). */
export interface Commanded {
  readonly setpoint: number;
  /** What it was told before; the highest of them while one change follows another. */
  readonly previous: number;
  /** When the setpoint last changed; null = not since power-on. */
  readonly changedAt: Millis | null;
}
