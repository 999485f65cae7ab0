/**
 * Tokens that found the cap inbox full. The newest few of a channel are offered again, newest first:
 * a token carries the whole state, so what is behind it can be missed, and a flood of forged ones
 * leaves no backlog of hours.
 */
import { BUSY_RETRY_MS, BUSY_WAITING_MAX } from "../constants.js";
import type { Timer, TimerId } from "../../hal/ecma419.js";
import type { CapChannel } from "../token/cap.js";

interface Waiting { readonly channel: CapChannel; readonly offer: () => void }

export class WaitingLine {
  readonly #timer: Timer;
  /** Oldest first. */
  readonly #line: Waiting[] = [];
  #calling: TimerId | undefined;
  #closed = false;

  constructor(timer: Timer) {
    this.#timer = timer;
  }

  /** `again`: it has waited before, so it is older than all that came meanwhile. */
  wait(channel: CapChannel, offer: () => void, again: boolean): void {
    if (this.#closed) return;
    const ofChannel = this.#line.filter((one) => one.channel === channel);
    const isFull = ofChannel.length >= BUSY_WAITING_MAX;
    if (again) {
      if (!isFull) this.#line.unshift({ channel, offer });
    } else {
      if (isFull) this.#line.splice(this.#line.indexOf(ofChannel[0]!), 1);
      this.#line.push({ channel, offer });
    }
    this.#calling ??= this.#timer.set(() => {
      this.#calling = undefined;
      const line = this.#line.splice(0).reverse();
      if (!this.#closed) for (const one of line) one.offer();
    }, BUSY_RETRY_MS);
  }

  close(): void {
    this.#closed = true;
    this.#timer.clear(this.#calling);
    this.#calling = undefined;
  }
}
