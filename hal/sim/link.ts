/** The network between two platforms (or within one). What is under way arrives in order. */
import type { SimWorld } from "./world.js";

export class Link {
  readonly #world: SimWorld;
  latencyMs: number;
  /** Up to this much more, drawn for each packet. */
  jitterMs = 0;
  /**
   * Sees each packet and its sender; may give other bytes, or null for a packet that never arrives
   * (a gap that TCP itself would not have: for what sits above a broken proxy).
   */
  tamper: ((bytes: Uint8Array, from: string) => Uint8Array | null) | null = null;
  #up = true;
  #held: (() => void)[] = [];
  /** When the last packet arrives: none overtakes it. */
  #last = 0;

  constructor(world: SimWorld, latencyMs: number) {
    this.#world = world;
    this.latencyMs = latencyMs;
  }

  get up(): boolean {
    return this.#up;
  }

  /** Down: nothing arrives and nobody is told. Up again: what TCP would have sent again arrives. */
  set up(up: boolean) {
    if (up === this.#up) return;
    this.#up = up;
    if (!up) return;
    const held = this.#held;
    this.#held = [];
    for (const arrive of held) this.#world.schedule(this.latencyMs, () => this.#deliver(arrive));
  }

  carry(arrive: () => void): void {
    if (!this.#up) {
      this.#held.push(arrive);
      return;
    }
    const jitter = this.jitterMs > 0 ? this.#world.random.below(this.jitterMs + 1) : 0;
    const time = Math.max(this.#world.now + this.latencyMs + jitter, this.#last);
    this.#last = time;
    this.#world.schedule(time - this.#world.now, () => this.#deliver(arrive));
  }

  #deliver(arrive: () => void): void {
    if (this.#up) arrive();
    else this.#held.push(arrive);
  }
}
