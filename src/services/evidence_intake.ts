/**
 * What waits to be written to the evidence log, bounded twice: each type has a bucket, so that a
 * flood of one (bad tokens, a flapping device) neither crowds out the others nor pushes two years out
 * of the ring, and the queue as a whole holds so many records and bytes. What is refused is counted
 * by type, and one record `suppressed` tells of it later.
 */
import {
  EVIDENCE_BURST_MAX, EVIDENCE_QUEUE_BYTES_MAX, EVIDENCE_QUEUE_MAX, EVIDENCE_RECORD_BYTES_MAX, EVIDENCE_REFILL_MS, EVIDENCE_TYPES_MAX,
} from "../constants.js";
import type { EpochSeconds, Millis } from "../units.js";
import { encodePayload } from "./evidence_log.js";
import { toJson } from "./json.js";

export type EvidenceValue = string | number | boolean | null | readonly EvidenceValue[] | { readonly [name: string]: EvidenceValue };
export type EvidenceData = { readonly [name: string]: EvidenceValue };

interface Bucket {
  readonly type: string;
  tokens: number;
  at: Millis;
  suppressed: number;
}

/** Shared by the types that come after EVIDENCE_TYPES_MAX others. */
const OTHER = "other";
export const SUPPRESSED = "suppressed";

export class EvidenceIntake {
  /** Payloads, oldest first. */
  queue: Uint8Array[] = [];
  #bytes = 0;
  #buckets: Bucket[] = [];

  offer(type: string, data: EvidenceData, t: EpochSeconds | null, up: Millis): "taken" | "suppressed" | "dropped" {
    const bucket = this.#bucket(type, up);
    if (bucket.tokens === 0) {
      bucket.suppressed++;
      return "suppressed";
    }
    let payload = encodePayload(t, up, type, toJson(data));
    if (payload.length > EVIDENCE_RECORD_BYTES_MAX) payload = encodePayload(t, up, type, toJson({ too_long: payload.length }));
    if (this.queue.length >= EVIDENCE_QUEUE_MAX || this.#bytes + payload.length > EVIDENCE_QUEUE_BYTES_MAX) return "dropped";
    bucket.tokens--;
    this.queue.push(payload);
    this.#bytes += payload.length;
    return "taken";
  }

  /** Before all that waits: the record of the start, which came first. */
  offerFirst(type: string, data: EvidenceData, t: EpochSeconds | null, up: Millis): void {
    const payload = encodePayload(t, up, type, toJson(data));
    this.queue.unshift(payload);
    this.#bytes += payload.length;
  }

  /** The first `count` are written. */
  done(count: number): void {
    for (const payload of this.queue.splice(0, count)) this.#bytes -= payload.length;
  }

  clear(): void {
    this.queue = [];
    this.#bytes = 0;
  }

  /** Types and how many of each were refused; empty where none was. */
  suppressed(): [string, number][] {
    const pairs: [string, number][] = [];
    for (const { type, suppressed } of this.#buckets) if (suppressed > 0 && type !== SUPPRESSED) pairs.push([type, suppressed]);
    return pairs;
  }

  told(): void {
    for (const bucket of this.#buckets) bucket.suppressed = 0;
  }

  #bucket(type: string, now: Millis): Bucket {
    let bucket = this.#buckets.find((one) => one.type === type);
    if (!bucket && this.#buckets.length >= EVIDENCE_TYPES_MAX) bucket = this.#buckets.find((one) => one.type === OTHER);
    if (!bucket) {
      const name = this.#buckets.length === EVIDENCE_TYPES_MAX - 1 ? OTHER : type;
      bucket = { type: name, tokens: EVIDENCE_BURST_MAX, at: now, suppressed: 0 };
      this.#buckets.push(bucket);
    }
    const refills = Math.floor((now - bucket.at) / EVIDENCE_REFILL_MS);
    if (refills > 0) {
      bucket.tokens = Math.min(EVIDENCE_BURST_MAX, bucket.tokens + refills);
      bucket.at += refills * EVIDENCE_REFILL_MS;
    }
    return bucket;
  }
}
