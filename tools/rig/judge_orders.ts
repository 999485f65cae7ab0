/**
 * What the operator ordered, as the house must know it. A token is surely known once it was sent over
 * a way that was whole for long enough; while one may or may not be known, the weaker order counts.
 */
import type { Word } from "./operator.js";
import { EPOCH as EPOCH_S, type Fault, type FaultKind, type Plan } from "./plan.js";

/** Back-off of the broker link at most 300 s, and its connection. */
const WAY_AFTER_MS = 400_000;
/** From the broker through the signature's check to the law. */
const KNOWN_MS = 4_000;
/** What starts at the meter waits for its next telegrams. */
const KNOWN_P1_MS = 60_000;
const WAY: readonly FaultKind[] = ["broker_stop", "broker_link", "broker_freeze", "broker_drop", "token_replay", "token_forged", "flash_broken", "flash_full", "power_cut", "power_write", "flash_torn"];
const P1: readonly FaultKind[] = ["p1_flip", "p1_drop", "p1_double", "p1_glue", "p1_babble", "p1_silent", "p1_unplug", "token_forged", "flash_broken", "flash_full", "power_cut", "power_write", "flash_torn"];

interface Sent extends Word { known: boolean; onSince: number | null }

export class Orders {
  readonly #plan: Plan;
  #sent: Sent[] = [];
  #faults: Fault[] = [];
  #lastExp = -Infinity;
  #emergencies: [number, number][] = [];

  constructor(plan: Plan) {
    this.#plan = plan;
  }

  spoke(word: Word): void {
    this.#sent.push({ ...word, known: false, onSince: null });
    this.#lastExp = Math.max(this.#lastExp, word.exp * 1000);
    for (const event of word.events) if (event.emergency) this.#emergencies.push([(event.start - EPOCH_S) * 1000, (event.start + event.duration - EPOCH_S) * 1000]);
  }

  broke(fault: Fault): void { this.#faults.push(fault); }

  second(now: number, on: boolean): void {
    this.#faults = this.#faults.filter(({ at, for: length }) => (at + length) * 1000 + WAY_AFTER_MS > now);
    for (const word of this.#sent) {
      if (word.known) continue;
      const fresh = now - word.at * 1000 < 880_000; // then the broker forgets it
      const need = word.via === "p1" ? KNOWN_P1_MS : KNOWN_MS;
      if (!on || this.#wayBroken(word.via, now) || !fresh) word.onSince = null;
      else if (word.onSince === null) word.onSince = now;
      if (word.onSince !== null && now - word.onSince >= need && this.#isNewest(word)) word.known = true;
    }
    // Before the newest that is surely known nothing counts any more.
    let newest = -1;
    this.#sent.forEach((word, i) => { if (word.known) newest = i; });
    if (newest > 0) this.#sent = this.#sent.slice(newest);
    if (this.#sent.length > 60) this.#sent.splice(this.#sent[0]!.known ? 1 : 0, 1);
  }

  #wayBroken(via: Word["via"], now: number): boolean {
    return this.#faults.some(({ kind, at, for: length }) => (via === "p1" ? P1 : WAY).includes(kind) && at * 1000 <= now + 1_000 && (at + length) * 1000 + WAY_AFTER_MS > now);
  }

  /** Retained at the broker, or still in the text field. */
  #isNewest(word: Sent): boolean {
    return !this.#sent.some((other) => other.via === word.via && other.at > word.at && other.at * 1000 <= (word.onSince ?? 0) && !other.known);
  }

  /** The import limit that surely binds; null = none that surely does. */
  limit(now: number): { watts: number; why: string } | null {
    const second = now / 1000 + EPOCH_S;
    let least: number | null = null;
    if (this.#sent.length > 0 && this.#sent[0]!.known) {
      // An event counts if it stands in every token that may be the newest one.
      for (const event of this.#sent[0]!.events) {
        if (event.importLimit === null || event.controllable || event.start > second - 10 || event.start + event.duration <= second) continue;
        const everywhere = this.#sent.every((word) => word.events.some(({ id }) => id === event.id));
        if (everywhere) least = least === null ? event.importLimit : Math.min(least, event.importLimit);
      }
    }
    const failsafe: number = this.#plan.site["limits"].failsafe_W;
    const lost = this.#lastExp > -Infinity && now > this.#lastExp + 12_000 && now < this.#lastExp + 7_200_000 - 60_000;
    if (lost && (least === null || failsafe < least)) return { watts: failsafe, why: "failsafe" };
    return least === null ? null : { watts: least, why: "cap" };
  }

  /** An emergency event may be in force: sent, and not long over. */
  emergencyNear(now: number): boolean {
    return this.#emergencies.some(([from, to]) => from <= now + 5_000 && to > now - 900_000);
  }
}
